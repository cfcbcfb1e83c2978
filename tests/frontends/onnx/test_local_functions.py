"""Models with functions of their own."""

from typing import Any

import numpy as np
import pytest
from onnx import parser

from edgec.errors import ImportFailure
from edgec.frontends.onnx import read_onnx

X = np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3)
INNER = """<domain: "local", opset_import: ["" : 17]>
inner <alpha>(a) => (b) { b = LeakyRelu<alpha: float = @alpha>(a) }
"""
HEAD = '<ir_version: 8, opset_import: ["" : 17, "local" : 1, "other" : 3]>\n'


def check(compare: Any, text: str, oracle: str = "onnxruntime", **feeds: Any) -> list[str]:
    module = compare.check_onnx(parser.parse_model(HEAD + text), {"x": X, **feeds}, oracle=oracle)
    return [op.opcode for graph in module.graphs for op in graph.ops]


def test_nested_calls_hand_attributes_on(compare: Any) -> None:
    text = f"""agraph (float[2,3] x) => (float[2,3] y) {{ y = local.outer<slope = 0.3>(x) }}
    <domain: "local", opset_import: ["" : 17, "local" : 1]>
    outer <slope>(a) => (b) {{ t = local.inner<alpha: float = @slope>(a)  b = Add(t, a) }}
    {INNER}"""
    assert check(compare, text) == ["leaky_relu", "add"]


def test_defaults_of_attributes(compare: Any) -> None:
    text = """agraph (float[2,3] x) => (float[2,3] y) { t = local.inner(x) y = local.inner<alpha = 0.1>(t) }
    <domain: "local", opset_import: ["" : 17]>
    inner <alpha: float = 0.4>(a) => (b) { b = LeakyRelu<alpha: float = @alpha>(a) }"""
    assert check(compare, text) == ["leaky_relu", "leaky_relu"]


@pytest.mark.parametrize("condition", [True, False])
def test_calls_inside_of_branches(compare: Any, condition: bool) -> None:
    text = f"""agraph (float[2,3] x, bool c) => (float[2,3] y) {{
        y = If (c) <then_branch = g1 () => (float[2,3] z) {{ z = local.inner<alpha = 0.2>(x) }},
                    else_branch = g2 () => (float[2,3] w) {{ w = local.inner<alpha = 0.7>(x) }}> }}
    {INNER}"""
    assert check(compare, text, c=np.array(condition)) == ["if", "leaky_relu", "leaky_relu"]


@pytest.mark.parametrize("trips", [0, 1, 3])
def test_calls_inside_of_loops(compare: Any, trips: int) -> None:
    text = f"""agraph (float[2,3] x, int64 n) => (float[2,3] y) {{
        y = Loop (n, , x) <body = g1 (int64 i, bool on, float[2,3] s) => (bool still, float[2,3] z) {{
            still = Identity(on) z = local.inner<alpha = 0.2>(s) }}> }}
    {INNER}"""
    assert "while" in check(compare, text, n=np.array(trips))


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_inside_of_a_function(compare: Any, condition: bool) -> None:
    text = """agraph (float[2,3] x, bool c) => (float[2,3] y) { y = local.choose<alpha = 0.2>(x, c) }
    <domain: "local", opset_import: ["" : 17]>
    choose <alpha>(a, c) => (b) {
        b = If(c) <then_branch = g1 () => (z) { z = LeakyRelu<alpha: float = @alpha>(a) },
                   else_branch = g2 () => (w) { w = Neg(a) }> }"""
    assert check(compare, text, c=np.array(condition)) == ["if", "leaky_relu", "neg"]


def test_functions_of_other_opsets(compare: Any) -> None:
    # Abs means the same in both; before opset 13 Squeeze took its axes as an attribute. onnxruntime refuses this.
    text = """agraph (float[2,3] x) => (float[2,3] y) { t = local.outer(x) y = local.older(t) }
    <domain: "other", opset_import: ["" : 16]>
    inner (a) => (b) { b = Abs(a) }
    <domain: "local", opset_import: ["" : 17, "other" : 3]>
    outer (a) => (b) { t = other.inner(a)  b = Add(t, a) }
    <domain: "local", opset_import: ["" : 11]>
    older (a) => (b) { u = Unsqueeze<axes = [0]>(a) s = Squeeze<axes = [0]>(u) b = Mul(s, s) }"""
    assert check(compare, text, "reference")[:2] == ["abs", "add"]


def test_recursive_functions_are_refused() -> None:
    text = """agraph (float[2,3] x) => (float[2,3] y) { y = local.f(x) }
    <domain: "local", opset_import: ["" : 17, "local" : 1]>
    f (a) => (b) { t = local.g(a)  b = Add(t, a) }
    <domain: "local", opset_import: ["" : 17, "local" : 1]>
    g (a) => (b) { b = local.f(a) }"""
    with pytest.raises(ImportFailure) as caught:
        read_onnx(parser.parse_model(HEAD + text).SerializeToString(), "m.onnx")
    assert str(caught.value) == (
        "Reading 'm.onnx': its function 'local.f' calls itself, directly or by another; a TFLite model has no "
        "recursion."
    )
