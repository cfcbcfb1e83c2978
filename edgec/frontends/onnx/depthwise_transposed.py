"""Depthwise transposed convolutions, which TFLite has no op for: one depthwise convolution a phase of the stride.

Output position q * stride + a is a sum over the taps a, a + stride, a + 2 * stride, … of the kernel, so that each phase
`a` is a convolution of the input, and `depth_to_space` puts the phases of both axes side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgec.frontends.onnx.translation import Translation
from edgec.ir.graph import Value

LARGEST_STRIDE = 4  # its square is the number of convolutions
FEWEST_CHANNELS = 5  # below, one transpose_conv a channel takes no more ops


@dataclass(frozen=True)
class Phases:
    """One axis: `inputs` positions give `kept` ones, after the first `crop`, of what the kernel writes at a stride."""

    inputs: int
    kernel: int
    stride: int
    crop: int
    kept: int

    @property
    def taps(self) -> int:
        """Taps of one phase."""
        return -(-self.kernel // self.stride)

    @property
    def after(self) -> int:
        """Zeros behind the input, for positions that lie there."""
        return max(-(-(self.crop + self.kept) // self.stride) - self.inputs, 0)


def is_depthwise(x: Value, weight: Value, group: int, strides: Sequence[int]) -> bool:
    """True where the phases are worth writing out: every channel by itself, weights known, a small square stride."""
    fits = len(strides) == 2 and strides[0] == strides[1] and 1 < strides[0] <= LARGEST_STRIDE
    return fits and group == x.shape[1] and weight.data is not None and group >= FEWEST_CHANNELS


def depthwise_transposed(
    context: Translation, nhwc: Value, iohw: Value, bias: Value | None, axes: Sequence[Phases]
) -> Value:  # fmt: skip
    """[N, kept, kept, channels * multiplier] of `nhwc` and weights [channels, multiplier, kernel, kernel]."""
    stride, weights = axes[0].stride, _by_phase(iohw.array(), axes)
    if bias is None:
        bias = context.constant(np.zeros(iohw.shape[0] * iohw.shape[1], np.float32), nhwc.dtype)
    paddings = [(0, 0), *((axis.taps - 1, axis.after) for axis in axes), (0, 0)]
    if any(sum(pair) for pair in paddings):
        nhwc = context.emit("pad", [nhwc, context.constant(np.array(paddings, np.int32))])
    parts = [
        context.emit(
            "depthwise_conv_2d", [nhwc, context.constant(phase, iohw.dtype), bias], padding="VALID",
            stride_h=1, stride_w=1, depth_multiplier=iohw.shape[1],
        )
        for phase in weights
    ]  # fmt: skip
    whole = context.emit("depth_to_space", [context.emit("concatenation", parts, axis=3)], block_size=stride)
    sizes = [axis.kept for axis in axes]
    if list(whole.shape[1:3]) == sizes:
        return whole
    begin = context.ints([0, *(axis.crop for axis in axes), 0])
    return context.emit("slice", [whole, begin, context.ints([whole.shape[0], *sizes, whole.shape[3]])])


def _by_phase(weight: np.ndarray, axes: Sequence[Phases]) -> list[np.ndarray]:
    """[1, taps, taps, channels * multiplier] for each phase of both axes, the last tap first; missing taps are 0."""
    stride, (height, width) = axes[0].stride, (axis.taps for axis in axes)
    filled = np.zeros((weight.shape[0] * weight.shape[1], height * stride, width * stride), weight.dtype)
    filled[:, : weight.shape[2], : weight.shape[3]] = weight.reshape(-1, *weight.shape[2:])
    cut = filled.reshape(-1, height, stride, width, stride)[:, ::-1, :, ::-1]
    return [
        np.ascontiguousarray(cut[:, :, row, :, column].transpose(1, 2, 0))[None]
        for row in range(stride) for column in range(stride)
    ]  # fmt: skip
