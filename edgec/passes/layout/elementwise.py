"""Elementwise ops: they work in any order that all their values share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from edgec.ir.graph import Op, Value
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS
from edgec.passes.layout.emitter import Emitter
from edgec.passes.layout.part import Part, Slot, Space, SpacePart, UniformPart
from edgec.passes.layout.placement import Placement
from edgec.passes.layout.rule import (
    LayoutRule,
    SpaceRule,
    emit_like,
    fetch_placed,
    placed_quants,
    result_slots,
    with_placed,
)

CONVERSIONS = ("cast", "quantize", "dequantize", "zeros_like")
ELEMENTWISE = (*(name for name, definition in OP_DEFS.items() if definition.is_elementwise), *CONVERSIONS)


def _moving(op: Op) -> list[Slot]:
    """Slots of operands that are not a single element, which broadcasts in every order."""
    slots = [Slot(v, i) for i, v in enumerate(op.operands) if v is not None]
    return [slot for slot in slots if slot.value.type.elements != 1]


def _has_scales_along_axis(values: Sequence[Value]) -> bool:
    return any(v.quant is not None and len(v.quant.scale) > 1 for v in values)


class SameShape(LayoutRule):
    """Elementwise ops whose operands all have the result's shape, or are one element."""

    follows_shape: ClassVar[bool] = True

    def parts(self, op: Op) -> list[Part] | None:
        """One uniform part."""
        slots = _moving(op)
        if not slots or any(slot.value.shape != op.result.shape for slot in slots):
            return None
        if any(v.type.rank > op.result.type.rank for v in op.operands if v is not None):
            return None
        if _has_scales_along_axis([op.result, *(s.value for s in slots)]):
            return None
        return [UniformPart(op, [*slots, *result_slots(op)])]

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Work on the first computed operand's tensor as it is held."""
        part = parts[0]
        order = part.mode.orders[0]
        computed = [s.value for s in part.slots if s.operand is not None and not s.value.is_constant]
        shape = next((s for s in (emitter.held_shape(v, order) for v in computed) if s is not None), None)
        if shape is None:
            shape = tuple(size for size, _ in order)
            if len(part.slots[0].value.shape) > len(shape):
                shape = (1,) * (len(part.slots[0].value.shape) - len(shape)) + shape
        operands = list(op.operands)
        for slot in part.slots:
            if slot.operand is not None:
                operands[slot.operand] = emitter.fetch(slot.value, order, shape)
        operands = [_within_rank(v, len(shape), emitter) for v in operands]
        types = [TensorType(shape, op.result.dtype)]
        (result,) = emit_like(op, operands, emitter, result_types=types)
        emitter.hold(op.result, order, result)


def _within_rank(value: Value | None, rank: int, emitter: Emitter) -> Value | None:
    """A single element with no more axes than the others have."""
    if value is None or value.type.elements != 1 or value.type.rank <= rank:
        return value
    if value.is_constant:
        return emitter.builder.constant(value.array().reshape([1] * rank), value.dtype, value.name, value.quant)
    return emitter.fetch(value, (), [1] * rank)


class Broadcasting(SpaceRule):
    """Elementwise ops some of whose operands lack dimensions of the result."""

    def parts(self, op: Op) -> list[Part] | None:
        """One part in the result's space."""
        rank = op.result.type.rank
        slots = _moving(op)
        values = [op.result, *(s.value for s in slots)]
        if not slots or any(v is not None and v.type.rank > rank for v in op.operands):
            return None
        whole = {v.quant.axis + rank - v.type.rank for v in values
                 if v.quant is not None and v.quant.axis is not None}  # fmt: skip
        if op.opcode == "select" and any(s.value.shape != op.result.shape for s in slots):
            return None  # its condition is aligned at the front
        shapes = [(1,) * (rank - s.value.type.rank) + s.value.shape for s in slots]
        return [SpacePart(op, [*slots, *result_slots(op)], Space((*shapes, op.result.shape), frozenset(whole)))]

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """Operands in their places; constants without leading axes of size 1."""
        fetched = fetch_placed(part, placement, emitter)
        rank = len(placement.axes)
        for i, slot in enumerate(part.slots):
            if slot.operand is None or not slot.value.is_constant:
                continue
            shape = placement.shape(i)
            kept = rank - 1 if op.opcode == "prelu" else 1  # kernels know a slope by its rank
            while len(shape) > kept and shape[0] == 1:
                shape = shape[1:]
            fetched[slot.operand] = emitter.fetch(slot.value, part.mode.orders[i], shape)
        operands = [_within_rank(v, rank, emitter) for v in with_placed(op, fetched)]
        types = [TensorType(placement.shape(len(part.slots) - 1), op.result.dtype)]
        return emit_like(op, operands, emitter, placed_quants(op, part, placement), result_types=types)
