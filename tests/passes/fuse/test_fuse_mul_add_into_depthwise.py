"""Batch norms that no convolution takes become one depthwise convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgec.passes.fuse.fuse_mul_add_into_depthwise import FuseMulAdd

FUSE = FuseMulAdd()


def scaled(x: str = "float32[1,4,4,2]", constant: str = "float32[2]", first: str = "", outputs: str = "%y") -> str:
    values = "[2.0, -3.0]" if constant != "float32[1,4,1,1]" else "[1.0, 2.0, 3.0, 4.0]"
    return f"""
  graph @main(%x: {x}) {{
    $s = constant {constant} {values}
    %m = mul(%x, $s){first} : {x}
    $t = constant float32[] [0.5]
    %y = sub(%m, $t) {{fused_activation_function = "RELU"}} : {x}
    return {outputs}
  }}"""


def test_a_pair_becomes_one_op(run: Callable[..., Any]) -> None:
    ran = run(scaled(), FUSE, runtimes=("litert", "tflm"))
    assert ran.lines == [
        '%y = depthwise_conv_2d(%x, $"m/weight", $"y/bias") {padding = "VALID", stride_w = 1, stride_h = 1, '
        'depth_multiplier = 1, fused_activation_function = "RELU"} : float32[1,4,4,2]'
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (scaled("float32[1,2]"), "'x' has rank 2, a depthwise convolution takes 4"),
        (scaled(constant="float32[1,4,1,1]"), "the constant of mul 'm' is not one value for each of 2 channels"),
        (scaled(first=' {fused_activation_function = "RELU6"}'), "mul 'm' applies RELU6"),
        (scaled(outputs="%m, %y"), "'m' is also a graph output"),
    ],
)
def test_stays_away_and_says_why(run: Callable[..., Any], text: str, reason: str) -> None:
    ran = run(text, FUSE)
    assert not ran.changed
    assert ran.refusals == [f"FuseMulAddIntoDepthwise: {reason}"]
