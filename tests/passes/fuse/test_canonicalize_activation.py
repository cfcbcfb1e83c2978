"""Spelled-out activations are recognized in every way exporters write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgec.passes.fuse.canonicalize_activation import CanonicalizeActivation

CANONICALIZE = CanonicalizeActivation()
T = "float32[2,8]"


def graph(*lines: str, outputs: str = "%y") -> str:
    body = "\n    ".join(f"{line} : {T}" for line in lines)
    return f"""
  graph @main(%x: {T}) {{
    $zero = constant float32[] [0.0]
    $half = constant float32[] [0.5]
    $one = constant float32[1] [1.0]
    $three = constant float32[] [3.0]
    $six = constant float32[] [6.0]
    $sixth = constant float32[] [0.16666667]
    {body}
    return {outputs}
  }}"""


HARD_SWISHES = {
    "x * relu6(x + 3) / 6": ("%a = add(%x, $three)", "%b = relu6(%a)", "%c = mul(%x, %b)", "%y = div(%c, $six)"),
    "x * (relu6(x + 3) * 1/6)": ("%a = add($three, %x)", "%b = relu6(%a)", "%c = mul(%b, $sixth)", "%y = mul(%c, %x)"),
    "(x / 6) * relu6(x + 3)": ("%a = add(%x, $three)", "%b = relu6(%a)", "%c = div(%x, $six)", "%y = mul(%b, %c)"),
    "a fused relu6": (
        '%a = add(%x, $three) {fused_activation_function = "RELU6"}', "%b = mul(%x, %a)", "%y = mul($sixth, %b)"),
    "maximum and minimum": (
        "%a = add(%x, $three)", "%b = maximum(%a, $zero)", "%d = minimum(%b, $six)", "%c = mul(%x, %d)",
        "%y = div(%c, $six)"),
    "x * clamp(x / 6 + 1/2, 0, 1)": (
        "%a = mul(%x, $sixth)", "%b = add(%a, $half)", "%d = maximum($zero, %b)", "%e = minimum(%d, $one)",
        "%y = mul(%x, %e)"),
}  # fmt: skip


@pytest.mark.parametrize("form", HARD_SWISHES)
def test_hard_swish(run: Callable[..., Any], form: str) -> None:
    assert run(graph(*HARD_SWISHES[form]), CANONICALIZE).lines == [f"%y = hard_swish(%x) : {T}"]


def test_hard_swish_of_a_scaled_value(run: Callable[..., Any]) -> None:
    lines = ("%s = mul(%x, $half)", "%a = add(%s, $three)", "%b = relu6(%a)", "%c = mul(%s, %b)", "%y = div(%c, $six)")
    assert run(graph(*lines), CANONICALIZE).lines[-1] == f"%y = hard_swish(%s) : {T}"


@pytest.mark.parametrize(
    "lines",
    [
        ("%a = add(%x, $three)", "%b = relu6(%a)", "%c = mul(%x, %b)", "%y = div(%c, $three)"),  # twice a hard swish
        ("%a = add(%x, $half)", "%b = relu6(%a)", "%c = mul(%x, %b)", "%y = div(%c, $six)"),  # another shift
        ("%z = tanh(%x)", "%a = add(%z, $three)", "%b = relu6(%a)", "%c = mul(%x, %b)", "%y = div(%c, $six)"),
        ("%a = add(%x, $three)", "%b = relu6(%a)", "%c = mul(%x, %b)", "%y = div($six, %c)"),
        ("%a = add(%x, $three)", "%b = relu(%a)", "%c = mul(%x, %b)", "%y = div(%c, $six)"),
        ("%a = sub(%x, $three)", "%b = relu6(%a)", "%c = mul(%x, %b)", "%y = div(%c, $six)"),
    ],
)
def test_what_is_no_hard_swish_stays(run: Callable[..., Any], lines: tuple[str, ...]) -> None:
    assert not run(graph(*lines), CANONICALIZE).changed


def test_hard_swish_stays_where_the_gate_is_read(run: Callable[..., Any]) -> None:
    lines = HARD_SWISHES["x * relu6(x + 3) / 6"]
    assert run(graph(*lines, outputs="%b, %y"), CANONICALIZE).refusals == [
        "RecognizeHardSwish: 'b' is also a graph output"
    ]
    assert run(graph(*lines, "%z = tanh(%a)", outputs="%y, %z"), CANONICALIZE).refusals == [
        "RecognizeHardSwish: 'a' is also used by tanh 'z'"
    ]


@pytest.mark.parametrize(
    ("lines", "result"),
    [
        (("%y = maximum(%x, $zero)",), "relu(%x)"),
        (("%a = maximum(%x, $zero)", "%y = minimum(%a, $six)"), "relu6(%x)"),
        (("%a = minimum(%x, $six)", "%y = maximum($zero, %a)"), "relu6(%x)"),
        (("%a = relu(%x)", "%y = minimum(%a, $one)"), "relu_0_to_1(%x)"),
        (("%a = relu6(%x)", "%y = relu(%a)"), "relu6(%x)"),
        (("%a = relu_n1_to_1(%x)", "%y = relu(%a)"), "relu_0_to_1(%x)"),
    ],
)
def test_clamps(run: Callable[..., Any], lines: tuple[str, ...], result: str) -> None:
    assert run(graph(*lines), CANONICALIZE).lines == [f"%y = {result} : {T}"]


def test_equal_limits_in_a_row_merge(run: Callable[..., Any]) -> None:
    ran = run(graph("%a = minimum(%x, $six)", "%y = minimum(%a, $three)"), CANONICALIZE)
    assert len(ran.lines) == 1
    assert next(ran.module.main.ops).operand(1).array() == 3


def test_clamps_stay(run: Callable[..., Any]) -> None:
    read = run(graph("%a = maximum(%x, $half)", "%b = minimum(%a, $six)", "%y = maximum(%b, $one)"), CANONICALIZE)
    assert not read.changed  # [1, 6] has no name and is no single limit
    two = run(graph("%a = relu6(%x)", "%y = relu(%a)", outputs="%a, %y"), CANONICALIZE)
    assert two.refusals == ["MergeClamps: 'a' is also a graph output"]


def test_leaky_relu(run: Callable[..., Any]) -> None:
    assert run(graph("%a = mul(%x, $half)", "%y = maximum(%x, %a)"), CANONICALIZE).lines == [
        f"%y = leaky_relu(%x) {{alpha = 0.5}} : {T}"
    ]
    steep = run(graph("%a = mul($three, %x)", "%y = maximum(%a, %x)"), CANONICALIZE)
    assert steep.refusals == ["RecognizeLeakyRelu: the slope 3 is not between 0 and 1"]


def test_integer_clamps_stay(run: Callable[..., Any]) -> None:
    type_ = 'int8[1,4] quant {"scale": 0.25, "zero_point": -10}'
    text = f"""
  graph @main(%x: {type_}) {{
    %a = relu6(%x) : {type_}
    %y = relu(%a) : {type_}
    return %y
  }}"""
    assert run(text, CANONICALIZE, runtimes=("litert", "tflm")).refusals == [
        "MergeClamps: 'y' is int8, whose bounds depend on its scale"
    ]
