"""Arithmetic and repetition the target lacks, in ops it has."""

from __future__ import annotations

from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ops.infer import constant_ints
from edgec.passes.legalize.rule import TargetRule, lacks, replace_named
from edgec.target.target import Target


class SquareByMul(TargetRule):
    """Write a float square the target cannot run, or not quantized, as a product.

    Before:  %1 = square(%0)      After:  %1 = mul(%0, %0)
    """

    anchors: ClassVar[tuple[str, ...]] = ("square",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the target lacks square but has mul."""
        return op.result.dtype is DType.FLOAT32 and lacks(op, target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """x * x."""
        replace_named(op, builder, builder.emit("mul", [op.operand(0), op.operand(0)], name=op.name))


class NegByMul(TargetRule):
    """Write a float negation the target cannot run, or not quantized, as a product with -1.

    Before:  %1 = neg(%0)      After:  %1 = mul(%0, -1)
    """

    anchors: ClassVar[tuple[str, ...]] = ("neg",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the target lacks neg."""
        return op.result.dtype is DType.FLOAT32 and lacks(op, target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """x * -1."""
        replace_named(op, builder, builder.emit("mul", [op.operand(0), builder.constant(-1.0)], name=op.name))


class TileByConcatenation(TargetRule):
    """Write repetition as concatenation where the target has no tile.

    Before:  %1 = tile(%0, [1, 2])      After:  %1 = concatenation(%0, %0) {axis = 1}
    """

    anchors: ClassVar[tuple[str, ...]] = ("tile",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the target lacks tile and the multiples are known and positive."""
        multiples = constant_ints(op.operand(1))
        return multiples is not None and min(multiples, default=0) >= 1 and max(multiples) > 1 and lacks(op, target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """One concatenation for each repeated axis, the innermost first: it copies the least twice."""
        value = op.operand(0)
        multiples = constant_ints(op.operand(1)) or []
        for axis in reversed(range(len(multiples))):
            if multiples[axis] > 1:
                value = builder.emit("concatenation", [value] * multiples[axis], axis=axis, quant=op.result.quant)
        replace_named(op, builder, value)
