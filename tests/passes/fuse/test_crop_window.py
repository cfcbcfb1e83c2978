"""Crops behind padded convolutions go before them, as causal convolutions need."""

from collections.abc import Callable
from typing import Any

import pytest

from edgec.passes.fuse.crop_window import CropBeforeWindows

CROP = CropBeforeWindows()


def chomped(start: int, length: int, *, pads: tuple[int, int] = (4, 4), stride: int = 1, outputs: str = "%y") -> str:
    """A convolution of window 3 and dilation 2 along a row of 10, padded, cropped and scaled."""
    padded = 10 + sum(pads)
    out = (padded - 5) // stride + 1
    return f"""
  graph @main(%x: float32[1,1,10,2]) {{
    $p = constant int32[4,2] [0, 0, 0, 0, {pads[0]}, {pads[1]}, 0, 0]
    %a = pad(%x, $p) : float32[1,1,{padded},2]
    $w = constant float32[2,1,3,2] [1.0, 2.0, 3.0, -1.0, 0.5, 2.0, 1.5, 1.0, -2.0, 0.25, 3.0, 1.0]
    $b = constant float32[2] [1.0, -2.0]
    %c = conv_2d(%a, $w, $b) {{padding = "VALID", stride_w = {stride}, stride_h = 1, dilation_w_factor = 2}}
      : float32[1,1,{out},2]
    $s = constant int32[4] [0, 0, {start}, 0]
    $n = constant int32[4] [1, 1, {length}, 2]
    %d = slice(%c, $s, $n) : float32[1,1,{length},2]
    $m = constant float32[2] [2.0, 3.0]
    %y = mul(%d, $m) : float32[1,1,{length},2]
    return {outputs}
  }}""".replace("}\n      :", "} :")


def paddings(ran: Any) -> list[int]:
    [pad] = [op for op in ran.module.main.ops if op.opcode == "pad"]
    found: list[int] = pad.operand(1).array()[2].tolist()
    return found


@pytest.mark.parametrize(
    ("start", "length", "left"), [(0, 10, [4, 0]), (4, 10, [0, 4]), (2, 10, [2, 2]), (1, 13, [3, 4])]
)
def test_a_crop_takes_padding_away(run: Callable[..., Any], start: int, length: int, left: list[int]) -> None:
    ran = run(chomped(start, length), CROP)
    assert [op.opcode for op in ran.module.main.ops] == ["pad", "conv_2d", "mul"]
    assert paddings(ran) == left


def test_a_crop_of_all_padding_takes_the_pad_away(run: Callable[..., Any]) -> None:
    assert [op.opcode for op in run(chomped(4, 6), CROP).module.main.ops] == ["conv_2d", "mul"]


def test_a_crop_of_data_goes_before_the_convolution(run: Callable[..., Any]) -> None:
    ran = run(chomped(5, 4), CROP)
    assert [op.opcode for op in ran.module.main.ops] == ["pad", "slice", "conv_2d", "mul"]


def test_strides(run: Callable[..., Any]) -> None:
    ran = run(chomped(1, 5, stride=2), CROP)
    assert [op.opcode for op in ran.module.main.ops] == ["pad", "conv_2d", "mul"]
    assert paddings(ran) == [2, 1]


def test_a_result_with_other_readers_stays(run: Callable[..., Any]) -> None:
    ran = run(chomped(0, 10, outputs="%c, %y"), CROP)
    assert "CropBeforeWindow: 'c' is also a graph output" in ran.refusals
    assert [op.opcode for op in ran.module.main.ops] == ["pad", "conv_2d", "slice", "mul"]
