"""MaxPool with the places of its maxima, and MaxUnpool, which puts values back to such places."""

from __future__ import annotations

import itertools
import math

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import Window, explicit_pads, positive_ints
from edgec.frontends.onnx.runtime_operands import small_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.frontends.onnx.widening import computed_in
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

MAX_TAPS = 256
MAX_PLACES = 1 << 24


def maximum_places(context: Translation, padded: Value, x: Value, window: Window, by_columns: bool) -> Value:
    """int64 places of each window's first maximum, counted over all of `x`, which is `padded` around.

    Taps that are one window apart become entries of a last axis; the place of the largest is a tap, which constants
    turn into a distance from the window's start.
    """
    taps, rank = math.prod(window.kernel), x.type.rank
    if taps > MAX_TAPS or math.prod((*x.shape[:2], *window.outputs)) > MAX_PLACES:
        raise Refusal(f"the places of maxima in windows of {taps} elements are not supported")
    parts = []
    for tap in itertools.product(*(range(k) for k in window.kernel)):
        begin = [0, 0, *(t * d for t, d in zip(tap, window.dilations))]
        end = [*x.shape[:2], *(b + (n - 1) * s + 1 for b, n, s in zip(begin[2:], window.outputs, window.strides))]
        bounds = [context.ints(bound) for bound in (begin, end, [1, 1, *window.strides])]
        part = context.emit("strided_slice", [padded, *bounds])
        parts.append(context.reshape(part, [*part.shape, 1]))
    stacked = parts[0] if taps == 1 else context.emit("concatenation", parts, axis=rank)
    tap_of = context.emit("arg_max", [stacked, context.ints(rank)], output_type="INT32")
    starts, distances = _starts_and_distances(x, window, by_columns)
    distance = context.emit("gather", [context.constant(distances), tap_of], axis=0)
    return context.cast(context.add(distance, context.constant(starts)), DType.INT64)


def _starts_and_distances(x: Value, window: Window, by_columns: bool) -> tuple[np.ndarray, np.ndarray]:
    """int32: places of the windows' first taps [1 or all, …], and how far each tap lies from the first one."""
    area = math.prod(window.sizes)
    order = window.sizes[::-1] if by_columns else window.sizes
    steps = [math.prod(order[i + 1 :]) for i in range(len(order))]
    steps = steps[::-1] if by_columns else steps
    taps = np.indices(window.kernel).reshape(len(steps), -1)
    distances = sum(t * d * step for t, d, step in zip(taps, window.dilations, steps))
    outputs = np.indices(window.outputs)
    befores = [before for before, _ in window.pads]
    first = sum((o * stride - b) * step for o, stride, b, step in zip(outputs, window.strides, befores, steps))
    planes = np.arange(x.shape[0] * x.shape[1]).reshape([*x.shape[:2], *[1] * len(steps)]) * area
    return (planes + first).astype(np.int32), np.asarray(distances, np.int32)


def max_unpool(node: Node, context: Translation) -> Value:
    """MaxUnpool: values go to their places, zero elsewhere; places that overlap hold one value each."""
    x, indices = node.input(0), node.input(1)
    rank = x.type.rank - 2
    if rank < 1 or indices.shape != x.shape:
        raise Refusal(f"indices {list(indices.shape)} do not fit {list(x.shape)}")
    kernel, strides = positive_ints(node, "kernel_shape", rank), positive_ints(node, "strides", rank)
    pads = explicit_pads(node, rank)
    own = [(n - 1) * s - sum(pad) + k for n, s, pad, k in zip(x.shape[2:], strides, pads, kernel)]
    shape = [*x.shape[:2], *own]
    if node.optional(2) is not None:
        given = node.ints(2) if node.is_constant(2) else None
        shape = [*(node.declared_shape() if given is None else given)]
    if len(shape) != x.type.rank or min(shape) < 1 or math.prod(shape) > MAX_PLACES:
        raise Refusal(f"it cannot unpool {list(x.shape)} to {shape}")
    return _scattered(context, x, indices, shape)


def _scattered(context: Translation, x: Value, indices: Value, shape: list[int]) -> Value:
    wide, size = computed_in(x.dtype, (DType.FLOAT32, DType.INT32)), math.prod(shape)
    places = context.reshape(small_ints(context, indices), [x.type.elements])
    values = context.reshape(context.cast(x, wide), [x.type.elements])
    found = context.emit("unsorted_segment_max", [values, places, context.ints(size)])
    ones = context.filled([x.type.elements], 1, DType.INT32)
    hit = context.emit("unsorted_segment_max", [ones, places, context.ints(size)])
    kept = context.emit("greater", [hit, context.ints(0)])
    chosen = context.emit("select_v2", [kept, found, context.like(found, 0)])
    return context.cast(context.reshape(chosen, shape), x.dtype)


TRANSLATIONS: dict[str, Translate] = {"MaxUnpool": max_unpool}
