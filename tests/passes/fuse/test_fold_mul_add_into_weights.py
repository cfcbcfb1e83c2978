"""Scales and shifts go into weights: where, and where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.passes.fuse.fold_mul_add_into_weights import FoldMulAddIntoWeights

FOLD = FoldMulAddIntoWeights()
CONV_WEIGHT = "$w = constant float32[3,1,1,2] [1.0, 2.0, -1.0, 0.5, 3.0, -2.0]"
CONV_BIAS = "$b = constant float32[3] [0.5, -1.0, 2.0]"
CONV_3X3 = "$w = constant float32[1,2,2,2] [1.0, 2.0, -1.0, 0.5, 3.0, -2.0, 1.5, 0.25]"
STRIDE = "stride_w = 1, stride_h = 1"


def conv_then(*lines: str, result: str = "%y", attributes: str = 'padding = "VALID", ', bias: bool = True) -> str:
    body = "\n    ".join(lines)
    return f"""
  graph @main(%x: float32[1,4,4,2]) {{
    {CONV_WEIGHT}
    {CONV_BIAS}
    %c = conv_2d(%x, $w, {"$b" if bias else "none"}) {{{attributes}{STRIDE}}} : float32[1,4,4,3]
    {body}
    return {result}
  }}"""


def constants(ran: Any, opcode: str = "conv_2d") -> tuple[Any, ...]:
    op = next(op for op in ran.module.main.ops if op.opcode == opcode)
    return tuple(v.array().reshape(-1).tolist() for v in op.operands if v is not None and v.is_constant)


def test_batch_norm_goes_into_the_convolution_before(run: Callable[..., Any]) -> None:
    text = conv_then(
        "$s = constant float32[3] [2.0, -1.0, 4.0]", "%m = mul(%c, $s) : float32[1,4,4,3]",
        "$t = constant float32[1,1,1,3] [1.0, 2.0, 3.0]", "%y = add(%m, $t) : float32[1,4,4,3]",
    )  # fmt: skip
    ran = run(text, FOLD)
    assert ran.lines == ['%y = conv_2d(%x, $w, $b) {padding = "VALID", stride_w = 1, stride_h = 1} '
                         ': float32[1,4,4,3] name "c"']  # fmt: skip
    # by hand: w' = w * s a row, b' = b * s + t
    assert constants(ran) == ([2.0, 4.0, 1.0, -0.5, 12.0, -8.0], [2.0, 3.0, 11.0])


def test_a_bias_is_made_where_there_was_none(run: Callable[..., Any]) -> None:
    text = """
  graph @main(%x: float32[2,3]) {
    $w = constant float32[2,3] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    %c = fully_connected(%x, $w) : float32[2,2]
    $t = constant float32[2] [0.5, -0.5]
    %y = sub(%c, $t) : float32[2,2]
    return %y
  }"""
    ran = run(text, FOLD)
    assert ran.lines == ['%y = fully_connected(%x, $w, $"c/bias") : float32[2,2] name "c"']
    assert constants(ran, "fully_connected") == ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [-0.5, 0.5])


@pytest.mark.parametrize(
    ("line", "weights", "bias"),
    [
        ("%y = div(%c, $k) : float32[1,4,4,3]", [0.5, 1.0, -0.5, 0.25, 1.5, -1.0], [0.25, -0.5, 1.0]),
        ("%y = sub(%c, $k) : float32[1,4,4,3]", [1.0, 2.0, -1.0, 0.5, 3.0, -2.0], [-1.5, -3.0, 0.0]),
        ("%y = sub($k, %c) : float32[1,4,4,3]", [-1.0, -2.0, 1.0, -0.5, -3.0, 2.0], [1.5, 3.0, 0.0]),
    ],
)
def test_scalars(run: Callable[..., Any], line: str, weights: list[float], bias: list[float]) -> None:
    ran = run(conv_then("$k = constant float32[] [2.0]", line), FOLD)
    assert constants(ran) == (weights, bias)


def test_the_activation_of_a_folded_op_passes_on(run: Callable[..., Any]) -> None:
    text = conv_then("$k = constant float32[] [2.0]",
                     '%y = mul(%c, $k) {fused_activation_function = "RELU6"} : float32[1,4,4,3]')  # fmt: skip
    assert 'fused_activation_function = "RELU6"' in run(text, FOLD).lines[0]


def test_depthwise_transposed_and_following_convolutions(run: Callable[..., Any]) -> None:
    text = """
  graph @main(%x: float32[1,3,3,2]) {
    $d = constant float32[1,2,2,2] [1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0]
    $e = constant float32[2] [1.0, 2.0]
    %a = depthwise_conv_2d(%x, $d, $e) {stride_w = 1, stride_h = 1, depth_multiplier = 1} : float32[1,3,3,2]
    $s = constant float32[2] [2.0, -3.0]
    %b = mul(%a, $s) : float32[1,3,3,2]
    %r = tanh(%b) : float32[1,3,3,2]
    $shape = constant int32[4] [1, 6, 6, 1]
    $t = constant float32[1,2,2,2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    %u = mul(%r, $s) : float32[1,3,3,2]
    %v = transpose_conv($shape, $t, %u) {padding = "SAME", stride_w = 2, stride_h = 2} : float32[1,6,6,1]
    $k = constant float32[] [0.5]
    %w = mul(%v, $k) : float32[1,6,6,1]
    %y = add(%w, $k) : float32[1,6,6,1]
    return %y
  }"""
    ran = run(text, FOLD)
    assert [op.opcode for op in ran.module.main.ops] == ["depthwise_conv_2d", "tanh", "transpose_conv"]


@pytest.mark.parametrize("opcode", ["mul", "add"])
def test_before_a_valid_convolution_both_fold(run: Callable[..., Any], opcode: str) -> None:
    text = f"""
  graph @main(%x: float32[1,4,4,2]) {{
    $s = constant float32[2] [2.0, -3.0]
    %m = {opcode}(%x, $s) : float32[1,4,4,2]
    {CONV_3X3}
    $b = constant float32[1] [1.0]
    %y = conv_2d(%m, $w, $b) {{padding = "VALID", {STRIDE}}} : float32[1,3,3,1]
    return %y
  }}"""
    ran = run(text, FOLD)
    assert [op.opcode for op in ran.module.main.ops] == ["conv_2d"]
    if opcode == "add":  # by hand: sum of w over the first channel is 4.5, over the second 0.75
        assert constants(ran)[1] == [1.0 + 2 * 4.5 - 3 * 0.75]


def test_before_grouped_and_depthwise_convolutions(run: Callable[..., Any]) -> None:
    text = f"""
  graph @main(%x: float32[1,2,2,4]) {{
    $s = constant float32[4] [1.0, 2.0, 3.0, 4.0]
    %m = mul(%x, $s) : float32[1,2,2,4]
    $w = constant float32[4,1,1,2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    $b = constant float32[4] [0.0, 0.0, 0.0, 0.0]
    %g = conv_2d(%m, $w, $b) {{padding = "VALID", {STRIDE}}} : float32[1,2,2,4]
    %t = tanh(%g) : float32[1,2,2,4]
    %n = add(%t, $s) : float32[1,2,2,4]
    $v = constant float32[1,1,1,8] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    $c = constant float32[8] [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    %y = depthwise_conv_2d(%n, $v, $c) {{padding = "SAME", {STRIDE}, depth_multiplier = 2}} : float32[1,2,2,8]
    return %y
  }}"""
    ran = run(text, FOLD)
    assert [op.opcode for op in ran.module.main.ops] == ["conv_2d", "tanh", "depthwise_conv_2d"]
    assert constants(ran)[0] == [1.0, 4.0, 3.0, 8.0, 15.0, 24.0, 21.0, 32.0]
    assert constants(ran, "depthwise_conv_2d")[1] == [1.0, 2.0, 6.0, 8.0, 15.0, 18.0, 28.0, 32.0]


def test_before_a_layer_that_flattens(run: Callable[..., Any]) -> None:
    text = """
  graph @main(%x: float32[2,1,2,2]) {
    $s = constant float32[2] [2.0, -3.0]
    %m = mul(%x, $s) : float32[2,1,2,2]
    $w = constant float32[1,4] [1.0, 2.0, 3.0, 4.0]
    %y = fully_connected(%m, $w) : float32[2,1]
    return %y
  }"""
    assert constants(run(text, FOLD), "fully_connected")[0] == [2.0, -6.0, 6.0, -12.0]


def test_a_scale_passes_a_pad_of_zeros(run: Callable[..., Any]) -> None:
    text = f"""
  graph @main(%x: float32[1,4,4,2]) {{
    $s = constant float32[2] [2.0, -3.0]
    %m = mul(%x, $s) : float32[1,4,4,2]
    $p = constant int32[4,2] [0, 0, 1, 0, 1, 0, 0, 0]
    %q = pad(%m, $p) : float32[1,5,5,2]
    {CONV_3X3}
    $b = constant float32[1] [1.0]
    %y = conv_2d(%q, $w, $b) {{padding = "VALID", {STRIDE}}} : float32[1,4,4,1]
    return %y
  }}"""
    ran = run(text, FOLD)
    assert [op.opcode for op in ran.module.main.ops] == ["pad", "conv_2d"]
    shifted = run(text.replace("mul(", "add("), FOLD)
    assert not shifted.changed
    assert shifted.refusals == ["FoldIntoWeightsAfter: pad 'q' pads with zeros, which the shift does not reach"]


def test_constants_in_a_row_merge(run: Callable[..., Any]) -> None:
    text = """
  graph @main(%x: float32[1,2]) {
    $a = constant float32[2] [2.0, 3.0]
    %m = mul(%x, $a) : float32[1,2]
    %n = div(%m, $a) : float32[1,2]
    %o = mul(%n, $a) : float32[1,2]
    %p = add(%o, $a) : float32[1,2]
    %q = sub(%p, $a) : float32[1,2]
    %r = add($a, %q) : float32[1,2]
    %s = mul(%r, $a) : float32[1,2]
    %y = add(%s, $a) {fused_activation_function = "RELU"} : float32[1,2]
    return %y
  }"""
    ran = run(text, FOLD)
    assert [op.opcode for op in ran.module.main.ops] == ["mul", "add"]
    # ((x * a / a * a) + a - a + a) * a + a = x a^2 + a^2 + a
    np.testing.assert_allclose(constants(ran, "mul")[0], [4.0, 9.0], rtol=1e-6)
    np.testing.assert_allclose(constants(ran, "add")[0], [6.0, 12.0], rtol=1e-6)
    assert 'fused_activation_function = "RELU"' in ran.lines[1]


REFUSED = {
    "an activation in between": (
        conv_then("$k = constant float32[] [2.0]", "%y = mul(%c, $k) : float32[1,4,4,3]",
                  attributes='padding = "VALID", fused_activation_function = "RELU", '),
        "FoldIntoWeightsBefore: conv_2d 'c' applies RELU before it",
    ),
    "another reader": (
        conv_then("%t = tanh(%c) : float32[1,4,4,3]", "$k = constant float32[] [2.0]",
                  "%y = mul(%c, $k) : float32[1,4,4,3]", result="%t, %y"),
        "FoldIntoWeightsBefore: 'c' is also used by tanh 't'",
    ),
    "a graph output": (
        conv_then("$k = constant float32[] [2.0]", "%y = mul(%c, $k) : float32[1,4,4,3]", result="%c, %y"),
        "FoldIntoWeightsBefore: 'c' is also a graph output",
    ),
    "a constant that varies in space": (
        conv_then("$k = constant float32[1,4,1,1] [1.0, 2.0, 3.0, 4.0]", "%y = mul(%c, $k) : float32[1,4,4,3]"),
        "FoldIntoWeightsBefore: its constant of shape [1, 4, 1, 1] is neither a scalar nor one value for each of 3 "
        "channels",
    ),
    "a shift before SAME padding": (
        f"""
  graph @main(%x: float32[1,4,4,2]) {{
    $s = constant float32[2] [2.0, -3.0]
    %m = add(%x, $s) : float32[1,4,4,2]
    {CONV_3X3}
    $b = constant float32[1] [1.0]
    %y = conv_2d(%m, $w, $b) {{padding = "SAME", {STRIDE}}} : float32[1,4,4,1]
    return %y
  }}""",
        "FoldIntoWeightsAfter: conv_2d 'y' pads with zeros, which the shift does not reach",
    ),
    "a shift before a transposed convolution": (
        """
  graph @main(%x: float32[1,3,3,2]) {
    $s = constant float32[2] [2.0, -3.0]
    %m = add(%x, $s) : float32[1,3,3,2]
    $shape = constant int32[4] [1, 6, 6, 1]
    $t = constant float32[1,2,2,2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    %y = transpose_conv($shape, $t, %m) {padding = "SAME", stride_w = 2, stride_h = 2} : float32[1,6,6,1]
    return %y
  }""",
        "FoldIntoWeightsAfter: transpose_conv 'y' reads fewer values at its borders than inside",
    ),
    "an activation of the scale itself": (
        f"""
  graph @main(%x: float32[1,4,4,2]) {{
    $s = constant float32[2] [2.0, -3.0]
    %m = mul(%x, $s) {{fused_activation_function = "RELU"}} : float32[1,4,4,2]
    {CONV_WEIGHT}
    {CONV_BIAS}
    %y = conv_2d(%m, $w, $b) {{padding = "VALID", {STRIDE}}} : float32[1,4,4,3]
    return %y
  }}""",
        "FoldIntoWeightsAfter: it applies RELU",
    ),
    "a scale that two layers read": (
        f"""
  graph @main(%x: float32[1,4,4,2]) {{
    $s = constant float32[2] [2.0, -3.0]
    %m = mul(%x, $s) : float32[1,4,4,2]
    {CONV_WEIGHT}
    {CONV_BIAS}
    %y = conv_2d(%m, $w, $b) {{padding = "VALID", {STRIDE}}} : float32[1,4,4,3]
    %z = conv_2d(%m, $w, $b) {{padding = "VALID", {STRIDE}}} : float32[1,4,4,3]
    return %y, %z
  }}""",
        "FoldIntoWeightsAfter: 'm' is also used by conv_2d 'z'",
    ),
    "constants that would grow": (
        """
  graph @main(%x: float32[1,4,4,2]) {
    $s = constant float32[2] [2.0, -3.0]
    %m = mul(%x, $s) : float32[1,4,4,2]
    $r = constant float32[1,4,1,1] [1.0, 2.0, 3.0, 4.0]
    %y = mul(%m, $r) : float32[1,4,4,2]
    return %y
  }""",
        "MergeAffine: the merged constant would have 8 elements instead of 4",
    ),
    "constants that would overflow": (
        """
  graph @main(%x: float32[1,2]) {
    $s = constant float32[] [1e30]
    %m = mul(%x, $s) : float32[1,2]
    %y = mul(%m, $s) : float32[1,2]
    return %y
  }""",
        "MergeAffine: the merged constant would not be finite in float32",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("case", REFUSED)
def test_stays_away_and_says_why(run: Callable[..., Any], case: str) -> None:
    text, reason = REFUSED[case]
    ran = run(text, FOLD, runnable="overflow" not in case)
    assert not ran.changed
    assert ran.refusals == [reason]


def test_quantized_and_computed_weights_stay(run: Callable[..., Any]) -> None:
    hybrid = conv_then("$k = constant float32[] [2.0]", "%y = mul(%c, $k) : float32[1,4,4,3]").replace(
        CONV_WEIGHT, '$w = constant int8[3,1,1,2] quant {"scale": 0.1, "zero_point": 0} [1, 2, 3, 4, 5, 6]'
    )
    assert run(hybrid, FOLD).refusals == [
        "FoldIntoWeightsBefore: 'w' is int8; only float32 can be changed without rounding anew"
    ]
    stored = conv_then("$k = constant float32[] [2.0]", "%y = mul(%c, $k) : float32[1,4,4,3]").replace(
        CONV_WEIGHT, "$h = constant float16[3,1,1,2] [1, 2, 3, 4, 5, 6]\n    %w = dequantize($h) : float32[3,1,1,2]"
    ).replace("(%x, $w,", "(%x, %w,")  # fmt: skip
    assert run(stored, FOLD).refusals == ["FoldIntoWeightsBefore: 'w' is no constant"]


def test_shared_weights_are_copied(run: Callable[..., Any]) -> None:
    text = conv_then(
        "$k = constant float32[] [2.0]", "%y = mul(%c, $k) : float32[1,4,4,3]",
        f'%z = conv_2d(%x, $w, $b) {{padding = "VALID", {STRIDE}}} : float32[1,4,4,3]', result="%y, %z",
    )  # fmt: skip
    first, second = list(run(text, FOLD).module.main.ops)
    assert first.operand(1).array().reshape(-1).tolist() == [2.0, 4.0, -2.0, 1.0, 6.0, -4.0]
    assert second.operand(1).array().reshape(-1).tolist() == [1.0, 2.0, -1.0, 0.5, 3.0, -2.0]


def test_integer_arithmetic_stays(run: Callable[..., Any]) -> None:
    quant = 'quant {"scale": 0.05, "zero_point": 3}'
    text = f"""
  graph @main(%x: int8[1,2] {quant}) {{
    $k = constant int8[2] {quant} [20, 40]
    %m = mul(%x, $k) : int8[1,2] {quant}
    %y = mul(%m, $k) : int8[1,2] {quant}
    return %y
  }}"""
    assert not run(text, FOLD, runtimes=("litert", "tflm")).changed
