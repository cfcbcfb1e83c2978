"""Ops that multiply by a constant or add one: mul, div, add and sub read as scale * x + shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.passes.pattern import constant_operand

AFFINE = ("mul", "div", "add", "sub")


@dataclass(frozen=True, slots=True)
class Affine:
    """op(x) = scale * x + shift, before the op's fused activation; both float64 in the shape of the constant."""

    op: Op
    x: Value
    scale: np.ndarray
    shift: np.ndarray

    @property
    def is_scale(self) -> bool:
        """True where nothing is added."""
        return not self.shift.any()

    @property
    def is_shift(self) -> bool:
        """True where nothing is multiplied."""
        return bool(np.all(self.scale == 1))

    @property
    def activation(self) -> str:
        """The activation the op carries."""
        return str(self.op.attributes["fused_activation_function"])


def read_affine(op: Op | None) -> Affine | None:
    """The op as scale and shift; None for other ops, for other dtypes than float32, and where the shape grows."""
    if op is None or op.opcode not in AFFINE or op.result.dtype is not DType.FLOAT32:
        return None
    found = constant_operand(op)
    if found is None or found[0].shape != op.result.shape or found[1].sparsity is not None:
        return None
    x, value = found
    constant = value.array().astype(np.float64)
    one, zero, first = np.ones_like(constant), np.zeros_like(constant), op.operand(0) is x
    if op.opcode == "mul":
        return Affine(op, x, constant, zero)
    if op.opcode == "add":
        return Affine(op, x, one, constant)
    if op.opcode == "sub":
        return Affine(op, x, one, -constant) if first else Affine(op, x, -one, constant)
    return Affine(op, x, 1 / constant, zero) if first and constant.all() else None


def per_channel(values: np.ndarray, channels: int) -> np.ndarray | None:
    """`values` as [channels] where they vary along the last axis only, else None."""
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0])
    if values.size == channels and values.shape[-1] == channels:
        return values.reshape(-1)
    return None
