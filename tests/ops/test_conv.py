"""Shapes, MACs and refusals of convolutions, worked out by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]
STRIDES = {"stride_h": 2, "stride_w": 1}


def zeros(*shape: int, dtype: type = np.float32) -> np.ndarray[Any, Any]:
    return np.zeros(shape, dtype)


def test_same_padding_divides_by_the_stride_and_rounds_up(shape: Shape) -> None:
    assert shape("conv_2d", (1, 9, 6, 4), zeros(5, 3, 3, 4), **STRIDES) == (1, 5, 6, 5)


def test_valid_padding_counts_whole_windows(shape: Shape) -> None:
    # height: a window of 3 dilated by 2 reaches over 5 of 9 rows: (9 - 5) // 2 + 1 = 3; width: 6 - 3 + 1 = 4
    assert shape("conv_2d", (1, 9, 6, 4), zeros(5, 3, 3, 4), padding="VALID", dilation_h_factor=2, **STRIDES) == (
        1, 3, 4, 5,
    )  # fmt: skip


def test_macs_are_result_elements_times_window(make: Make) -> None:
    conv = make("conv_2d", (1, 8, 8, 3), zeros(16, 3, 3, 3), stride_h=1, stride_w=1)
    depthwise = make("depthwise_conv_2d", (1, 8, 8, 3), zeros(1, 3, 3, 6), stride_h=1, stride_w=1)
    grouped = make("conv_2d", (1, 8, 8, 4), zeros(6, 3, 3, 2), stride_h=1, stride_w=1)
    transposed = make("transpose_conv", [1, 16, 16, 5], zeros(5, 3, 3, 4), (1, 8, 8, 4), stride_h=2, stride_w=2)
    found = [OP_DEFS[op.opcode].macs(op) for op in (conv, depthwise, grouped, transposed)]
    assert found == [8 * 8 * 16 * 27, 8 * 8 * 6 * 9, 8 * 8 * 6 * 18, 8 * 8 * 4 * 5 * 9]


def test_a_moving_batch_moves_the_result(make: Make) -> None:
    x = TensorType((1, 8, 8, 3), DType.FLOAT32, None, (-1, 8, 8, 3))
    op = make("conv_2d", x, zeros(4, 3, 3, 3), stride_h=1, stride_w=1)
    assert op.result.type.signature == (-1, 8, 8, 4)


def test_what_does_not_fit_is_refused_in_one_sentence(refusal: Refusal) -> None:
    weight = zeros(5, 3, 3, 4)
    assert refusal("conv_2d", (1, 8, 8, 3), weight, **STRIDES) == "3 input channels do not fit weights [5, 3, 3, 4]"
    assert refusal("conv_2d", (1, 8, 8, 4), weight) == "window 3, stride 0 and dilation 1 must be positive"
    assert refusal("conv_2d", (1, 8, 8, 4), weight, zeros(4), **STRIDES).endswith("4 elements for 5 output channels")
    assert refusal("conv_2d", (1, 2, 8, 4), weight, padding="VALID", **STRIDES) == (
        "a window of 3 does not fit into 2 positions"
    )
    assert refusal("conv_2d", (1, 8, 8, 4), zeros(5, 3, 3, 4, dtype=np.int32), **STRIDES) == (
        "float32 activations do not go with int32 weights"
    )
    assert refusal("transpose_conv", [1, 9, 8, 5], weight, (1, 3, 8, 4), **STRIDES) == (
        "output shape [1, 9, 8, 5] does not come from an input of [1, 3, 8, 4]"
    )


@pytest.mark.parametrize(
    ("scales", "version"), [((0.1,), 2), ((0.1, 0.2, 0.3, 0.4, 0.5), 5)], ids=["per tensor", "per channel"]
)
def test_hybrid_version_follows_the_weights(make: Make, scales: tuple[float, ...], version: int) -> None:
    op = make("conv_2d", (1, 8, 8, 4), zeros(5, 3, 3, 4, dtype=np.int8), **STRIDES)
    weight = op.operand(1)
    weight.type = weight.type.with_quant(QuantParams(scales, (0,) * len(scales), 0))
    assert OP_DEFS["conv_2d"].write_version(op) == version
