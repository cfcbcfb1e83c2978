"""Ops that pick, scatter, sort or add up along indices.

Indices may be negative as in ONNX, which LiteRT's kernels refuse: constants are counted from the front when they are
read, indices of run time by four ops on the index tensor.
"""

from __future__ import annotations

import math

import numpy as np

from edgec.frontends.onnx.allowance import check_elements
from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.shape import required_ints
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.frontends.onnx.widening import WIDE, computed_in, widened
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

_SCATTER = (*WIDE, DType.INT8, DType.UINT8, DType.BOOL)
_NEVER_NEGATIVE = ("arg_max", "arg_min", "topk_v2", "where")
_TOP_K = (*WIDE, DType.INT8, DType.UINT8)
MAX_COORDINATES = 1 << 24


def _indices(context: Translation, indices: Value, size: int) -> Value:
    """Indices into an axis of `size`, counted from the front, as int32, the type that every kernel takes."""
    if indices.data is None:
        return _from_the_front(context, indices, context.ints(size))
    if indices.data.size and not -size <= indices.data.min() <= indices.data.max() < size:
        raise Refusal(f"indices from {indices.data.min()} to {indices.data.max()} do not fit a size of {size}")
    return context.constant(np.where(indices.data < 0, indices.data + size, indices.data), DType.INT32)


def _from_the_front(context: Translation, indices: Value, sizes: Value) -> Value:
    """i - size * min(max(i, -1), 0), which adds the size to negative indices; out of range stays out of range.

    All of it runs on int32 in TFLM, too, which a select does not.
    """
    known, indices = indices.producer, context.cast(indices, DType.INT32)
    if known is not None and known.opcode in _NEVER_NEGATIVE:
        return indices
    negative = context.emit("maximum", [indices, context.like(indices, -1)])
    negative = context.emit("minimum", [negative, context.like(indices, 0)])
    return context.sub(indices, context.mul(negative, sizes))


def gather(node: Node, context: Translation) -> Value:
    """Gather along an axis; a constant scalar or a constant run of neighbours becomes a slice."""
    x = node.input(0)
    axis = normalize_axis(node.int("axis", 0), x.type.rank)
    indices = _indices(context, node.input(1), x.shape[axis])
    if indices.data is not None:
        flat = indices.data.reshape(-1).tolist()
        if flat and flat == list(range(flat[0], flat[0] + len(flat))):
            return _neighbours(context, x, axis, flat[0], indices.shape)
    return context.emit("gather", [x, indices], axis=axis)


def _neighbours(context: Translation, x: Value, axis: int, first: int, shape: tuple[int, ...]) -> Value:
    count = int(np.prod(shape))
    begin = [first if i == axis else 0 for i in range(x.type.rank)]
    if not shape:
        end = [first + 1 if i == axis else size for i, size in enumerate(x.shape)]
        bounds = (begin, end, [1] * x.type.rank)
        return context.emit("strided_slice", [x, *(context.ints(b) for b in bounds)], shrink_axis_mask=1 << axis)
    block = sliced(context, x, begin, [count if i == axis else size for i, size in enumerate(x.shape)])
    return context.reshape(block, [*x.shape[:axis], *shape, *x.shape[axis + 1 :]])


def gather_elements(node: Node, context: Translation) -> Value:
    """GatherElements: a gather along the last axis with all other axes as batch."""
    x, indices = node.input(0), node.input(1)
    rank = x.type.rank
    axis = normalize_axis(node.int("axis", 0), rank)
    indices = _indices(context, indices, x.shape[axis])
    x = sliced(context, x, [0] * rank, [x.shape[i] if i == axis else indices.shape[i] for i in range(rank)])
    swap = list(range(rank))
    swap[axis], swap[-1] = swap[-1], swap[axis]
    picked = context.emit(
        "gather", [context.transpose(x, swap), context.transpose(indices, swap)], axis=rank - 1, batch_dims=rank - 1
    )
    return context.transpose(picked, swap)


def gather_nd(node: Node, context: Translation) -> Value:
    """GatherND; the positions of batch dimensions are written into the indices."""
    x, indices = node.input(0), node.input(1)
    batch = node.int("batch_dims", 0)
    depth = indices.shape[-1]
    indices = _coordinates(context, indices, x.shape[batch : batch + depth])
    if batch:
        places = _places(indices.shape[:-1])[:batch]
        leading = context.constant(np.moveaxis(places, 0, -1), indices.dtype)
        indices = context.emit("concatenation", [leading, indices], axis=indices.type.rank - 1)
    return context.emit("gather_nd", [x, indices])


def _places(shape: tuple[int, ...]) -> np.ndarray:
    """int64 [rank, *shape]: the coordinates of every place; refuses more than 2^24 numbers."""
    if math.prod(shape) * len(shape) > MAX_COORDINATES:
        raise Refusal(f"it needs the coordinates of all places in {list(shape)}, more than {MAX_COORDINATES} numbers")
    return np.indices(shape)


def _coordinates(context: Translation, indices: Value, sizes: tuple[int, ...]) -> Value:
    """Rows of indices into axes of `sizes`, counted from the front, as int32."""
    if indices.data is None:
        return _from_the_front(context, indices, context.ints(list(sizes)))
    extent = np.asarray(sizes)
    if ((indices.data < -extent) | (indices.data >= extent)).any():
        raise Refusal(f"indices do not fit into {list(sizes)}")
    return context.constant(np.where(indices.data < 0, indices.data + extent, indices.data), DType.INT32)


def scatter_nd(node: Node, context: Translation) -> Value:
    """ScatterND with no reduction (indices must differ) or with `add`."""
    x, indices, updates = node.input(0), node.input(1), node.input(2)
    indices = _coordinates(context, indices, x.shape[: indices.shape[-1]])
    return _scatter(node, context, x, indices, updates)


def scatter_elements(node: Node, context: Translation) -> Value:
    """ScatterElements, as ScatterND of single elements."""
    x, given, updates = node.input(0), node.input(1), node.input(2)
    axis = normalize_axis(node.int("axis", 0), x.type.rank)
    places = _places(given.shape)
    if given.data is not None:
        places[axis] = given.data
        rows = context.constant(np.moveaxis(places, 0, -1).reshape(-1, x.type.rank))
        indices = _coordinates(context, rows, x.shape)
    else:
        own = _indices(context, given, x.shape[axis])
        count = given.type.elements
        columns = [context.constant(place.reshape(count, 1), DType.INT32) for place in places]
        columns[axis] = context.reshape(own, [count, 1])
        indices = columns[0] if len(columns) == 1 else context.emit("concatenation", columns, axis=1)
    return _scatter(node, context, x, indices, context.reshape(updates, [updates.type.elements]))


_SEGMENTS = {
    "max": ("unsorted_segment_max", "maximum"),
    "min": ("unsorted_segment_min", "minimum"),
    "mul": ("unsorted_segment_prod", "mul"),
}  # fmt: skip


def _scatter(node: Node, context: Translation, x: Value, indices: Value, updates: Value) -> Value:
    reduction = node.attribute("reduction", "none")
    if reduction in _SEGMENTS:
        return _scatter_segments(context, x, indices, updates, *_SEGMENTS[reduction])
    if reduction not in ("none", "add"):
        raise Refusal(f"reduction '{reduction}' is unknown")
    shape, indices = context.ints(list(x.shape)), context.cast(indices, DType.INT32)
    wide = computed_in(x.dtype, WIDE if reduction == "add" else _SCATTER)
    scattered = context.emit("scatter_nd", [indices, context.cast(updates, wide), shape])
    if reduction == "add":
        return context.cast(context.add(context.cast(x, wide), scattered), x.dtype)
    replaced = _replaced(context, x, indices, updates, shape)
    return context.emit("select_v2", [replaced, context.cast(scattered, x.dtype), x])


def _scatter_segments(
    context: Translation, x: Value, indices: Value, updates: Value, segment: str, combine: str
) -> Value:
    """Updates to one place are one segment; a place without any keeps the neutral element, which changes nothing."""
    depth = indices.shape[-1]
    inner, count = x.shape[depth:], int(np.prod(x.shape[:depth]))
    strides = np.cumprod([1, *x.shape[1:depth][::-1]])[::-1]
    ids = context.mul(context.cast(indices, DType.INT32), context.constant(strides.copy(), DType.INT32))
    rows = int(np.prod(indices.shape[:-1]))
    ids = context.reshape(context.emit("sum", [ids, context.ints([indices.type.rank - 1])]), [rows])
    wide = computed_in(x.dtype, (DType.FLOAT32, DType.INT32))
    flat = context.reshape(context.cast(updates, wide), [rows, *inner])
    found = context.reshape(context.emit(segment, [flat, ids, context.ints(count)]), x.shape)
    return context.cast(context.emit(combine, [context.cast(x, wide), found]), x.dtype)


def _replaced(context: Translation, x: Value, indices: Value, updates: Value, shape: Value) -> Value:
    """Which elements of `x` the indices name."""
    if indices.data is None:
        ones = context.emit("fill", [context.ints(list(updates.shape)), context.constant(1, DType.INT32)])
        return context.emit("not_equal", [context.emit("scatter_nd", [indices, ones, shape]), context.ints(0)])
    rows = indices.data.reshape(-1, indices.shape[-1])
    if len(np.unique(rows, axis=0)) != len(rows):
        raise Refusal("indices name one place twice")
    check_elements(x.shape)
    mask = np.zeros(x.shape, np.bool_)
    mask[tuple(rows.T)] = True
    return context.constant(mask)


def top_k(node: Node, context: Translation) -> Result:
    """TopK along any axis, of the largest or (by negation) the smallest; indices are int64."""
    x = node.input(0)
    axis = normalize_axis(node.int("axis", -1), x.type.rank)
    count = required_ints(node, 1, "k")[0] if node.is_constant(1) else node.declared_shape()[axis]
    largest = node.int("largest", 1)
    dtype, wide = x.dtype, computed_in(x.dtype, _TOP_K if largest else WIDE)
    swap = list(range(x.type.rank))
    swap[axis], swap[-1] = swap[-1], swap[axis]
    x = context.transpose(context.cast(x, wide), swap)
    x = x if largest else context.emit("neg", [x])
    values, indices = context.emit_many("topk_v2", [x, context.ints(count)])
    results: list[Value] = []
    for name, result, target in zip((*node.outputs, ""), (values, indices), (dtype, DType.INT64)):
        if name:
            negated = result is values and not largest
            result = context.emit("neg", [result]) if negated else result
            result = context.cast(context.transpose(result, swap), target)
        results.append(result)
    return results


def cumulative_sum(node: Node, context: Translation) -> Value:
    """CumSum along an axis."""
    x = node.input(0)
    if node.is_constant(1):
        axis = context.ints(normalize_axis(required_ints(node, 1)[0], x.type.rank))
    else:
        axis = context.reshape(context.cast(node.input(1), DType.INT32), [])
    exclusive, reverse = bool(node.int("exclusive", 0)), bool(node.int("reverse", 0))
    return widened(
        context, [x], WIDE, lambda v: context.emit("cumsum", [v, axis], exclusive=exclusive, reverse=reverse)
    )


def compress(node: Node, context: Translation) -> Value:
    """Compress by a condition: by constant places, or by those found at run time, as many as the model states."""
    x, condition = node.input(0), node.input(1)
    axis = normalize_axis(node.int("axis", 0), x.type.rank) if node.has("axis") else 0
    if not node.has("axis"):
        x = context.reshape(x, [x.type.elements])
    if condition.data is not None:
        return context.emit("gather", [x, context.constant(np.flatnonzero(condition.data), DType.INT32)], axis=axis)
    count = node.declared_shape()[axis]
    found = context.cast(context.emit("where", [condition]), DType.INT32)
    return context.emit("gather", [x, context.reshape(found, [count])], axis=axis)


def non_zero(node: Node, context: Translation) -> Value:
    """NonZero, as many places as the model states; a row an axis."""
    x, wanted = node.input(0), node.declared_shape()
    kept = context.emit("not_equal", [x, context.like(x, 0)]) if x.dtype is not DType.BOOL else x
    found = context.emit("where", [kept])
    return context.transpose(context.reshape(found, wanted[::-1]), [1, 0])


def tensor_scatter(node: Node, context: Translation) -> Value:
    """TensorScatter: each batch entry's update replaces a run along an axis, from an index of its own on."""
    cache, update = node.input(0), node.input(1)
    rank = cache.type.rank
    axis, circular = normalize_axis(node.int("axis", -2), rank), node.attribute("mode", "linear") == "circular"
    batch, size, count = cache.shape[0], cache.shape[axis], update.shape[axis]
    first = node.optional(2)
    start = context.ints([0] * batch) if first is None else context.cast(first, DType.INT32)
    places = context.sub(context.constant(np.arange(size)[None], DType.INT32), context.reshape(start, [batch, 1]))
    if circular:
        places = context.emit("floor_mod", [places, context.ints(size)])
    limited = context.emit("maximum", [places, context.ints(0)])
    limited = context.emit("minimum", [limited, context.ints(count - 1)])
    written = context.emit("equal", [places, limited])
    front = [0, axis, *(i for i in range(1, rank) if i != axis)]
    back = [front.index(i) for i in range(rank)]
    spread = context.emit("gather", [context.transpose(update, front), limited], axis=1, batch_dims=1)
    mask = context.reshape(written, [batch, *(size if i == axis else 1 for i in range(1, rank))])
    return context.emit("select_v2", [mask, context.transpose(spread, back), cache])


TRANSLATIONS: dict[str, Translate] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterND": scatter_nd,
    "ScatterElements": scatter_elements,
    "Scatter": scatter_elements,
    "Compress": compress,
    "NonZero": non_zero,
    "TensorScatter": tensor_scatter,
    "TopK": top_k,
    "CumSum": cumulative_sum,
}
