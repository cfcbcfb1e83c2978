"""Ops whose bounds, pads or places are only known at run time, where the model states the shape of the result."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

INT32 = DType.INT32


def small_ints(context: Translation, value: Value) -> Value:
    """Integers as int32; those of int64 beyond its range, as exporters write for "to the end", become its limits."""
    if value.dtype is DType.INT64 and value.data is None:
        limits = np.iinfo(np.int32)
        value = context.emit("maximum", [value, context.constant(np.int64(limits.min + 1))])
        value = context.emit("minimum", [value, context.constant(np.int64(limits.max))])
    if value.data is not None:
        limits = np.iinfo(np.int32)
        return context.constant(np.clip(value.data, limits.min + 1, limits.max), INT32)
    return context.cast(value, INT32)


def per_axis(context: Translation, values: Value, axes: Value | None, rank: int, default: int) -> Value:
    """int32 of shape [rank, …]: row i of `values` for axis `axes[i]`, `default` for axes that are not named."""
    if axes is None:
        if values.shape[0] != rank:
            raise Refusal(f"{values.shape[0]} numbers for {rank} axes")
        return values
    axes = small_ints(context, axes)
    below = context.emit("less", [axes, context.ints(0)])
    places = context.emit("select_v2", [below, context.add(axes, context.ints(rank)), axes])
    places = context.reshape(places, [axes.shape[0], 1])
    shape = context.ints([rank, *values.shape[1:]])
    moved = context.sub(values, context.ints(default)) if default else values
    scattered = context.emit("scatter_nd", [places, moved, shape])
    return context.add(scattered, context.ints(default)) if default else scattered


def element(context: Translation, values: Value, index: int) -> Value:
    """One number of a vector, as a vector of one."""
    return context.emit("slice", [values, context.ints([index]), context.ints([1])])


def counting(context: Translation, count: int) -> Value:
    """0, 1, … count - 1."""
    return context.constant(np.arange(count), INT32)


def slice_at_run_time(node: Node, context: Translation) -> Value:
    """Slice by bounds of run time: a slice of known size where every step is 1, else gathers along each axis."""
    x, wanted = node.input(0), _window_along_a_counter(node, context) or node.declared_shape()
    rank = x.type.rank
    if len(wanted) != rank:
        raise Refusal(f"the model states the shape {list(wanted)} for a slice of {list(x.shape)}")
    if 0 in wanted:
        return context.constant(np.zeros(wanted, x.dtype.numpy), x.dtype)
    axes, steps = node.optional(3), node.optional(4)
    starts = node.input(1)
    if axes is None and starts.shape[0] < rank:
        axes = context.ints(list(range(starts.shape[0])))
    begin = per_axis(context, small_ints(context, starts), axes, rank, 0)
    sizes = context.ints(list(x.shape))
    below = context.emit("less", [begin, context.ints(0)])
    begin = context.emit("select_v2", [below, context.add(begin, sizes), begin])
    begin = context.emit("maximum", [begin, context.ints(0)])
    if steps is None or (steps.data is not None and (steps.data == 1).all()):
        return context.emit("slice", [x, begin, context.ints(list(wanted))])
    begin = context.emit("minimum", [begin, context.sub(sizes, context.ints(1))])
    every = per_axis(context, small_ints(context, steps), axes, rank, 1)
    for axis in range(rank):
        steps_taken = context.mul(counting(context, wanted[axis]), element(context, every, axis))
        x = context.emit("gather", [x, context.add(steps_taken, element(context, begin, axis))], axis=axis)
    return x


def _window_along_a_counter(node: Node, context: Translation) -> tuple[int, ...] | None:
    """The shape of x[i + a : i + b] along one axis, i a loop's counter and 0 <= a < b; None for other slices."""
    x, axes, steps = node.input(0), node.optional(3), node.optional(4)
    if steps is not None and (steps.data is None or not (steps.data == 1).all()):
        return None
    if axes is not None and axes.data is None:
        return None
    start, end = _offset(node.input(1)), _offset(node.input(2))
    if start is None or end is None or start[0] is not end[0] or start[0] not in context.counters:
        return None
    axis = 0 if axes is None else int(axes.array().reshape(-1)[0])
    size = end[1] - start[1]
    if start[1] < 0 or not 0 < size <= x.shape[axis]:
        return None
    return tuple(size if i == axis % x.type.rank else full for i, full in enumerate(x.shape))


def _offset(value: Value) -> tuple[Value, int] | None:
    """(base, constant) for a single number that is base + constant, seen through casts and reshapes."""
    offset = 0
    while value.type.elements == 1:
        op = value.producer
        if op is None or op.opcode not in ("add", "sub", "cast", "reshape"):
            return value, offset
        value = op.operand(0)
        if op.opcode in ("add", "sub"):
            other = op.operand(1)
            if value.data is not None and op.opcode == "add":
                value, other = other, value
            if other.data is None or other.type.elements != 1:
                return op.result, offset
            offset += int(other.data.reshape(-1)[0]) * (1 if op.opcode == "add" else -1)
    return None


def pad_at_run_time(node: Node, context: Translation) -> Value:
    """Pad by amounts of run time: every axis is gathered from positions counted from the amount before it."""
    x, wanted = node.input(0), node.declared_shape()
    rank = x.type.rank
    if len(wanted) != rank or 0 in x.shape:
        raise Refusal(f"the model states the shape {list(wanted)} for a pad of {list(x.shape)}")
    pads = small_ints(context, node.input(1))
    axes = node.optional(3)
    named = pads.shape[0] // 2
    before = context.emit("slice", [pads, context.ints([0]), context.ints([named])])
    before = per_axis(context, before, axes, rank, 0)
    mode = node.attribute("mode", "constant")
    fill = node.optional(2)
    fill = context.like(x, 0) if fill is None else context.reshape(fill, [])
    for axis in range(rank):
        size = x.shape[axis]
        places = context.sub(counting(context, wanted[axis]), element(context, before, axis))
        inside = context.emit("gather", [x, _within(context, places, size, mode)], axis=axis)
        x = inside
        if mode == "constant":
            limited = _clamped(context, places, size)
            shape = [wanted[axis] if i == axis else 1 for i in range(rank)]
            kept = context.reshape(context.emit("equal", [places, limited]), shape)
            x = context.emit("select_v2", [kept, inside, fill])
    return x


def _clamped(context: Translation, places: Value, size: int) -> Value:
    return context.emit("minimum", [context.emit("maximum", [places, context.ints(0)]), context.ints(size - 1)])


def _within(context: Translation, places: Value, size: int, mode: str) -> Value:
    """Positions inside of an axis that positions outside stand for."""
    if mode in ("constant", "edge") or size == 1:
        return _clamped(context, places, size)
    if mode == "wrap":
        return context.emit("floor_mod", [places, context.ints(size)])
    if mode != "reflect":
        raise Refusal(f"mode '{mode}' is unknown")
    turn = context.ints(2 * (size - 1))
    folded = context.emit("floor_mod", [places, turn])
    return context.emit("minimum", [folded, context.sub(turn, folded)])
