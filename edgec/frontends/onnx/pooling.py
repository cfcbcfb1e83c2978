"""Pooling; 1-D windows run as 2-D ones of height 1."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.convolution import from_nhwc, pad_nhwc, to_nhwc
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import Window, node_window
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value

NOT_NEGATIVE = {"relu", "relu6", "relu_0_to_1", "logistic", "softmax", "abs", "square", "sqrt", "exp"}
KEEPS_SIGN = {"transpose", "reshape", "squeeze", "expand_dims", "max_pool_2d", "average_pool_2d", "concatenation"}


def max_pool(node: Node, context: Translation) -> Value:
    """MaxPool without the indices output; a dilated window is the maximum of strided slices."""
    if any(node.outputs[1:]):
        raise Refusal("its second output, the indices, is not supported")
    x = node.input(0)
    window = _window(node, x)
    nhwc, padding = to_nhwc(context, x), window.padding
    if any(d != 1 for d in window.dilations):
        return from_nhwc(context, _dilated_max(context, _max_padded(context, nhwc, window), window), x)
    if padding is None:
        nhwc, padding = _max_padded(context, nhwc, window), "VALID"
    return from_nhwc(context, _pool(context, "max_pool_2d", nhwc, window, padding), x)


def _window(node: Node, x: Value) -> Window:
    if x.type.rank not in (3, 4):
        raise Refusal(f"pooling over {max(x.type.rank - 2, 0)} spatial axes is not supported")
    kernel = [int(k) for k in node.attribute("kernel_shape", [])]
    return node_window(node, x.shape[2:], kernel).as_2d()


def _pool(context: Translation, opcode: str, x: Value, window: Window, padding: str) -> Value:
    return context.emit(
        opcode, [x], padding=padding, filter_height=window.kernel[0], filter_width=window.kernel[1],
        stride_h=window.strides[0], stride_w=window.strides[1],
    )  # fmt: skip


def _max_padded(context: Translation, x: Value, window: Window) -> Value:
    """Pad with what never is the maximum: 0 beside values that are not negative, else the lowest number.

    The lowest number would stretch the range that quantization has to represent; 0 does not.
    """
    if not any(sum(pads) for pads in window.reached):
        return x
    if any(before >= kernel for (before, _), kernel in zip(window.reached, window.kernel)):
        raise Refusal(f"pads {window.pads} leave windows that touch no element")
    dtype = x.dtype.numpy
    lowest = np.finfo(dtype).min if x.dtype.is_float else np.iinfo(dtype).min
    return pad_nhwc(context, x, window, 0 if _is_not_negative(x) else lowest)


def _is_not_negative(x: Value) -> bool:
    pending = [x]
    for _ in range(64):
        if not pending:
            return True
        producer = pending.pop().producer
        if producer is None:
            return False
        if producer.opcode in KEEPS_SIGN:
            pending.extend(v for v in producer.operands if v is not None and v.dtype is x.dtype)
        elif producer.opcode not in NOT_NEGATIVE:
            return False
    return False


def _dilated_max(context: Translation, x: Value, window: Window) -> Value:
    for axis in (0, 1):
        stride, dilation, count = window.strides[axis], window.dilations[axis], window.outputs[axis]
        parts = []
        for tap in range(window.kernel[axis]):
            begin, step, end = [0, 0, 0, 0], [1, 1, 1, 1], list(x.shape)
            begin[axis + 1], step[axis + 1] = tap * dilation, stride
            end[axis + 1] = tap * dilation + (count - 1) * stride + 1
            bounds = [context.ints(bound) for bound in (begin, end, step)]
            parts.append(context.emit("strided_slice", [x, *bounds]))
        x = parts[0]
        for part in parts[1:]:
            x = context.emit("maximum", [x, part])
    return x


def average_pool(node: Node, context: Translation) -> Value:
    """AveragePool; windows that count other positions than TFLite does are corrected by a constant map."""
    x = node.input(0)
    window = _window(node, x)
    if any(d != 1 for d in window.dilations):
        raise Refusal(f"average pooling with dilations {node.attribute('dilations')} is not supported")
    counts_pads = bool(node.int("count_include_pad", 0))
    nhwc = to_nhwc(context, x)
    padding = window.padding
    if padding == "SAME" and not counts_pads:  # as TFLite, which counts the elements inside the input only
        return from_nhwc(context, _pool(context, "average_pool_2d", nhwc, window, "SAME"), x)
    if padding != "VALID":
        nhwc = pad_nhwc(context, nhwc, window)
    pooled = _pool(context, "average_pool_2d", nhwc, window, "VALID")
    correction = _count_correction(window, counts_pads)
    if not np.all(correction == 1):
        pooled = context.mul(pooled, context.constant(correction))
    return from_nhwc(context, pooled, x)


def _count_correction(window: Window, counts_pads: bool) -> np.ndarray:
    """[H, W, 1] map of window area over the number of positions ONNX counts."""
    maps = []
    for axis in (0, 1):
        before, after = window.pads[axis]
        kernel, size = window.kernel[axis], window.sizes[axis]
        low, high = (-before, size + after) if counts_pads else (0, size)
        start = np.arange(window.outputs[axis]) * window.strides[axis] - before
        counted = np.minimum(start + kernel, high) - np.maximum(start, low)
        if counted.min(initial=1) < 1:
            raise Refusal(f"pads {window.pads} leave windows that touch no element")
        maps.append(kernel / counted)
    return (maps[0][:, None, None] * maps[1][None, :, None]).astype(np.float32)


def lp_pool(node: Node, context: Translation) -> Value:
    """LpPool for p = 1 and 2: the sum as an average over zero-padded windows, times the area."""
    x = node.input(0)
    window = _window(node, x)
    if any(d != 1 for d in window.dilations):
        raise Refusal(f"Lp pooling with dilations {node.attribute('dilations')} is not supported")
    p = _norm(node)
    powers = to_nhwc(context, context.emit("abs" if p == 1 else "square", [x]))
    if window.padding != "VALID":
        powers = pad_nhwc(context, powers, window)
    mean = _pool(context, "average_pool_2d", powers, window, "VALID")
    total = context.mul(mean, context.like(x, window.kernel[0] * window.kernel[1]))
    return from_nhwc(context, total if p == 1 else context.emit("sqrt", [total]), x)


def _norm(node: Node) -> int:
    p = node.int("p", 2)
    if p not in (1, 2):
        raise Refusal(f"pooling by the norm p = {p} is not supported, only 1 and 2")
    return p


def global_lp_pool(node: Node, context: Translation) -> Value:
    """GlobalLpPool for p = 1 and 2."""
    x, p = node.input(0), _norm(node)
    total = _global(context, "sum", context.emit("abs" if p == 1 else "square", [x]))
    return total if p == 1 else context.emit("sqrt", [total])


def global_average_pool(node: Node, context: Translation) -> Value:
    """GlobalAveragePool: the mean over the spatial axes."""
    return _global(context, "mean", node.input(0))


def global_max_pool(node: Node, context: Translation) -> Value:
    """GlobalMaxPool: the maximum over the spatial axes."""
    return _global(context, "reduce_max", node.input(0))


def _global(context: Translation, opcode: str, x: Value) -> Value:
    if x.type.rank < 3:
        raise Refusal(f"its operand {list(x.shape)} has no spatial axis")
    return context.emit(opcode, [x, context.ints(list(range(2, x.type.rank)))], keep_dims=True)


TRANSLATIONS: dict[str, Translate] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": global_max_pool,
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
