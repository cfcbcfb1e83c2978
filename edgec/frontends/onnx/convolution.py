"""Convolutions: 1-D ones run as 2-D ones of height 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import Window, explicit_pads, node_window, positive_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value


def conv(node: Node, context: Translation) -> Value:
    """Conv of rank 3 and 4, with groups, depthwise, dilation and any padding."""
    x, weight = node.input(0), node.input(1)
    group = _checked_group(node, x, weight, weight.shape[1] if weight.type.rank > 1 else 0)
    if weight.shape[0] % group:
        raise Refusal(f"{weight.shape[0]} output channels do not divide into {group} groups")
    window = node_window(node, x.shape[2:], _kernel_shape(node, weight)).as_2d()
    nhwc = spatial_2d(context, x)
    padding = window.padding
    if padding is None:
        nhwc, padding = pad_spatial(context, nhwc, window), "VALID"
    attributes = {
        "padding": padding,
        "stride_h": window.strides[0], "stride_w": window.strides[1],
        "dilation_h_factor": window.dilations[0], "dilation_w_factor": window.dilations[1],
    }  # fmt: skip
    bias = [b] if (b := node.optional(2)) is not None else []
    oihw = _weight_2d(context, weight)
    if group > 1 and group == x.shape[1]:
        hwo = context.transpose(oihw, [1, 2, 3, 0])
        attributes["depth_multiplier"] = weight.shape[0] // group
        result = context.emit("depthwise_conv_2d", [nhwc, hwo, *bias], **attributes)
    else:
        result = context.emit("conv_2d", [nhwc, context.transpose(oihw, [0, 2, 3, 1]), *bias], **attributes)
    return spatial_restored(context, result, x.type.rank)


def conv_transpose(node: Node, context: Translation) -> Value:
    """ConvTranspose of rank 3 and 4: transpose_conv, cropped where TFLite's own padding differs.

    TFLite writes the whole product of (in - 1) * stride + kernel positions under VALID; under SAME it leaves out
    half of what exceeds the wanted size at the start and the rest at the end.
    """
    x, weight = node.input(0), node.input(1)
    group = _checked_group(node, x, weight, weight.shape[0] // max(node.int("group", 1), 1))
    kernel = _kernel_shape(node, weight)
    weight = _weight_2d(context, _dilated(node, context, weight))
    crops, sizes = _transposed_extent(node, x.shape[2:], kernel)
    nhwc = spatial_2d(context, x)
    axes = _transposed_axes(node, nhwc, weight, crops, sizes)
    bias = node.optional(2)
    parts = []
    for index in range(group):
        part = _channel_group(context, nhwc, index, group)
        iohw = _first_axis_group(context, weight, index, group)
        own_bias = [] if bias is None else [_first_axis_group(context, bias, index, group)]
        parts.append(_transpose_conv(context, part, iohw, own_bias, axes))
    result = parts[0] if group == 1 else context.emit("concatenation", parts, axis=3)
    begins = [a.crop if axes.padding == "VALID" else 0 for a in axes.axes]
    if any(begins) or list(result.shape[1:3]) != [a.size for a in axes.axes]:
        begin = [0, *begins, 0]
        size = [result.shape[0], *[a.size for a in axes.axes], result.shape[3]]
        result = context.emit("slice", [result, context.ints(begin), context.ints(size)])
    return spatial_restored(context, result, x.type.rank)
