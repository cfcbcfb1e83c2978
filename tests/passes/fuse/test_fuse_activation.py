"""ReLUs become attributes, in float and, where exact, in integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgec.passes.fuse.fuse_activation import FuseActivations

FUSE = FuseActivations()
T = "float32[1,4,4,2]"
POOL = '{padding = "VALID", stride_w = 1, stride_h = 1, filter_width = 1, filter_height = 1}'
CONSTANTS = """$w = constant float32[2,1,1,2] [1.0, 2.0, -1.0, 0.5]
    $d = constant float32[1,1,1,2] [1.0, -1.0]
    $f = constant float32[2,2] [1.0, 2.0, -1.0, 0.5]
    $b = constant float32[2] [0.5, -1.0]
    $o = constant int32[4] [1, 4, 4, 2]"""
PRODUCERS = {
    "conv_2d": 'conv_2d(%x, $w, $b) {padding = "SAME", stride_w = 1, stride_h = 1}',
    "depthwise_conv_2d": "depthwise_conv_2d(%x, $d, $b) {stride_w = 1, stride_h = 1, depth_multiplier = 1}",
    "transpose_conv": 'transpose_conv($o, $w, %x) {padding = "SAME", stride_w = 1, stride_h = 1}',
    "fully_connected": "fully_connected(%x, $f, $b) {keep_num_dims = true}",
    "add": "add(%x, $b)", "sub": "sub(%x, $b)", "mul": "mul(%x, $b)", "div": "div(%x, $b)",
    "average_pool_2d": f"average_pool_2d(%x) {POOL}", "max_pool_2d": f"max_pool_2d(%x) {POOL}",
}  # fmt: skip


def clamped(producer: str, *relus: str, type_: str = T, outputs: str = "%y") -> str:
    lines, value = [], "%p"
    for index, relu in enumerate(relus):
        result = "%y" if index == len(relus) - 1 else f"%r{index}"
        lines.append(f"{result} = {relu}({value}) : {type_}")
        value = result
    body = "\n    ".join(lines)
    return f"""
  graph @main(%x: {type_}) {{
    {CONSTANTS}
    %p = {producer} : {type_}
    {body}
    return {outputs}
  }}"""


@pytest.mark.parametrize("relu", ["relu", "relu6", "relu_n1_to_1"])
@pytest.mark.parametrize("opcode", PRODUCERS)
def test_every_carrier_applies_every_relu(run: Callable[..., Any], opcode: str, relu: str) -> None:
    runtimes = ("litert",) if relu == "relu_n1_to_1" else ("litert", "tflm")  # TFLM has it as an attribute only
    ran = run(clamped(PRODUCERS[opcode], relu), FUSE, runtimes=runtimes)
    assert len(ran.lines) == 1
    assert ran.lines[0].startswith(f"%y = {opcode}(")
    assert f'fused_activation_function = "{relu.upper()}"' in ran.lines[0]


def test_clamps_in_a_row_intersect(run: Callable[..., Any]) -> None:
    assert '"RELU6"' in run(clamped(PRODUCERS["add"], "relu", "relu6", "relu"), FUSE).lines[0]
    ran = run(clamped(PRODUCERS["add"], "relu6", "relu_n1_to_1"), FUSE)  # [0, 1] has an op but no attribute
    assert [line.split("(")[0] for line in ran.lines] == ["%r0 = add", "%y = relu_n1_to_1"]


def test_fused_twice_needs_a_name(run: Callable[..., Any]) -> None:
    ran = run(clamped(PRODUCERS["add"] + ' {fused_activation_function = "RELU6"}', "relu_n1_to_1"), FUSE)
    assert ran.refusals == ["FuseActivation: add 'p' applies RELU6 already, and no attribute stands for both"]


def test_kernels_without_activation_are_refused(run: Callable[..., Any]) -> None:
    ran = run(clamped("concatenation(%x) {axis = 3}", "relu"), FUSE)
    assert ran.refusals == ["FuseActivation: no kernel of concatenation applies an activation"]


def test_other_readers_keep_the_value(run: Callable[..., Any]) -> None:
    ran = run(clamped(PRODUCERS["add"], "relu", outputs="%y, %p"), FUSE)
    assert ran.refusals == ["FuseActivation: 'p' is also a graph output"]


Q8 = 'int8[1,4,4,2] quant {"scale": 0.25, "zero_point": -10}'
OTHER = 'int8[1,4,4,2] quant {"scale": 0.5, "zero_point": -128}'


def quantized(result: str, relu: str, runs_after: str = Q8) -> str:
    return f"""
  graph @main(%x: {Q8}) {{
    $w = constant int8[2,1,1,2] quant {{"scale": [0.5, 0.25], "zero_point": 0, "axis": 0}} [10, 20, -30, 40]
    $b = constant int32[2] quant {{"scale": [0.125, 0.0625], "zero_point": 0, "axis": 0}} [100, -7]
    %p = conv_2d(%x, $w, $b) {{padding = "SAME", stride_w = 1, stride_h = 1}} : {runs_after}
    %y = {relu}(%p) : {result}
    return %y
  }}"""


@pytest.mark.parametrize("relu", ["relu", "relu6"])
def test_integers_fuse_bit_for_bit(run: Callable[..., Any], relu: str) -> None:
    ran = run(quantized(Q8, relu), FUSE, runtimes=("litert", "tflm"))
    assert len(ran.lines) == 1


def test_integers_of_another_scale_stay(run: Callable[..., Any]) -> None:
    ran = run(quantized(OTHER, "relu6"), FUSE, runtimes=("litert", "tflm"))
    assert ran.refusals == ["FuseActivation: 'y' is quantized otherwise than 'p'"]
