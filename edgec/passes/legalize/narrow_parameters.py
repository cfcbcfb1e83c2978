"""Shapes, axes, paddings and indices become int32."""

from __future__ import annotations

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType
from edgec.passes.legalize.rule import TargetRule
from edgec.target.constraints import NarrowParameters as NarrowParametersConstraint
from edgec.target.constraints import wide_parameters
from edgec.target.target import Target

INT32 = np.iinfo(np.int32)
RULE = NarrowParametersConstraint()


class NarrowParameters(TargetRule):
    """Write int64 constants that are parameters as int32, which is what kernels take, and cast those that are computed.

    Before:  mean(%0, $axes)  int64      After:  mean(%0, $axes')  int32
             one_hot(%1, …)  int64               one_hot(cast(%1), …)  int32
    """

    def needed(self, op: Op, target: Target) -> bool:
        """Where some parameter is int64, and fits if it is a constant."""
        if not RULE.applies(op) or RULE.check(op, target) is None:
            return False
        return any(_fits(op, index) for index in wide_parameters(op))

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """New constants; the old ones may have other readers."""
        for index in list(wide_parameters(op)):
            value = op.operand(index)
            if value.data is None:
                narrow = TensorType(value.shape, DType.INT32, None, value.type.signature)
                cast = builder.emit(
                    "cast", [value], name=value.name, result_types=[narrow],
                    in_data_type=DType.INT64.name, out_data_type=DType.INT32.name,
                )  # fmt: skip
                op.set_operand(index, cast)
            elif _fits(op, index):
                op.set_operand(index, builder.constant(value.array().astype(np.int32), name=value.name))


def _fits(op: Op, index: int) -> bool:
    data = op.operand(index).data
    return data is None or bool(np.all((data >= INT32.min) & (data <= INT32.max)))
