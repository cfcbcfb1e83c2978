"""Clamps to an interval, in the three ways TFLite writes them: an op, an attribute, maximum and minimum."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.passes.pattern import constant_operand


class Interval(NamedTuple):
    """Bounds of a clamp; infinite where there is none."""

    low: float
    high: float

    def then(self, other: Interval) -> Interval | None:
        """The clamp that does what this one and then `other` do; None where that is a constant."""
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Interval(low, high) if low < high else None


FREE = Interval(-math.inf, math.inf)
OPS = {
    "relu": Interval(0, math.inf), "relu6": Interval(0, 6), "relu_n1_to_1": Interval(-1, 1),
    "relu_0_to_1": Interval(0, 1),
}  # fmt: skip
OPCODES = {interval: opcode for opcode, interval in OPS.items()}
ATTRIBUTES = {"NONE": FREE, "RELU": OPS["relu"], "RELU6": OPS["relu6"], "RELU_N1_TO_1": OPS["relu_n1_to_1"]}
ATTRIBUTE_NAMES = {interval: name for name, interval in ATTRIBUTES.items()}
EXTREMES = ("maximum", "minimum")


def read_clamp(op: Op | None) -> tuple[Value, Interval] | None:
    """What a single op clamps and to which interval: a ReLU, or a float maximum or minimum with one constant."""
    if op is None:
        return None
    if op.opcode in OPS:
        return op.operand(0), OPS[op.opcode]
    if op.opcode not in EXTREMES or op.result.dtype is not DType.FLOAT32:
        return None
    found = constant_operand(op)
    bound = None if found is None else uniform(found[1])
    if found is None or bound is None or found[0].shape != op.result.shape:
        return None
    return found[0], Interval(bound, math.inf) if op.opcode == "maximum" else Interval(-math.inf, bound)


def uniform(value: Value) -> float | None:
    """The number a float constant holds everywhere, None where there is no single one."""
    if value.data is None or value.sparsity is not None or not value.dtype.is_float or not value.data.size:
        return None
    first = value.data.reshape(-1)[0]
    return float(first) if np.all(value.data == first) else None
