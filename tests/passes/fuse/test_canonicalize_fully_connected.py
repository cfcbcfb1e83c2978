"""Matrix products and the reshapes around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgec.passes.fuse.canonicalize_fully_connected import CanonicalizeFullyConnected

CANONICALIZE = CanonicalizeFullyConnected()
WEIGHT = "$w = constant float32[2,4] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]"


def flattened(options: str = "", result: str = "float32[3,2]") -> str:
    return f"""
  graph @main(%x: float32[3,1,2,2]) {{
    $s = constant int32[2] [3, 4]
    %r = reshape(%x, $s) {{new_shape = [3, 4]}} : float32[3,4]
    {WEIGHT}
    $b = constant float32[2] [1.0, -1.0]
    %y = fully_connected(%r, $w, $b){options} : {result}
    return %y
  }}"""


def test_the_layer_flattens_itself(run: Callable[..., Any]) -> None:
    ran = run(flattened(), CANONICALIZE, runtimes=("litert", "tflm"))
    assert ran.lines == ["%y = fully_connected(%x, $w, $b) : float32[3,2]"]


def test_a_layer_that_keeps_dimensions_stays(run: Callable[..., Any]) -> None:
    assert run(flattened(" {keep_num_dims = true}"), CANONICALIZE).refusals == [
        "DropReshapeBeforeFullyConnected: it keeps the dimensions of its input"
    ]


def test_int8_flatten_is_exact(run: Callable[..., Any]) -> None:
    quant = 'quant {"scale": 0.25, "zero_point": -10}'
    text = f"""
  graph @main(%x: int8[1,1,2,2] {quant}) {{
    $s = constant int32[2] [1, 4]
    %r = reshape(%x, $s) {{new_shape = [1, 4]}} : int8[1,4] {quant}
    $w = constant int8[2,4] quant {{"scale": 0.5, "zero_point": 0}} [1, -2, 3, -4, 5, 6, -7, 8]
    $b = constant int32[2] quant {{"scale": 0.125, "zero_point": 0}} [3, -3]
    %y = fully_connected(%r, $w, $b) : int8[1,2] quant {{"scale": 2.0, "zero_point": 1}}
    return %y
  }}"""
    assert len(run(text, CANONICALIZE, runtimes=("litert", "tflm")).lines) == 1


def product(matrix: str, options: str = "", x: str = "float32[1,3,2]", result: str = "float32[1,3,4]") -> str:
    return f"""
  graph @main(%x: {x}) {{
    $m = constant float32{matrix} [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    %y = batch_matmul(%x, $m){options} : {result}
    return %y
  }}"""


@pytest.mark.parametrize(("matrix", "options"), [("[2,4]", ""), ("[1,2,4]", ""), ("[4,2]", " {adj_y = true}")])
def test_products_with_a_constant_matrix(run: Callable[..., Any], matrix: str, options: str) -> None:
    ran = run(product(matrix, options), CANONICALIZE, runtimes=("litert", "tflm"))
    assert ran.lines == ["%y = fully_connected(%x, $m, none) {keep_num_dims = true} : float32[1,3,4]"]


def test_products_with_several_matrices_or_a_transposed_left_side_stay(run: Callable[..., Any]) -> None:
    several = product("[2,2,2]", x="float32[2,3,2]", result="float32[2,3,2]")
    assert run(several, CANONICALIZE).refusals == ["BatchMatmulToFullyConnected: 'm' holds 2 matrices"]
    left = product("[2,4]", " {adj_x = true}", x="float32[1,2,3]")
    assert run(left, CANONICALIZE).refusals == ["BatchMatmulToFullyConnected: it transposes 'x'"]
    wider = product("[1,2,4]", x="float32[3,2]")
    assert run(wider, CANONICALIZE).refusals == ["BatchMatmulToFullyConnected: 'm' adds dimensions to 'x'"]


def test_a_matrix_used_otherwise_stays(run: Callable[..., Any]) -> None:
    text = product("[2,4]").replace("return %y", "%z = tanh($m) : float32[2,4]\n    return %y, %z")
    assert run(text, CANONICALIZE).refusals == ["BatchMatmulToFullyConnected: 'm' is also used by tanh 'z'"]


def transposed(permutation: str, outputs: str = "%y") -> str:
    return f"""
  graph @main(%a: float32[2,3,3], %b: float32[2,3,3]) {{
    $p = constant int32[3] {permutation}
    %t = transpose(%b, $p) : float32[{"2,3,3" if permutation[1] == "0" else "3,2,3"}]
    %y = batch_matmul(%a, %t) : float32[2,3,3]
    return {outputs}
  }}"""


def test_a_transposed_right_side(run: Callable[..., Any]) -> None:
    assert run(transposed("[0, 2, 1]"), CANONICALIZE, runtimes=("litert", "tflm")).lines == [
        "%y = batch_matmul(%a, %b) {adj_y = true} : float32[2,3,3]"
    ]
    assert run(transposed("[0, 2, 1]", "%t, %y"), CANONICALIZE).refusals == [
        "FoldTransposeIntoBatchMatmul: 't' is also a graph output"
    ]


def mean(shape: str, new_shape: str) -> str:
    return f"""
  graph @main(%x: float32[1,2,2,3]) {{
    $a = constant int32[2] [1, 2]
    %m = mean(%x, $a) {{keep_dims = true}} : float32[1,1,1,3]
    $s = constant int32[2] {new_shape}
    %y = reshape(%m, $s) {{new_shape = {new_shape}}} : float32{shape}
    return %y
  }}"""


def test_a_mean_drops_its_dimensions(run: Callable[..., Any]) -> None:
    assert run(mean("[1,3]", "[1, 3]"), CANONICALIZE).lines == ['%y = mean(%x, $a) : float32[1,3] name "m"']
    assert run(mean("[3,1]", "[3, 1]"), CANONICALIZE).refusals == [
        "DropDimensionsInMean: the reshape gives [3, 1], dropping the reduced axes would give [1, 3]"
    ]
