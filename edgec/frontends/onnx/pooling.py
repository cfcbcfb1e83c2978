"""Pooling; 1-D windows run as 2-D ones of height 1, dilated and 3-D ones as slices that are combined axis by axis."""

from __future__ import annotations

import math

import numpy as np

from edgec.frontends.onnx.convolution import from_nhwc, pad_nhwc, to_nhwc
from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import Window, node_window
from edgec.frontends.onnx.pool_indices import maximum_places
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.graph import Value

NOT_NEGATIVE = {"relu", "relu6", "relu_0_to_1", "logistic", "softmax", "abs", "square", "sqrt", "exp"}
KEEPS_SIGN = {"transpose", "reshape", "squeeze", "expand_dims", "max_pool_2d", "average_pool_2d", "concatenation"}
MOST_SLICES = 16  # along one axis of a window without a kernel of its own; longer ones are combined of halves
LARGEST_KERNEL = 1 << 16
LARGEST_COUNT_MAP = 1 << 24


def max_pool(node: Node, context: Translation) -> Result:
    """MaxPool, with the places of the maxima where they are asked for."""
    x = node.input(0)
    window = _window(node, x)
    outside = _never_the_maximum(x, window)
    result = _largest(context, x, window, outside)
    if not any(node.outputs[1:]):
        return result
    padded = _padded(context, x, window, outside)
    return [result, maximum_places(context, padded, x, window, bool(node.int("storage_order", 0)))]


def _largest(context: Translation, x: Value, window: Window, outside: float) -> Value:
    if not _has_kernel(window):
        return _sliced(context, _padded(context, x, window, outside), window, "maximum")
    window = window.as_2d()
    nhwc, padding = to_nhwc(context, x), window.padding
    if padding is None:
        nhwc, padding = pad_nhwc(context, nhwc, window, outside), "VALID"
    return from_nhwc(context, _pool(context, "max_pool_2d", nhwc, window, padding), x)


def _window(node: Node, x: Value) -> Window:
    if x.type.rank not in (3, 4, 5):
        raise Refusal(f"pooling over {max(x.type.rank - 2, 0)} spatial axes is not supported")
    return node_window(node, x.shape[2:], [int(k) for k in node.attribute("kernel_shape", [])])


def _has_kernel(window: Window) -> bool:
    return len(window.sizes) <= 2 and all(d == 1 for d in window.dilations)


def _pool(context: Translation, opcode: str, x: Value, window: Window, padding: str) -> Value:
    return context.emit(
        opcode, [x], padding=padding, filter_height=window.kernel[0], filter_width=window.kernel[1],
        stride_h=window.strides[0], stride_w=window.strides[1],
    )  # fmt: skip


def _never_the_maximum(x: Value, window: Window) -> float:
    """A padding that never is the maximum: 0 beside values that are not negative, else the lowest number.

    The lowest number would stretch the range that quantization has to represent; 0 does not.
    """
    if any(before > (k - 1) * d for (before, _), k, d in zip(window.reached, window.kernel, window.dilations)):
        raise Refusal(f"pads {window.pads} leave windows that touch no element")
    if _is_not_negative(x):
        return 0
    return float(np.finfo(x.dtype.numpy).min) if x.dtype.is_float else int(np.iinfo(x.dtype.numpy).min)


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


def _padded(context: Translation, x: Value, window: Window, value: float) -> Value:
    """Pad the spatial axes of a value in ONNX's layout as far as the window reaches."""
    if not any(before or after for before, after in window.reached):
        return x
    paddings = context.constant(np.array([(0, 0), (0, 0), *window.reached], np.int32))
    if value == 0:
        return context.emit("pad", [x, paddings])
    return context.emit("padv2", [x, paddings, context.like(x, value)])


def _sliced(context: Translation, x: Value, window: Window, opcode: str) -> Value:
    """Combine the elements of each window, one axis after the other, by `opcode` over strided slices."""
    for i, taps in enumerate(window.kernel):
        if taps > LARGEST_KERNEL:
            raise Refusal(f"a dilated or 3-D window of {taps} is not supported, only up to {LARGEST_KERNEL}")
        parts = _runs(context, x, window, i, opcode) if taps > MOST_SLICES else [(x, tap) for tap in range(taps)]
        total: Value | None = None
        for run, tap in parts:
            part = _every_stride(context, run, window, i, tap)
            total = part if total is None else context.emit(opcode, [total, part])
        assert total is not None  # windows have at least one tap
        x = total
    return x


def _every_stride(context: Translation, x: Value, window: Window, i: int, tap: int) -> Value:
    """The elements that stand for tap `tap` of every window along spatial axis `i`."""
    axis, stride = i + 2, window.strides[i]
    begin, step, end = [0] * x.type.rank, [1] * x.type.rank, list(x.shape)
    begin[axis], step[axis] = tap * window.dilations[i], stride
    end[axis] = begin[axis] + (window.outputs[i] - 1) * stride + 1
    return context.emit("strided_slice", [x, *[context.ints(bound) for bound in (begin, end, step)]])


def _runs(context: Translation, x: Value, window: Window, i: int, opcode: str) -> list[tuple[Value, int]]:
    """Long windows as runs of 1, 2, 4 … taps, each combined of two of half its length; with the tap a run starts at."""
    axis, taps, dilation = i + 2, window.kernel[i], window.dilations[i]
    found, first, length = [], 0, 1
    while True:
        if taps & length:
            found.append((x, first))
            first += length
        if 2 * length > taps:
            return found
        size, shift = x.shape[axis], length * dilation
        begin = [shift if j == axis else 0 for j in range(x.type.rank)]
        extent = [size - shift if j == axis else n for j, n in enumerate(x.shape)]
        halves = [sliced(context, x, start, extent) for start in ([0] * x.type.rank, begin)]
        x, length = context.emit(opcode, halves), 2 * length


def average_pool(node: Node, context: Translation) -> Value:
    """AveragePool; windows that count other positions than TFLite does are corrected by a constant map."""
    x = node.input(0)
    window = _window(node, x)
    counts_pads = bool(node.int("count_include_pad", 0))
    if not _has_kernel(window):
        total = _sliced(context, _padded(context, x, window, 0), window, "add")
        return context.mul(total, context.constant(np.float32(1) / _counts(window, counts_pads)))
    window = window.as_2d()
    nhwc = to_nhwc(context, x)
    if window.padding == "SAME" and not counts_pads:  # as TFLite, which counts the elements inside the input only
        return from_nhwc(context, _pool(context, "average_pool_2d", nhwc, window, "SAME"), x)
    counts = _counts(window, counts_pads)
    if window.padding != "VALID":
        nhwc = pad_nhwc(context, nhwc, window)
    pooled = _pool(context, "average_pool_2d", nhwc, window, "VALID")
    area = math.prod(window.kernel)
    if np.any(counts != area):
        pooled = context.mul(pooled, context.constant(np.float32(area) / counts[:, :, None]))
    return from_nhwc(context, pooled, x)


def _counts(window: Window, counts_pads: bool) -> np.ndarray:
    """How many positions ONNX counts in each window, as float32 in the shape of the spatial axes."""
    if math.prod(window.outputs) > LARGEST_COUNT_MAP:
        raise Refusal(f"its {math.prod(window.outputs)} windows are too many")
    if max(window.kernel) > LARGEST_KERNEL:
        raise Refusal(f"a window of {max(window.kernel)} positions is wider than {LARGEST_KERNEL}")
    counts = np.ones((), np.float32)
    for i, taps in enumerate(window.kernel):
        before, after = window.pads[i]
        low, high = (-before, window.sizes[i] + after) if counts_pads else (0, window.sizes[i])
        starts = np.arange(window.outputs[i]) * window.strides[i] - before
        counted = np.zeros(len(starts), np.float32)
        for tap in range(taps):
            position = starts + tap * window.dilations[i]
            counted += (low <= position) & (position < high)
        if counted.min(initial=1) < 1:
            raise Refusal(f"pads {window.pads} leave windows that touch no element")
        counts = counts[..., None] * counted
    return counts


def lp_pool(node: Node, context: Translation) -> Value:
    """LpPool: the p-th root of the sum of |x| ** p over zero-padded windows."""
    x = node.input(0)
    window, p = _window(node, x), _norm(node)
    powers = _power(context, x, p)
    if not _has_kernel(window):
        return _root(context, _sliced(context, _padded(context, powers, window, 0), window, "add"), p)
    window = window.as_2d()
    nhwc = to_nhwc(context, powers)
    if window.padding != "VALID":
        nhwc = pad_nhwc(context, nhwc, window)
    mean = _pool(context, "average_pool_2d", nhwc, window, "VALID")
    total = context.mul(mean, context.like(x, math.prod(window.kernel)))
    return from_nhwc(context, _root(context, total, p), x)


def _norm(node: Node) -> int:
    p = node.int("p", 2)
    if p < 1:
        raise Refusal(f"the norm p = {p} is not positive")
    return p


def _power(context: Translation, x: Value, p: int) -> Value:
    if p == 2:
        return context.emit("square", [x])
    magnitude = context.emit("abs", [x])
    return magnitude if p == 1 else context.emit("pow", [magnitude, context.like(x, p)])


def _root(context: Translation, x: Value, p: int) -> Value:
    if p == 2:
        return context.emit("sqrt", [x])
    return x if p == 1 else context.emit("pow", [x, context.like(x, 1 / p)])


def global_lp_pool(node: Node, context: Translation) -> Value:
    """GlobalLpPool: LpPool over all of the spatial axes."""
    x, p = node.input(0), _norm(node)
    return _root(context, _global(context, "sum", _power(context, x, p)), p)


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
