"""Ops that make tensors: fills, ranges, random numbers and diagonals."""

from __future__ import annotations

import math

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef, Operand, QuantRule
from edgec.ir.types import MAX_DIMENSION, TensorType
from edgec.ops.infer import (
    derived,
    dynamic,
    operand_length,
    own_dtype,
    parameter_ints,
    require_rank,
    require_same_dtype,
    result_like,
    scalar_int,
    unknown_shape,
)
from edgec.ops.movement import X, parameter
from edgec.ops.version import by_dtype

FLOAT32, INT32, INT64 = DType.FLOAT32, DType.INT32, DType.INT64


def _infer_fill(op: Op) -> list[TensorType]:
    return [_shaped(op, op.operand(1).dtype)]


def _infer_random(op: Op) -> list[TensorType]:
    return [_shaped(op, FLOAT32)]


def _shaped(op: Op, dtype: DType) -> TensorType:
    shape = parameter_ints(op, 0)
    if shape is None:
        return unknown_shape((1,) * operand_length(op, 0), dtype)
    return TensorType(tuple(shape), dtype)


def _infer_range(op: Op) -> list[TensorType]:
    dtype = require_same_dtype(op, 0, 1, 2)
    values = [op.operand(i) for i in range(3)]
    for value in values:
        require_rank(value, 0)
    if any(value.data is None or value.sparsity is not None for value in values):
        return [dynamic((1,), dtype, (0,))]
    start, limit, delta = (value.array().reshape(-1)[0].item() for value in values)
    return [TensorType((_range_length(start, limit, delta),), dtype)]


def _range_length(start: float, limit: float, delta: float) -> int:
    if not delta or not all(math.isfinite(v) for v in (start, limit, delta)):
        raise ValueError(f"from {start} to {limit} by {delta} is no range")
    if (limit - start) * delta < 0:
        raise ValueError(f"steps of {delta} do not lead from {start} to {limit}")
    if isinstance(delta, int):
        return -int((start - limit) // delta)
    length = (limit - start) / delta
    if length > MAX_DIMENSION:
        raise ValueError(f"from {start} to {limit} by {delta} are more than {MAX_DIMENSION} numbers")
    return math.ceil(length)


def _infer_multinomial(op: Op) -> list[TensorType]:
    logits, count = op.operand(0), scalar_int(op, 1)
    require_rank(logits, 2)
    dtype = own_dtype(op, INT64)
    if dtype not in (INT32, INT64):
        raise ValueError(f"draws int32 or int64, found {dtype.value}")
    if count is None:
        return [dynamic((logits.shape[0], 1), dtype, (1,))]
    return [derived(logits, (logits.shape[0], count), (0, None), dtype)]


def _infer_matrix_diag(op: Op) -> list[TensorType]:
    x = op.operand(0)
    if not x.shape:
        raise ValueError(f"'{x.name}' must have at least one dimension")
    return [derived(x, (*x.shape, x.shape[-1]), (*range(x.type.rank), x.type.rank - 1))]


def _infer_matrix_set_diag(op: Op) -> list[TensorType]:
    x, diagonal = op.operand(0), op.operand(1)
    require_same_dtype(op, 0, 1)
    if x.type.rank < 2 or diagonal.shape != (*x.shape[:-2], min(x.shape[-2:])):
        raise ValueError(f"a diagonal of {list(diagonal.shape)} does not fit {list(x.shape)}")
    return [derived(x, x.shape, range(x.type.rank))]


def _random(opcode: str, operands: tuple[Operand, ...]) -> OpDef:
    infer = _infer_multinomial if opcode == "multinomial" else _infer_random
    # Each run gives other numbers: what has side effects is neither folded nor merged.
    return OpDef(opcode, opcode.upper(), "RandomOptions", operands, infer, has_side_effects=True)


_FILL_VERSIONS = {
    DType.BOOL: 2, DType.STRING: 2, DType.INT8: 3, DType.INT16: 3, DType.FLOAT16: 4,
}  # fmt: skip

OPS = (
    OpDef("fill", "FILL", "FillOptions", (parameter("shape"), Operand("value")), _infer_fill,
          quant=QuantRule((DType.INT8, DType.INT16), same_scale=True), version=by_dtype(_FILL_VERSIONS, index=1)),
    OpDef("range", "RANGE", "RangeOptions", tuple(parameter(n) for n in ("start", "limit", "delta")), _infer_range,
          version=by_dtype({INT64: 2})),
    OpDef("zeros_like", "ZEROS_LIKE", "ZerosLikeOptions", (X,), result_like(0)),
    _random("random_uniform", (parameter("shape"),)),
    _random("random_standard_normal", (parameter("shape"),)),
    _random("multinomial", (Operand("logits"), parameter("count"))),
    OpDef("matrix_diag", "MATRIX_DIAG", "MatrixDiagOptions", (X,), _infer_matrix_diag,
          quant=QuantRule((DType.INT16,), same_scale=True, note="int8 kernels are missing; zeros fill the rest")),
    OpDef("matrix_set_diag", "MATRIX_SET_DIAG", "MatrixSetDiagOptions", (X, Operand("diagonal")),
          _infer_matrix_set_diag, quant=QuantRule((DType.INT8, DType.INT16), same_scale=True)),
)  # fmt: skip
