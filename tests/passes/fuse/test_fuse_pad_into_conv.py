"""Pads go into windows exactly where SAME padding is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgec.passes.fuse.fuse_pad_into_conv import FusePadsIntoWindows

FUSE = FusePadsIntoWindows()


def padded_conv(size: int, kernel: int, stride: int, pads: tuple[int, int], **more: Any) -> str:
    before, after = pads
    padded = size + before + after
    reach = (kernel - 1) * more.get("dilation", 1) + 1
    out = (padded - reach) // stride + 1
    weights = [round(0.5 + i * 0.25, 2) for i in range(kernel * kernel)]
    opcode, extra = ("depthwise_conv_2d", "depth_multiplier = 1, ") if more.get("depthwise") else ("conv_2d", "")
    dilation = more.get("dilation", 1)
    options = f'padding = "VALID", stride_w = {stride}, stride_h = {stride}, {extra}'
    options += f"dilation_w_factor = {dilation}, dilation_h_factor = {dilation}"
    channels = more.get("channels", "0, 0")
    pad, value = ("padv2", ", $v") if "value" in more else ("pad", "")
    return f"""
  graph @main(%x: float32[1,{size},{size},1]) {{
    $p = constant int32[4,2] [0, 0, {before}, {after}, {before}, {after}, {channels}]
    $v = constant float32[] [{more.get("value", 0.0)}]
    %q = {pad}(%x, $p{value}) : float32[1,{padded},{padded},1]
    $w = constant float32[1,{kernel},{kernel},1] {weights}
    $b = constant float32[1] [1.0]
    %y = {opcode}(%q, $w, $b) {{{options}}} : float32[1,{out},{out},1]
    return {more.get("outputs", "%y")}
  }}"""


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads", "dilation"),
    [
        (6, 3, 1, (1, 1), 1), (6, 5, 1, (2, 2), 1), (7, 3, 2, (1, 1), 1), (6, 3, 2, (0, 1), 1), (8, 3, 1, (2, 2), 2),
        (6, 2, 1, (0, 1), 1), (6, 3, 2, (0, 2), 1),
    ],
)  # fmt: skip
def test_same_padding_fuses(
    run: Callable[..., Any], size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int, depthwise: bool
) -> None:
    ran = run(padded_conv(size, kernel, stride, pads, dilation=dilation, depthwise=depthwise), FUSE)
    assert len(ran.lines) == 1
    assert "padding" not in ran.lines[0]  # SAME is the schema's default


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (padded_conv(6, 3, 2, (1, 0)), "height is padded by 1 and 0, SAME padding would be 0 and 1"),
        (padded_conv(6, 3, 1, (2, 2)), "height is padded by 2 and 2, SAME padding would be 1 and 1"),
        (padded_conv(6, 2, 1, (1, 0)), "height is padded by 1 and 0, SAME padding would be 0 and 1"),
        (padded_conv(6, 3, 1, (1, 1), value=1.0), "padv2 'q' pads with another value than zero"),
    ],
)
def test_other_padding_stays(run: Callable[..., Any], text: str, reason: str) -> None:
    ran = run(text, FUSE)
    assert not ran.changed
    assert ran.refusals == [f"FusePadIntoConv: {reason}"]


def test_channel_padding_stays(run: Callable[..., Any]) -> None:
    text = padded_conv(6, 3, 1, (1, 1), channels="0, 1").replace(",8,8,1]", ",8,8,2]")
    text = text.replace("[1,3,3,1] [", "[1,3,3,2] [" + "0.5, " * 9)
    assert run(text, FUSE).refusals == ["FusePadIntoConv: pad 'q' pads more than height and width"]


def test_rows_that_no_window_reads_are_left_out(run: Callable[..., Any]) -> None:
    ran = run(padded_conv(6, 3, 2, (1, 1)), FUSE)  # as PyTorch pads: the last row and column are never read
    pad, _ = ran.module.main.ops
    assert pad.operand(1).array().tolist() == [[0, 0], [1, 0], [1, 0], [0, 0]]
    assert pad.result.shape == (1, 7, 7, 1)


def test_a_pad_that_is_not_read_at_all_goes(run: Callable[..., Any]) -> None:
    assert len(run(padded_conv(5, 3, 2, (0, 1)), FUSE).lines) == 1


def test_an_output_keeps_its_padding(run: Callable[..., Any]) -> None:
    ran = run(padded_conv(6, 3, 2, (1, 1), outputs="%q, %y"), FUSE)
    assert ran.refusals == [
        "FusePadIntoConv: height is padded by 1 and 0, SAME padding would be 0 and 1",
        "TrimPad: 'q' is also a graph output",
    ]


SUM = 'quant {"scale": 4.0, "zero_point": 1}'
Q8 = 'quant {"scale": 0.25, "zero_point": -10}'


def quantized(pad: str, result: str = Q8) -> str:
    return f"""
  graph @main(%x: int8[1,4,4,1] {Q8}) {{
    $p = constant int32[4,2] [0, 0, 1, 1, 1, 1, 0, 0]
    $v = constant int8[1] {Q8} [-10]
    $u = constant int8[1] {Q8} [0]
    %q = {pad} : int8[1,6,6,1] {result}
    $w = constant int8[1,3,3,1] quant {{"scale": 0.5, "zero_point": 0}} "AQIDBAUGBwgJ"
    $b = constant int32[1] quant {{"scale": 0.125, "zero_point": 0}} [3]
    %y = conv_2d(%q, $w, $b) {{padding = "VALID", stride_w = 1, stride_h = 1}} : int8[1,4,4,1] {SUM}
    return %y
  }}"""


@pytest.mark.parametrize("pad", ["pad(%x, $p)", "padv2(%x, $p, $v)"])
def test_integers_pad_with_the_zero_point(run: Callable[..., Any], pad: str) -> None:
    assert len(run(quantized(pad), FUSE, runtimes=("litert", "tflm")).lines) == 1


def test_integers_padded_otherwise_stay(run: Callable[..., Any]) -> None:
    assert run(quantized("padv2(%x, $p, $u)"), FUSE).refusals == [
        "FusePadIntoConv: padv2 'q' pads with another value than zero"
    ]


WINDOW = 'padding = "VALID", stride_w = 2, stride_h = 2, filter_width = 3, filter_height = 3'


def pooled(pad: str, before: str = "tanh", opcode: str = "max_pool_2d") -> str:
    return f"""
  graph @main(%x: float32[1,6,6,2]) {{
    $p = constant int32[4,2] [0, 0, 0, 1, 0, 1, 0, 0]
    $low = constant float32[] [-3.4028234663852886e38]
    %a = {before}(%x) : float32[1,6,6,2]
    %q = {pad} : float32[1,7,7,2]
    %y = {opcode}(%q) {{{WINDOW}}} : float32[1,3,3,2]
    return %y
  }}"""


def test_max_pool(run: Callable[..., Any]) -> None:
    assert len(run(pooled("padv2(%a, $p, $low)"), FUSE).lines) == 2
    assert len(run(pooled("pad(%a, $p)", before="relu6"), FUSE).lines) == 2
    assert run(pooled("pad(%a, $p)"), FUSE).refusals == [
        "FusePadIntoMaxPool: what pad 'q' pads with may be the maximum"
    ]


def test_average_pools_count_padded_zeros_and_stay(run: Callable[..., Any]) -> None:
    assert not run(pooled("pad(%a, $p)", opcode="average_pool_2d"), FUSE).changed


def test_pads_in_a_row_merge(run: Callable[..., Any]) -> None:
    text = """
  graph @main(%x: float32[1,2]) {
    $p = constant int32[2,2] [0, 0, 1, 2]
    %a = pad(%x, $p) : float32[1,5]
    %y = pad(%a, $p) : float32[1,8]
    return %y
  }"""
    ran = run(text, FUSE)
    assert len(ran.lines) == 1
    assert next(ran.module.main.ops).operand(1).array().tolist() == [[0, 0], [2, 4]]
    assert run(text.replace("return %y", "return %a, %y"), FUSE).refusals == ["MergePads: 'a' is also a graph output"]
