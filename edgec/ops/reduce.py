"""Reductions over axes, and the positions of extremes."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import attribute_dtype, derived, normalize_axis, parameter_int, parameter_ints, unknown_shape
from edgec.ops.version import INT8_2_INT16_3, Version, by_dtype

X, AXES = Operand("input"), Operand("axes", Role.PARAMETER)
INT8, INT16, BOOL = DType.INT8, DType.INT16, DType.BOOL


def _infer_reduce(op: Op) -> list[TensorType]:
    x, axes = op.operand(0), parameter_ints(op, 1)
    keep = op.attributes["keep_dims"]
    rank = x.type.rank
    if axes is None:  # which axes go is only known at run time
        left = rank if keep else max(rank - op.operand(1).type.elements, 0)
        return [unknown_shape((1,) * left, x.dtype)]
    reduced = {normalize_axis(axis, rank) for axis in axes} if rank else set()
    if keep:
        shape = [1 if i in reduced else size for i, size in enumerate(x.shape)]
        return [derived(x, shape, [None if i in reduced else i for i in range(rank)])]
    kept = [i for i in range(rank) if i not in reduced]
    return [derived(x, [x.shape[i] for i in kept], kept)]


def _infer_logical(op: Op) -> list[TensorType]:
    if op.operand(0).dtype is not BOOL:
        raise ValueError(f"takes bool, found {op.operand(0).dtype.value}")
    return _infer_reduce(op)


def _infer_arg(op: Op) -> list[TensorType]:
    x, axis = op.operand(0), parameter_int(op, 1)
    dtype = attribute_dtype(op, "output_type", DType.INT32, DType.INT64)
    if axis is None:
        return [unknown_shape(x.shape[:-1], dtype)]
    axis = normalize_axis(axis, x.type.rank)
    kept = [i for i in range(x.type.rank) if i != axis]
    return [derived(x, [x.shape[i] for i in kept], kept, dtype)]


def _reduction(opcode: str, quant: QuantRule, version: Version | int = 1) -> OpDef:
    return OpDef(opcode, opcode.upper(), "ReducerOptions", (X, AXES), _infer_reduce, quant=quant, version=version)


def _logical(opcode: str) -> OpDef:
    return OpDef(opcode, opcode.upper(), "ReducerOptions", (X, AXES), _infer_logical)


def _arg(opcode: str, options: str) -> OpDef:
    return OpDef(
        opcode, opcode.upper(), options, (X, Operand("axis", Role.PARAMETER)), _infer_arg,
        quant=QuantRule((INT8,), integer_results=True), version=by_dtype({INT8: 2, BOOL: 3}),
    )  # fmt: skip


_RESCALES = QuantRule((INT8, INT16))
_SAME = QuantRule((INT8, INT16), same_scale=True)

OPS = (
    _reduction("mean", _RESCALES, by_dtype(INT8_2_INT16_3)),
    _reduction("sum", _RESCALES, by_dtype({INT8: 2, INT16: 2})),
    _reduction("reduce_prod", _RESCALES, by_dtype({INT8: 2, INT16: 2})),
    _reduction("reduce_max", _SAME, by_dtype(INT8_2_INT16_3)),
    _reduction("reduce_min", _SAME, by_dtype(INT8_2_INT16_3)),
    _logical("reduce_any"),
    _logical("reduce_all"),
    _arg("arg_max", "ArgMaxOptions"),
    _arg("arg_min", "ArgMinOptions"),
)
