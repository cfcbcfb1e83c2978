"""Fourier transforms and complex numbers."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef, Operand
from edgec.ir.types import TensorType
from edgec.ops.infer import derived, dynamic, parameter_ints, plain
from edgec.ops.movement import X, parameter

_PARTS = {DType.COMPLEX64: DType.FLOAT32, DType.COMPLEX128: DType.FLOAT64}


def _infer_rfft2d(op: Op) -> list[TensorType]:
    x, lengths = op.operand(0), op.operand(1)
    if x.type.rank < 2 or x.dtype is not DType.FLOAT32:
        raise ValueError(f"takes float32 of at least rank 2, found {x.type}")
    if lengths.shape != (2,):
        raise ValueError(f"two transform lengths are needed, the operand has shape {list(lengths.shape)}")
    outer = x.type.rank - 2
    sizes = parameter_ints(op, 1)
    if sizes is None:
        return [dynamic(x.shape, DType.COMPLEX64, (outer, outer + 1))]
    height, width = sizes
    if any(size < 1 or size & (size - 1) for size in sizes):
        raise ValueError(f"transform lengths {sizes} must be powers of two")
    return [derived(x, (*x.shape[:-2], height, width // 2 + 1), (*range(outer), None, None), DType.COMPLEX64)]


def _infer_part(op: Op) -> list[TensorType]:
    x = op.operand(0)
    part = _PARTS.get(x.dtype)
    if part is None:
        raise ValueError(f"takes complex numbers, found {x.dtype.value}")
    return [plain(x, part)]


def _part(opcode: str) -> OpDef:
    return OpDef(opcode, opcode.upper(), None, (Operand("input"),), _infer_part, is_elementwise=True)


OPS = (
    OpDef("rfft2d", "RFFT2D", "Rfft2dOptions", (X, parameter("lengths")), _infer_rfft2d),
    _part("real"),
    _part("imag"),
    _part("complex_abs"),
)
