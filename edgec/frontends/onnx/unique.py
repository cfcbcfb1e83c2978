"""Unique: by comparing every entry with every other, as many results as the model states."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.frontends.onnx.widening import WIDE, computed_in
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

MAX_COMPARISONS = 1 << 22
INT32, INT64 = DType.INT32, DType.INT64


def unique(node: Node, context: Translation) -> Result:
    """Unique entries of an axis or of all elements, sorted or as met, with places, inverse and counts."""
    x = node.input(0)
    axis = normalize_axis(node.int("axis", 0), x.type.rank) if node.has("axis") else 0
    if not node.has("axis"):
        x = context.reshape(x, [x.type.elements])
    count = _stated_count(node, axis)
    entries, others = x.shape[axis], x.type.elements // max(x.shape[axis], 1)
    if entries < 1 or entries**2 * others > MAX_COMPARISONS:
        raise Refusal(f"{entries} entries of {others} elements are none, or too many to compare with each other")
    wide = context.cast(x, computed_in(x.dtype, WIDE))
    front = [axis, *(i for i in range(x.type.rank) if i != axis)]
    rows = context.reshape(context.transpose(wide, front), [entries, others])
    same, smaller = _comparisons(context, rows)
    numbers = context.constant(np.arange(entries, dtype=np.int32))
    none = context.ints(entries)
    first = context.emit("reduce_min", [context.emit("select_v2", [same, numbers, none]), context.ints([1])])
    is_first = context.emit("equal", [first, numbers])
    if node.int("sorted", 1):
        before = smaller
    else:
        before = context.emit("less", [numbers, context.reshape(first, [entries, 1])])
    counted = context.cast(context.emit("logical_and", [before, is_first]), INT32)
    inverse = context.emit("sum", [counted, context.ints([1])])
    places = context.emit("unsorted_segment_min", [numbers, inverse, context.ints(count)])
    ones = context.constant(np.ones(entries, np.int32))
    counts = context.emit("unsorted_segment_sum", [ones, inverse, context.ints(count)])
    values = context.emit("gather", [x, places], axis=axis)
    return [values, *(context.cast(found, INT64) for found in (places, inverse, counts))]


def _stated_count(node: Node, axis: int) -> int:
    for index, name in enumerate(node.outputs):
        stated = node.declared[index] if index < len(node.declared) and name and index != 2 else None
        if stated is not None:
            return int(stated[axis if index == 0 else 0])
    raise Refusal("the number of its results depends on the values, and the model states none")


def _comparisons(context: Translation, rows: Value) -> tuple[Value, Value]:
    """bool [entries, entries]: entry i is entry j; entry j comes before entry i, by the first element that differs."""
    entries, others = rows.shape
    one, other = context.reshape(rows, [entries, 1, others]), context.reshape(rows, [1, entries, others])
    differs = context.emit("not_equal", [one, other])
    below = context.emit("less", [other, one])
    if others == 1:
        same = context.emit("equal", [one, other])
        return context.reshape(same, [entries, entries]), context.reshape(below, [entries, entries])
    found = context.cast(differs, DType.FLOAT32)
    met = context.emit("cumsum", [found, context.ints(2)])
    is_first = context.emit("logical_and", [differs, context.emit("equal", [met, context.like(met, 1)])])
    smaller = context.emit("reduce_any", [context.emit("logical_and", [below, is_first]), context.ints([2])])
    same = context.emit("logical_not", [context.emit("reduce_any", [differs, context.ints([2])])])
    return same, smaller


TRANSLATIONS: dict[str, Translate] = {"Unique": unique}
