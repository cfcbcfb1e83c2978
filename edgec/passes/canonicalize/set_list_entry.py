"""One op for a list whose entry is set, as loops of recurrent layers do at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.pattern import RewritePass, RewriteRule


@dataclass(frozen=True)
class SetEntry:
    """The list, the new entry, and the scalar that says which one it is."""

    op: Op
    entries: Value
    entry: Value
    index: Value


class ConcatenationToUpdate(RewriteRule[SetEntry]):
    """Write a list's entry in its place.

    Before:  %1 = slice(%list, [0, …], [%i, -1, …])           After:  %3 = dynamic_update_slice(%list, %x, [%i, 0, …])
             %2 = slice(%list, [%i + 1, 0, …], [-1, …])
             %3 = concatenation(%1, %x, %2) {axis 0}

    So TensorFlow's converter writes TensorListSetItem. The sizes of the two slices change with %i, which no plan of the
    memory can hold.
    """

    anchors: ClassVar[tuple[str, ...]] = ("concatenation",)

    def pattern(self, op: Op) -> SetEntry | None:
        """Three parts along the first axis, of which the outer ones are the rest of one list."""
        if len(op.operands) != 3 or op.attributes["axis"] != 0:
            return None
        head, entry, tail = (op.operand(i) for i in range(3))
        before, after = head.producer, tail.producer
        if before is None or after is None or before.opcode != "slice" or after.opcode != "slice":
            return None
        entries = before.operand(0)
        if (
            after.operand(0) is not entries
            or entries.type.rank < 1
            or set(constant_ints(before.operand(1)) or [1]) != {0}
        ):
            return None
        index, next_ = _first_of_vector(before.operand(2), rest=-1), _first_of_vector(after.operand(1), rest=0)
        if index is None or next_ is None or not _is_successor(next_, index):
            return None
        return SetEntry(op, entries, entry, index)

    def check(self, match: SetEntry) -> str | None:
        """Refuse entries of another shape, activations and results that are not the list's type."""
        entries, entry, result = match.entries, match.entry, match.op.result
        if match.op.attributes["fused_activation_function"] != "NONE":
            return f"it carries the activation {match.op.attributes['fused_activation_function']}"
        if entries.type != result.type or entries.type.is_dynamic or entries.quant != entry.quant:
            return f"'{result.name}' is {result.type}, the list is {entries.type}"
        if entry.shape != (1, *entries.shape[1:]):
            return f"the entry has shape {list(entry.shape)}"
        return None

    def rewrite(self, match: SetEntry, builder: Builder) -> None:
        """One op; the slices are left without readers."""
        index, rank = match.index, match.entries.type.rank
        first = builder.emit("reshape", [index, builder.ints([1])], name=f"{match.op.name}_index", new_shape=(1,))
        rest = builder.constant(np.zeros(rank - 1, index.dtype.numpy))
        start = first
        if rank > 1:
            start = builder.emit("concatenation", [first, rest], name=f"{match.op.name}_start", axis=0)
        result = builder.emit("dynamic_update_slice", [match.entries, match.entry, start], name=match.op.name)
        result.name = match.op.result.name
        builder.graph.replace(match.op, [result])


def _first_of_vector(vector: Value, rest: int) -> Value | None:
    """The scalar that a vector begins with, where all its other elements are the constant `rest`."""
    joined = vector.producer
    if joined is None:
        return None
    if joined.opcode == "reshape" and vector.type.elements == 1:
        return joined.operand(0)
    if (
        joined.opcode != "concatenation"
        or len(joined.operands) != 2
        or set(constant_ints(joined.operand(1)) or []) != {rest}
    ):
        return None
    first = joined.operand(0)
    if first.type.elements == 1 and first.producer is not None and first.producer.opcode in ("reshape", "expand_dims"):
        return first.producer.operand(0)
    return None


def _all(value: Value, wanted: int) -> bool:
    """Whether every element is that constant."""
    return set(constant_ints(value) or []) == {wanted}


def _is_successor(value: Value, of: Value) -> bool:
    """True for `of` + 1."""
    add = value.producer
    if add is None or add.opcode != "add":
        return False
    a, b = add.operand(0), add.operand(1)
    return (a is of and constant_ints(b) == [1]) or (b is of and constant_ints(a) == [1])


@dataclass(frozen=True)
class SetListEntry(RewritePass):
    """Write entries of lists by `dynamic_update_slice`."""

    name: ClassVar[str] = "set_list_entry"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (ConcatenationToUpdate(),)
