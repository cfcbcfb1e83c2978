"""Positions of extremes become int32 where the kernel writes nothing else."""

from __future__ import annotations

from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.passes.legalize.rule import TargetRule, replace_named
from edgec.target.constraints import IndexDType
from edgec.target.target import Target

RULE = IndexDType()


class NarrowIndices(TargetRule):
    """Let arg_max and arg_min give int32; an output of the model becomes int32 with them. Positions always fit.

    Not where another op than a cast reads them: it may need int64 beside an operand that stays.

    Before:  %1 = arg_max(%0, $axis) {output_type = "INT64"}      After:  %1 = arg_max(%0, $axis)  int32
    """

    anchors: ClassVar[tuple[str, ...]] = ("arg_max", "arg_min")

    def needed(self, op: Op, target: Target) -> bool:
        """Where the kernel gives int32 and what reads the positions takes it."""
        wide = op.result.dtype is DType.INT64 and RULE.check(op, target) is not None
        return wide and all(user.opcode == "cast" for user, _ in op.result.uses)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """The same op with another result."""
        attributes = {**op.attributes, "output_type": DType.INT32.value.upper()}
        replace_named(op, builder, builder.emit(op.opcode, list(op.operands), name=op.name, **attributes))
