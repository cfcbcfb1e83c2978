"""Finds the rule for an op; what none covers works on values as written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.layout import along_axes, weighted
from edgec.passes.layout.elementwise import ELEMENTWISE, Broadcasting, SameShape
from edgec.passes.layout.emitter import Emitter
from edgec.passes.layout.part import Part, TransposePart, UniformPart
from edgec.passes.layout.rule import LayoutRule, fixed_parts, operand_slot, result_slots
from edgec.passes.layout.storage_order import as_written

RESHAPES = ("reshape", "squeeze", "expand_dims")


class Reshape(LayoutRule):
    """Reshapes keep the flat index, hence every order; they are written only where a shape is asked for."""

    opcodes: ClassVar[tuple[str, ...]] = RESHAPES
    follows_shape: ClassVar[bool] = True

    def parts(self, op: Op) -> list[Part] | None:
        """One uniform part."""
        if op.operand(0).quant != op.result.quant:
            return None
        return [UniformPart(op, [operand_slot(op, 0), *result_slots(op)])]

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Let the operand's tensor hold the result too."""
        hold_alias(op, parts[0], emitter, op.result.shape)


class Transpose(LayoutRule):
    """A constant permutation: the result is the operand in another order."""

    opcodes: ClassVar[tuple[str, ...]] = ("transpose",)

    def parts(self, op: Op) -> list[Part] | None:
        """One part that relates both orders."""
        x, given = op.operand(0), constant_ints(op.operand(1))
        if given is None:
            return None
        permutation = [axis % x.type.rank for axis in given]
        if not _same_scales(x, op.result):
            return None
        return [TransposePart(op, [operand_slot(op, 0), *result_slots(op)], permutation)]

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Let the tensor that holds the operand in the right order hold the result too."""
        hold_alias(op, parts[0], emitter, op.result.shape)


def _same_scales(x: Value, result: Value) -> bool:
    """True where transposing changes nothing but places; scales along an axis are left alone unless x is constant."""
    if x.quant is None or result.quant is None:
        return x.quant is result.quant
    if len(x.quant.scale) > 1:
        return x.is_constant and x.quant.scale == result.quant.scale
    return x.quant.same_mapping(result.quant)


def hold_alias(op: Op, part: Part, emitter: Emitter, shape: Sequence[int]) -> None:
    """Hold the result by the tensor that holds the operand; `shape` is what it takes if data has to move for it."""
    x, (order, image) = op.operand(0), part.mode.orders
    if x.is_constant:
        tensor = emitter.fetch(x, order, shape)
    elif order in emitter.stored[x]:
        tensor = emitter.stored[x][order]
    else:
        tensor = emitter.fetch(x, order, shape if image == as_written(x.type.elements) else _axes(order))
    emitter.changes += 1
    emitter.hold(op.result, image, tensor)


def _axes(order: Sequence[tuple[int, int]]) -> list[int]:
    return [size for size, _ in order]


_ELEMENTWISE = (SameShape(), Broadcasting())
_BY_OPCODE: dict[str, tuple[LayoutRule, ...]] = {
    **dict.fromkeys(ELEMENTWISE, _ELEMENTWISE),
    **{opcode: (rule,) for rule in (*along_axes.RULES, *weighted.RULES, Reshape(), Transpose())
       for opcode in rule.opcodes},
}  # fmt: skip
_MAY_HAVE_SCALES_ALONG_AXIS = {*ELEMENTWISE, "transpose", "conv_2d", "depthwise_conv_2d", "fully_connected"}


def rule_and_parts(op: Op) -> tuple[LayoutRule | None, list[Part]]:
    """The rule that covers an op (None: no rule does) and all its parts."""
    if _can_be_written_anew(op):
        for rule in _BY_OPCODE.get(op.opcode, ()):
            parts = rule.parts(op)
            if parts is not None:
                return rule, [*parts, *fixed_parts(op, parts)]
    return None, fixed_parts(op)


def _can_be_written_anew(op: Op) -> bool:
    values = [v for v in (*op.operands, *op.results) if v is not None]
    if op.intermediates or not op.results or any(_is_special(v) for v in values):
        return False
    if op.opcode in _MAY_HAVE_SCALES_ALONG_AXIS:
        return True
    return not any(v.quant is not None and len(v.quant.scale) > 1 for v in values)


def _is_special(value: Value) -> bool:
    """Variables, sparse or opaque constants, shapes that vary, and values without elements."""
    if value.is_variable or value.sparsity is not None or value.dtype.is_opaque or value.type.is_dynamic:
        return True
    return value.type.elements == 0
