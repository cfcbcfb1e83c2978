"""Convolutions: 1-D ones run as 2-D ones of height 1, 3-D ones by conv_3d, group by group."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import Window, node_window
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value

MAX_GROUPS = 4096


def conv(node: Node, context: Translation) -> Value:
    """Conv of rank 3 to 5, with groups, depthwise, dilation and any padding."""
    x, weight = node.input(0), node.input(1)
    group = checked_group(node, x, weight, most_axes=3)
    if weight.shape[1] * group != x.shape[1] or weight.shape[0] % group:
        raise Refusal(f"weights {list(weight.shape)} in {group} groups do not fit input {list(x.shape)}")
    window = node_window(node, x.shape[2:], checked_kernel(node, weight))
    bias = node.optional(2)
    if bias is None:  # LiteRT's conv_2d refuses to go without
        bias = context.constant(np.zeros(weight.shape[0], x.dtype.numpy), x.dtype)
    if x.type.rank == 5:
        return _conv_3d(context, x, weight, bias, window, group)
    window, nhwc = window.as_2d(), to_nhwc(context, x)
    padding = window.padding
    if padding is None:
        nhwc, padding = pad_nhwc(context, nhwc, window), "VALID"
    attributes = {
        "padding": padding,
        "stride_h": window.strides[0], "stride_w": window.strides[1],
        "dilation_h_factor": window.dilations[0], "dilation_w_factor": window.dilations[1],
    }  # fmt: skip
    oihw = weight_2d(context, weight)
    if group > 1 and group == x.shape[1]:
        attributes["depth_multiplier"] = weight.shape[0] // group
        weights = context.transpose(oihw, [1, 2, 3, 0])
        return from_nhwc(context, context.emit("depthwise_conv_2d", [nhwc, weights, bias], **attributes), x)
    weights = context.transpose(oihw, [0, 2, 3, 1])
    return from_nhwc(context, context.emit("conv_2d", [nhwc, weights, bias], **attributes), x)


def _conv_3d(context: Translation, x: Value, weight: Value, bias: Value, window: Window, group: int) -> Value:
    last, padding = context.to_channels_last(x), window.padding
    if padding is None:
        paddings = context.constant(np.array([(0, 0), *window.reached, (0, 0)], np.int32))
        last, padding = context.emit("pad", [last, paddings]), "VALID"
    names = ("d", "h", "w")
    attributes = {f"stride_{name}": stride for name, stride in zip(names, window.strides)}
    attributes |= {f"dilation_{name}_factor": dilation for name, dilation in zip(names, window.dilations)}
    parts = zip(
        split_groups(context, last, group, 4),
        split_groups(context, weight, group, 0),
        split_groups(context, bias, group, 0),
    )
    results = [
        context.emit("conv_3d", [part, context.transpose(oidhw, [2, 3, 4, 1, 0]), own], padding=padding, **attributes)
        for part, oidhw, own in parts
    ]
    return context.to_channels_first(results[0] if group == 1 else context.emit("concatenation", results, axis=4))


def split_groups(context: Translation, x: Value, group: int, axis: int) -> list[Value]:
    """`x` in `group` equal parts along an axis; constants are cut at once."""
    if group == 1:
        return [x]
    if group > MAX_GROUPS:
        raise Refusal(f"each of its {group} groups would take an op; up to {MAX_GROUPS} are written out")
    if x.data is not None:
        return [context.constant(part, x.dtype) for part in np.split(x.data, group, axis)]
    return context.emit_many("split", [context.ints(axis), x], num_splits=group)


def checked_group(node: Node, x: Value, weight: Value, most_axes: int = 2) -> int:
    """The attribute `group`; refuses ranks that TFLite has no convolution for and groups that do not divide."""
    if not 1 <= x.type.rank - 2 <= most_axes:
        raise Refusal(f"a convolution over {max(x.type.rank - 2, 0)} spatial axes is not supported")
    if weight.type.rank != x.type.rank:
        raise Refusal(f"weights {list(weight.shape)} do not fit input {list(x.shape)}")
    group = node.int("group", 1)
    if group < 1 or not x.shape[1] or x.shape[1] % group:
        raise Refusal(f"{x.shape[1]} input channels do not divide into {group} groups")
    return group


def checked_kernel(node: Node, weight: Value) -> list[int]:
    """The spatial sizes of the weights; refuses a `kernel_shape` that says otherwise."""
    kernel = list(weight.shape[2:])
    stated = [int(k) for k in node.attribute("kernel_shape", kernel)]
    if stated != kernel:
        raise Refusal(f"kernel_shape {stated} does not fit weights {list(weight.shape)}")
    return kernel


def to_nhwc(context: Translation, x: Value) -> Value:
    """N,C,W or N,C,H,W as N,H,W,C, a missing height being 1."""
    last = context.to_channels_last(x)
    if x.type.rank == 4:
        return last
    batch, width, channels = last.shape
    return context.reshape(last, [batch, 1, width, channels])


def from_nhwc(context: Translation, result: Value, x: Value) -> Value:
    """N,H,W,C as N,C,H,W, or as N,C,W where `x`, the node's operand, has rank 3."""
    if x.type.rank == 3:
        batch, _, width, channels = result.shape
        result = context.reshape(result, [batch, width, channels])
    return context.to_channels_first(result)


def weight_2d(context: Translation, weight: Value) -> Value:
    """Weights over one spatial axis as weights over two, the height being 1."""
    if weight.type.rank == 4:
        return weight
    return context.reshape(weight, [*weight.shape[:2], 1, weight.shape[2]])


def pad_nhwc(context: Translation, x: Value, window: Window, value: float = 0.0) -> Value:
    """Pad height and width of an N,H,W,C value as far as the window reaches."""
    paddings = context.constant(np.array([(0, 0), *window.reached, (0, 0)], np.int32))
    if value == 0:
        return context.emit("pad", [x, paddings])
    return context.emit("padv2", [x, paddings, context.like(x, value)])


TRANSLATIONS: dict[str, Translate] = {"Conv": conv}
