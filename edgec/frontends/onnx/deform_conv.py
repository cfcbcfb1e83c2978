"""DeformConv: every tap of the kernel is sampled where its offset says, then one matrix product."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.convolution import checked_group, checked_kernel, split_groups
from edgec.frontends.onnx.grid_sample import Sampler
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import Window, node_window
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value


def deform_conv(node: Node, context: Translation) -> Value:
    """DeformConv of images: bilinear samples at each tap's offset, zero outside, times the mask and the weights."""
    x, weight, offsets, mask = node.input(0), node.input(1), node.input(2), node.optional(4)
    if x.type.rank != 4 or any(v.dtype is not DType.FLOAT32 for v in (x, weight, offsets)):
        raise Refusal(f"it is supported for float32 images only, found {x.type}")
    group, shared = checked_group(node, x, weight), node.int("offset_group", 1)
    window = node_window(node, x.shape[2:], checked_kernel(node, weight))
    taps, channels = int(np.prod(window.kernel)), x.shape[1]
    wanted = (x.shape[0], shared * taps * 2, *window.outputs)
    if shared < 1 or channels % shared or offsets.shape != wanted or weight.shape[1] * group != channels:
        raise Refusal(f"offsets {list(offsets.shape)} and weights {list(weight.shape)} do not fit {list(x.shape)}")
    columns = _columns(context, x, offsets, mask, window, shared)
    rows, weights = _as_products(context, columns, weight, x.shape[0], shared, group)
    parts = zip(split_groups(context, rows, group, 1), split_groups(context, weights, group, 0))
    results = [_product(context, *part) for part in parts]
    result = results[0] if group == 1 else context.emit("concatenation", results, axis=1)
    if node.optional(3) is not None:
        result = context.add(result, node.input(3))
    image = context.reshape(result, [x.shape[0], *window.outputs, weight.shape[0]])
    return context.to_channels_first(image)


def _columns(
    context: Translation, x: Value, offsets: Value, mask: Value | None, window: Window, shared: int
) -> Value:  # fmt: skip
    """[batch * shared, positions * taps, channels / shared] of samples."""
    batch, channels, taps = x.shape[0] * shared, x.shape[1] // shared, int(np.prod(window.kernel))
    image = context.reshape(x, [batch, channels, *x.shape[2:]])
    count = int(np.prod(window.outputs))
    moved = context.transpose(context.reshape(offsets, [batch, taps, 2, count]), [0, 3, 1, 2])
    places = []
    for axis, grid in enumerate(_grid(window)):
        own = context.emit("slice", [moved, context.ints([0, 0, 0, axis]), context.ints([batch, count, taps, 1])])
        own = context.reshape(own, [batch, count * taps])
        places.append(context.add(own, context.constant(grid.reshape(1, -1))))
    samples = Sampler(context, image, "linear", "zeros", True).at(places)
    if mask is None:
        return samples
    factors = context.transpose(context.reshape(mask, [batch, taps, count]), [0, 2, 1])
    return context.mul(samples, context.reshape(factors, [batch, count * taps, 1]))


def _grid(window: Window) -> list[np.ndarray]:
    """float32 [positions, taps]: where each tap lies without its offset, along each axis."""
    starts = [np.arange(n) * s - before for n, s, (before, _) in zip(window.outputs, window.strides, window.pads)]
    steps = [np.arange(k) * d for k, d in zip(window.kernel, window.dilations)]
    first, second = np.meshgrid(*starts, indexing="ij"), np.meshgrid(*steps, indexing="ij")
    return [(a.reshape(-1, 1) + b.reshape(1, -1)).astype(np.float32) for a, b in zip(first, second)]


def _as_products(
    context: Translation, columns: Value, weight: Value, batch: int, shared: int, group: int
) -> tuple[Value, Value]:  # fmt: skip
    """Rows that hold all that one position is computed from, and the weights in the same order.

    The samples' own order is taps before channels; only where groups cut the channels they come first.
    """
    outputs, own, taps = weight.shape[0], weight.shape[1], int(np.prod(weight.shape[2:]))
    count, channels = columns.shape[1] // taps, columns.shape[2]
    samples = context.reshape(columns, [batch, shared, count, taps, channels])
    flat = context.reshape(weight, [outputs, own, taps])
    if group > 1:
        samples = context.transpose(samples, [0, 2, 1, 4, 3])
    else:
        merged = context.reshape(samples, [batch, shared, count, taps * channels])
        samples = context.transpose(merged, [0, 2, 1, 3]) if shared > 1 else merged
        flat = context.transpose(context.reshape(flat, [outputs, shared, channels, taps]), [0, 1, 3, 2])
    rows = context.reshape(samples, [batch * count, shared * channels * taps])
    return rows, context.reshape(flat, [outputs, own * taps])


def _product(context: Translation, rows: Value, weights: Value) -> Value:
    if weights.data is not None:
        return context.emit("fully_connected", [rows, weights, None])
    return context.emit("batch_matmul", [rows, weights], adj_y=True)


TRANSLATIONS: dict[str, Translate] = {"DeformConv": deform_conv}
