"""Sequences of tensors and optional tensors whose make-up is known at import: they leave no op behind.

A sequence is a constant that stands for it in the table of values, and a list of tensors in the translation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgec.frontends.onnx.control_flow import Walker
from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

MAX_ENTRIES = 4096
TAKES_SEQUENCES = frozenset({"Identity", "If", "Loop", "SequenceMap"})


def is_sequence(context: Translation, value: Value | None) -> bool:
    """True for a value that stands for a sequence."""
    return value is not None and value in context.sequences


def _made(context: Translation, entries: Sequence[Value]) -> Value:
    if len(entries) > MAX_ENTRIES:
        raise Refusal(f"a sequence of {len(entries)} tensors is longer than {MAX_ENTRIES}")
    stand_in = context.constant(np.int32(len(entries)), DType.INT32)
    context.sequences[stand_in] = tuple(entries)
    return stand_in


def _entries(node: Node, context: Translation, index: int = 0) -> list[Value]:
    value = node.input(index)
    if value not in context.sequences:
        raise Refusal(f"its input {index} ('{value.name}') is no sequence whose tensors are known at import")
    return list(context.sequences[value])


def _position(node: Node, index: int, count: int, *, end: bool) -> int:
    """A constant position counted from the front; absent, it is the last one, or the one after it."""
    if node.optional(index) is None:
        return count if end else count - 1
    (position,) = node.ints(index) or [0]
    found = position + count if position < 0 else position
    if not 0 <= found < count + end:
        raise Refusal(f"position {position} is outside a sequence of {count}")
    return found


def construct(node: Node, context: Translation) -> Value:
    """SequenceConstruct: the operands in their order."""
    return _made(context, [node.input(i) for i in range(len(node.inputs))])


def empty(node: Node, context: Translation) -> Value:
    """SequenceEmpty."""
    return _made(context, [])


def insert(node: Node, context: Translation) -> Value:
    """SequenceInsert at a constant position, at the end where none is given."""
    entries = _entries(node, context)
    entries.insert(_position(node, 2, len(entries), end=True), node.input(1))
    return _made(context, entries)


def erase(node: Node, context: Translation) -> Value:
    """SequenceErase of a constant position, of the last one where none is given."""
    entries = _entries(node, context)
    del entries[_position(node, 1, len(entries), end=False)]
    return _made(context, entries)


def at(node: Node, context: Translation) -> Value:
    """SequenceAt a constant position."""
    entries = _entries(node, context)
    return entries[_position(node, 1, len(entries), end=False)]


def length(node: Node, context: Translation) -> Value:
    """SequenceLength is a constant."""
    return context.constant(np.int64(len(_entries(node, context))), DType.INT64)


def split_to_sequence(node: Node, context: Translation) -> Value:
    """SplitToSequence into entries (their axis taken away unless keepdims), equal chunks, or parts of given sizes."""
    x = node.input(0)
    axis = normalize_axis(node.int("axis", 0), x.type.rank)
    given, size = node.ints(1), x.shape[axis]
    if given is not None and node.input(1).type.rank:
        sizes = given
    else:
        chunk = 1 if given is None else given[0]
        if chunk < 1 or size > MAX_ENTRIES * chunk:
            raise Refusal(f"chunks of {chunk} do not divide {size} entries")
        sizes = [chunk] * (size // chunk) + ([size % chunk] if size % chunk else [])
    if sum(sizes) != size or min(sizes, default=0) < 0:
        raise Refusal(f"parts of {sizes} do not add up to {size}")
    parts, start = [], 0
    for count in sizes:
        begin = [start if i == axis else 0 for i in range(x.type.rank)]
        part = sliced(context, x, begin, [count if i == axis else n for i, n in enumerate(x.shape)])
        if given is None and not node.int("keepdims", 1):
            part = context.reshape(part, [n for i, n in enumerate(x.shape) if i != axis])
        parts.append(part)
        start += count
    return _made(context, parts)


def concat_from_sequence(node: Node, context: Translation) -> Value:
    """ConcatFromSequence along an axis, or a new one."""
    entries, new = _entries(node, context), bool(node.int("new_axis", 0))
    if not entries:
        raise Refusal("it joins a sequence without tensors")
    axis = normalize_axis(node.int("axis", 0), entries[0].type.rank + new)
    if new:
        entries = [context.reshape(e, [*e.shape[:axis], 1, *e.shape[axis:]]) for e in entries]
    return entries[0] if len(entries) == 1 else context.emit("concatenation", entries, axis=axis)


def sequence_map(node: Node, context: Translation, walker: Walker) -> list[Value]:
    """SequenceMap: the body written out for each entry."""
    entries, body = _entries(node, context), node.attribute("body")
    others = [(i, list(context.sequences.get(node.input(i), ()))) for i in range(1, len(node.inputs))]
    names, gathered = [i.name for i in body.input], []
    for place, entry in enumerate(entries):
        given = [
            own[place] if is_sequence(context, node.input(i)) else node.input(i) for i, own in others
        ]  # fmt: skip
        gathered.append(walker.walk(body, dict(zip(names, [entry, *given]))))
    return [_made(context, [results[i] for results in gathered]) for i in range(len(body.output))]


def optional(node: Node, context: Translation) -> Value:
    """Optional of a tensor or sequence is that tensor or sequence."""
    if node.optional(0) is None:
        raise Refusal("an optional value without a tensor has no counterpart in TFLite")
    return node.input(0)


def optional_element(node: Node, context: Translation) -> Value:
    """OptionalGetElement: what is known to be there."""
    return node.input(0)


def optional_has_element(node: Node, context: Translation) -> Value:
    """OptionalHasElement is a constant."""
    return context.constant(np.array(node.optional(0) is not None), DType.BOOL)


SUBGRAPH_OPS: dict[str, Callable[[Node, Translation, Walker], list[Value]]] = {"SequenceMap": sequence_map}
TRANSLATIONS: dict[str, Translate] = {
    "ConcatFromSequence": concat_from_sequence,
    "Optional": optional,
    "OptionalGetElement": optional_element,
    "OptionalHasElement": optional_has_element,
    "SequenceAt": at,
    "SequenceConstruct": construct,
    "SequenceEmpty": empty,
    "SequenceErase": erase,
    "SequenceInsert": insert,
    "SequenceLength": length,
    "SplitToSequence": split_to_sequence,
}
