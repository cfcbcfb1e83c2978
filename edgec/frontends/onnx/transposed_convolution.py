"""Transposed convolutions: transpose_conv, cropped where ONNX leaves out other positions than TFLite.

An input of `in` positions writes (in - 1) * stride + kernel positions: TFLite's VALID. Under SAME, TFLite leaves out
what exceeds the wanted size, half of it (rounded down) at the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgec.frontends.onnx.convolution import (
    checked_group,
    checked_kernel,
    from_nhwc,
    split_groups,
    to_nhwc,
    weight_2d,
)
from edgec.frontends.onnx.depthwise_transposed import Phases, depthwise_transposed, is_depthwise
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import explicit_pads, positive_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value

LARGEST_DILATED_KERNEL = 256


@dataclass(frozen=True, slots=True)
class _Axis:
    """One spatial axis: of the positions written, `size` are wanted, after the first `crop`."""

    inputs: int
    kernel: int
    stride: int
    crop: int = 0
    size: int = 1

    @property
    def product(self) -> int:
        return (self.inputs - 1) * self.stride + self.kernel

    @property
    def written(self) -> int:
        """Positions to write under VALID; zeros follow the product where more are wanted than it has."""
        return max(self.product, self.crop + self.size)

    @property
    def is_same(self) -> bool:
        ceil = -(-self.size // self.stride)
        return ceil == self.inputs and self.crop == max(self.product - self.size, 0) // 2


def conv_transpose(node: Node, context: Translation) -> Value:
    """ConvTranspose of rank 3 to 5, with groups, dilation, output padding and output shape."""
    x, weight = node.input(0), node.input(1)
    group = checked_group(node, x, weight, most_axes=3)
    if weight.shape[0] != x.shape[1]:
        raise Refusal(f"weights {list(weight.shape)} do not fit input {list(x.shape)}")
    checked_kernel(node, weight)
    weight = _dilated(context, weight, positive_ints(node, "dilations", x.type.rank - 2))
    axes = _axes(node, x.shape[2:], weight.shape[2:])
    if len(axes) == 1:
        axes = [_Axis(1, 1, 1), *axes]
    bias, spatial = node.optional(2), len(axes)
    if is_depthwise(x, weight, group, [axis.stride for axis in axes]):
        phases = [Phases(axis.inputs, axis.kernel, axis.stride, axis.crop, axis.size) for axis in axes]
        return from_nhwc(context, depthwise_transposed(context, to_nhwc(context, x), weight, bias, phases), x)
    parts = zip(
        split_groups(context, to_nhwc(context, x) if spatial == 2 else context.to_channels_last(x), group, spatial + 1),
        split_groups(context, weight_2d(context, weight) if spatial == 2 else weight, group, 0),
        [None] * group if bias is None else split_groups(context, bias, group, 0),
    )
    convolve = _transpose_conv if spatial == 2 else _transpose_conv_3d
    results = [convolve(context, *part, axes) for part in parts]
    result = results[0] if group == 1 else context.emit("concatenation", results, axis=spatial + 1)
    cropped = _cropped(context, result, axes)
    return from_nhwc(context, cropped, x) if spatial == 2 else context.to_channels_first(cropped)


def _dilated(context: Translation, weight: Value, dilations: Sequence[int]) -> Value:
    """Weights with zeros in between: TFLite has no dilated transposed convolution."""
    if all(d == 1 for d in dilations):
        return weight
    sizes = [(size - 1) * d + 1 for size, d in zip(weight.shape[2:], dilations)]
    if any(size > LARGEST_DILATED_KERNEL for size in sizes):
        raise Refusal(f"dilations {list(dilations)} are too large")
    if weight.data is None:
        return _dilated_at_run_time(context, weight, dilations)
    wide = np.zeros((*weight.shape[:2], *sizes), weight.data.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weight.data
    return context.constant(wide, weight.dtype)


def _dilated_at_run_time(context: Translation, weight: Value, dilations: Sequence[int]) -> Value:
    """Each axis gets one of size `dilation` behind it, is padded there, merged with it and cut after the last tap."""
    for axis, dilation in enumerate(dilations, start=2):
        if dilation == 1 or weight.shape[axis] == 1:
            continue
        before, size, after = weight.shape[:axis], weight.shape[axis], weight.shape[axis + 1 :]
        flat = context.reshape(weight, [math.prod(before) * size, 1, math.prod(after)])
        paddings = np.array([(0, 0), (0, dilation - 1), (0, 0)], np.int32)
        spread = context.emit("pad", [flat, context.constant(paddings)])
        wide = context.reshape(spread, [math.prod(before), size * dilation, math.prod(after)])
        kept = (size - 1) * dilation + 1
        extent = context.ints([math.prod(before), kept, math.prod(after)])
        cut = context.emit("slice", [wide, context.ints([0, 0, 0]), extent])
        weight = context.reshape(cut, [*before, kept, *after])
    return weight


def _axes(node: Node, sizes: Sequence[int], kernel: Sequence[int]) -> list[_Axis]:
    rank = len(sizes)
    strides = positive_ints(node, "strides", rank)
    extra = [int(p) for p in node.attribute("output_padding", [0] * rank)]
    wanted = [int(s) for s in node.attribute("output_shape", [])]
    mode = node.attribute("auto_pad", "NOTSET")
    if len(extra) != rank or min(extra) < 0 or (wanted and len(wanted) != rank):
        raise Refusal(f"output_padding {extra} and output_shape {wanted} do not fit {rank} spatial axes")
    if mode not in ("NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise Refusal(f"auto_pad '{mode}' is unknown")
    same = mode.startswith("SAME")
    pads = [(0, 0)] * rank if mode == "VALID" or same or wanted else explicit_pads(node, rank)
    axes = []
    for i, (size, stride) in enumerate(zip(sizes, strides)):
        full = _Axis(size, kernel[i], stride).product + extra[i]
        if wanted or same:
            out = wanted[i] if wanted else min(size * stride, full)  # onnxruntime adds nothing to what is written
            total = max(full - out, 0)
            crop = total // 2 if mode == "SAME_UPPER" else total - total // 2
        else:
            crop, after = pads[i]
            out = full - crop - after
        axes.append(_checked(_Axis(size, kernel[i], stride, crop, out)))
    return axes


def _checked(axis: _Axis) -> _Axis:
    if axis.size < 1:
        raise Refusal(f"its pads leave {axis.size} of {axis.product} positions")
    if axis.written >= axis.product + axis.stride:
        raise Refusal(f"its output of {axis.size} reaches beyond the {axis.product} positions that are written")
    return axis


def _transpose_conv(context: Translation, x: Value, iohw: Value, bias: Value | None, axes: Sequence[_Axis]) -> Value:
    ohwi = context.transpose(iohw, [1, 2, 3, 0])
    same = all(axis.is_same for axis in axes)
    sizes = [axis.size if same else axis.written for axis in axes]
    output_shape = context.ints([x.shape[0], *sizes, ohwi.shape[0]])
    return context.emit(
        "transpose_conv", [output_shape, ohwi, x, *([] if bias is None else [bias])],
        padding="SAME" if same else "VALID", stride_h=axes[0].stride, stride_w=axes[1].stride,
    )  # fmt: skip


def _transpose_conv_3d(
    context: Translation, x: Value, iodhw: Value, bias: Value | None, axes: Sequence[_Axis]
) -> Value:  # fmt: skip
    dhwoi = context.transpose(iodhw, [2, 3, 4, 1, 0])
    same = all(axis.is_same for axis in axes)
    sizes = [axis.size if same else axis.written for axis in axes]
    output_shape = context.ints([x.shape[0], *sizes, dhwoi.shape[3]])
    result = context.emit(
        "conv_3d_transpose", [output_shape, dhwoi, x], padding="SAME" if same else "VALID",
        stride_d=axes[0].stride, stride_h=axes[1].stride, stride_w=axes[2].stride,
    )  # fmt: skip
    return result if bias is None else context.add(result, bias)


def _cropped(context: Translation, result: Value, axes: Sequence[_Axis]) -> Value:
    sizes = [axis.size for axis in axes]
    if list(result.shape[1:-1]) == sizes:
        return result
    begin = [0, *[axis.crop for axis in axes], 0]
    extent = [result.shape[0], *sizes, result.shape[-1]]
    return context.emit("slice", [result, context.ints(begin), context.ints(extent)])


TRANSLATIONS: dict[str, Translate] = {"ConvTranspose": conv_transpose}
