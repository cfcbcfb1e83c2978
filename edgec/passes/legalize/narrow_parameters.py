"""Constant shapes, axes, paddings and indices become int32."""

from __future__ import annotations

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op
from edgec.passes.legalize.rule import TargetRule
from edgec.target.constraints import NarrowParameters as NarrowParametersConstraint
from edgec.target.constraints import wide_parameters
from edgec.target.target import Target

INT32 = np.iinfo(np.int32)
RULE = NarrowParametersConstraint()


class NarrowParameters(TargetRule):
    """Write int64 constants that are parameters as int32, which is what kernels take.

    Before:  mean(%0, $axes)  int64      After:  mean(%0, $axes')  int32
    """

    def needed(self, op: Op, target: Target) -> bool:
        """Where some parameter is an int64 constant whose values fit."""
        if not RULE.applies(op) or RULE.check(op, target) is None:
            return False
        return any(_fits(op, index) for index in wide_parameters(op))

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """New constants; the old ones may have other readers."""
        for index in list(wide_parameters(op)):
            if _fits(op, index):
                value = op.operand(index)
                op.set_operand(index, builder.constant(value.array().astype(np.int32), name=value.name))


def _fits(op: Op, index: int) -> bool:
    data = op.operand(index).data
    return data is not None and bool(np.all((data >= INT32.min) & (data <= INT32.max)))
