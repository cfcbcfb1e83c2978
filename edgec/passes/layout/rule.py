"""How one op is described to the layout search and written anew in the chosen orders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from edgec.ir.graph import Op, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.passes.layout.emitter import Emitter, with_axis
from edgec.passes.layout.part import FixedPart, Part, Slot, SpacePart
from edgec.passes.layout.placement import Placement, placed_by_default, placed_like
from edgec.passes.layout.storage_order import StorageOrder


class LayoutRule(ABC):
    """What the storage order of an op's values may be, for the opcodes it names."""

    opcodes: ClassVar[tuple[str, ...]] = ()
    follows_shape: ClassVar[bool] = False  # works on tensors in the shape they are held in

    @abstractmethod
    def parts(self, op: Op) -> list[Part] | None:
        """The op's parts; None where it works on values as written only."""

    @abstractmethod
    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Emit the op in its parts' modes and hold its results."""


def operand_slot(op: Op, index: int) -> Slot:
    """The slot of an operand."""
    return Slot(op.operand(index), index)


def result_slots(op: Op) -> list[Slot]:
    """A slot for every result."""
    return [Slot(result) for result in op.results]


def fixed_parts(op: Op, covered: Sequence[Part] = ()) -> list[Part]:
    """Parts for the operands and results that `covered` leaves out: they stay as written."""
    operands = {slot.operand for part in covered for slot in part.slots if slot.operand is not None}
    results = {slot.value for part in covered for slot in part.slots if slot.operand is None}
    rest = [Slot(v, i) for i, v in enumerate(op.operands) if v is not None and i not in operands]
    rest += [slot for slot in result_slots(op) if slot.value not in results]
    return [FixedPart(op, [slot]) for slot in rest]


def emit_like(
    op: Op,
    operands: Sequence[Value | None],
    emitter: Emitter,
    quants: Sequence[QuantParams | None] | None = None,
    *,
    result_types: Sequence[TensorType] | None = None,
    **changed: object,
) -> tuple[Value, ...]:
    """Emit an op with the name and attributes of `op`, but for those given; results keep names and quantization.

    Operands may be values of the old graph: they are taken as written.
    """
    emitter.changes += 1
    new = emitter.builder.emit_op(
        op.opcode, [emitter.current(v) for v in operands], name=op.name, result_types=result_types,
        **{**op.attributes, **changed},
    )  # fmt: skip
    for old, result, quant in zip(op.results, new.results, quants or [r.quant for r in op.results]):
        result.name = old.name
        result.type = result.type.with_dtype(old.dtype, quant)
    new.intermediates = op.intermediates
    new.extra = op.extra
    return new.results


class SpaceRule(LayoutRule):
    """An op that works along dimensions of a space: one `SpacePart`, written by `emit_placed`."""

    follows_shape: ClassVar[bool] = True

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Place the dimensions, emit, hold the results."""
        part = parts[0]
        assert isinstance(part, SpacePart)
        placement = placement_of(part, emitter)
        results = self.emit_placed(op, part, placement, emitter)
        slots = [i for i, slot in enumerate(part.slots) if slot.operand is None]
        for result, slot in zip(results, slots):
            emitter.hold(part.slots[slot].value, part.mode.orders[slot], result)

    @abstractmethod
    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """Emit the op on tensors in a placement and return its results."""


def placement_of(part: SpacePart, emitter: Emitter) -> Placement:
    """A placement that takes an operand as it is held, where that takes no fifth axis; else the default."""
    for i, slot in enumerate(part.slots):
        if slot.operand is None:
            continue
        shape = emitter.held_shape(slot.value, part.mode.orders[i])
        if shape is None or len(shape) > max(len(part.space.sizes), 4):
            continue
        placement = placed_like(part.space, part.mode, i, shape)
        if placement is not None:
            return placement
    return placed_by_default(part.space, part.mode)


def fetch_placed(
    part: SpacePart, placement: Placement, emitter: Emitter, *, without: int | None = None
) -> dict[int, Value]:
    """The operands' tensors by operand index, each in its place; the axis `without` is left out of their shapes."""
    fetched = {}
    for i, slot in enumerate(part.slots):
        if slot.operand is None:
            continue
        shape = [size for axis, size in enumerate(placement.shape(i)) if axis != without]
        fetched[slot.operand] = emitter.fetch(slot.value, part.mode.orders[i], shape)
    return fetched


def with_placed(op: Op, fetched: dict[int, Value], changed: dict[int, Value] | None = None) -> list[Value | None]:
    """The op's operands with some replaced."""
    replaced = {**fetched, **(changed or {})}
    return [replaced.get(i, value) for i, value in enumerate(op.operands)]


def placed_quants(op: Op, part: SpacePart, placement: Placement) -> list[QuantParams | None]:
    """The results' quantization, scales along the axis that their dimension has in the placement."""
    quants: list[QuantParams | None] = []
    for result in op.results:
        quant = result.quant
        if quant is not None and quant.axis is not None:
            quant = with_axis(quant, placement.axis(quant.axis)) if len(quant.scale) > 1 else None
        quants.append(quant)
    return quants


def order_within(part: SpacePart, dim: int) -> StorageOrder:
    """In which order the positions along one dimension are stored."""
    return tuple((p.size, p.step) for p in part.mode.pieces if p.dim == dim)
