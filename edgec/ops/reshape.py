"""Ops that change or tell a shape without touching an element."""

from __future__ import annotations

import math

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import (
    attribute_dtype,
    attribute_ints,
    derived,
    dynamic,
    normalize_axis,
    operand_length,
    parameter_int,
    parameter_ints,
    unknown_shape,
)

X = Operand("input")
SAME_SCALE = QuantRule((DType.INT8, DType.INT16), same_scale=True)


def _infer_reshape(op: Op) -> list[TensorType]:
    x = op.operand(0)
    wanted = _wanted_shape(op)
    if wanted is None:  # computed at run time: the rank is all that is known
        rank = operand_length(op, 1)
        return [unknown_shape(((1,) * (rank - 1) + (x.type.elements,)) if rank else (), x.dtype)]
    moving = x.type.signature is not None and -1 in x.type.signature
    shape = resolve_shape(wanted, x)
    return [dynamic(shape, x.dtype, [i for i, size in enumerate(wanted) if size == -1] if moving else ())]


def _wanted_shape(op: Op) -> list[int] | None:
    if op.optional_operand(1) is not None:
        return parameter_ints(op, 1)
    return attribute_ints(op, "new_shape")


def resolve_shape(wanted: list[int], x: Value) -> tuple[int, ...]:
    """The shape that `wanted`, with at most one -1 to be filled in, gives to the elements of `x`."""
    if any(size < -1 for size in wanted) or wanted.count(-1) > 1:
        raise ValueError(f"new shape {wanted} has negative sizes other than a single -1")
    known = math.prod(size for size in wanted if size != -1)
    if -1 in wanted:
        if not known or x.type.elements % known:
            raise ValueError(f"{x.type.elements} elements of {list(x.shape)} do not divide into {wanted}")
        return tuple(x.type.elements // known if size == -1 else size for size in wanted)
    if known != x.type.elements and not x.type.is_dynamic:
        raise ValueError(f"{x.type.elements} elements of {list(x.shape)} do not fit into {wanted}")
    return tuple(wanted)


def _infer_squeeze(op: Op) -> list[TensorType]:
    x = op.operand(0)
    named = {normalize_axis(axis, x.type.rank) for axis in attribute_ints(op, "squeeze_dims")}
    for axis in named:
        if x.shape[axis] != 1:
            raise ValueError(f"axis {axis} of {list(x.shape)} has not size 1")
    dropped = named or {i for i, size in enumerate(x.shape) if size == 1}
    kept = [i for i in range(x.type.rank) if i not in dropped]
    return [derived(x, [x.shape[i] for i in kept], kept)]


def _infer_expand_dims(op: Op) -> list[TensorType]:
    x, axis = op.operand(0), parameter_int(op, 1)
    if axis is None:
        return [unknown_shape((*x.shape, 1), x.dtype)]
    axis = normalize_axis(axis, x.type.rank + 1)
    shape = (*x.shape[:axis], 1, *x.shape[axis:])
    return [derived(x, shape, (*range(axis), None, *range(axis, x.type.rank)))]


def _infer_shape(op: Op) -> list[TensorType]:
    dtype = attribute_dtype(op, "out_type", DType.INT32, DType.INT64)
    return [TensorType((op.operand(0).type.rank,), dtype)]


def _infer_rank(op: Op) -> list[TensorType]:
    op.operand(0)
    return [TensorType((), DType.INT32)]


def _squeeze_version(op: Op) -> int:
    return 2 if op.operand(0).dtype is DType.STRING else 1


_INDICES = QuantRule((DType.INT8, DType.INT16), integer_results=True)

OPS = (
    OpDef(
        "reshape", "RESHAPE", "ReshapeOptions", (X, Operand("shape", Role.PARAMETER, optional=True)), _infer_reshape,
        quant=SAME_SCALE,
    ),
    OpDef("squeeze", "SQUEEZE", "SqueezeOptions", (X,), _infer_squeeze, quant=SAME_SCALE, version=_squeeze_version),
    OpDef(
        "expand_dims", "EXPAND_DIMS", "ExpandDimsOptions", (X, Operand("axis", Role.PARAMETER)), _infer_expand_dims,
        quant=SAME_SCALE,
    ),
    OpDef("shape", "SHAPE", "ShapeOptions", (X,), _infer_shape, quant=_INDICES),
    OpDef("rank", "RANK", "RankOptions", (X,), _infer_rank, quant=_INDICES),
)  # fmt: skip
