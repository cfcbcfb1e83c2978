"""Ops that pick, scatter or search elements by index, condition or rank."""

from __future__ import annotations

import itertools
import math

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import (
    attribute_dtype,
    broadcast_shapes,
    broadcast_signature,
    derived,
    dynamic,
    normalize_axis,
    operand_length,
    own_dtype,
    parameter_int,
    parameter_ints,
    plain,
    require_rank,
    require_same_dtype,
    scalar_int,
    unknown_shape,
)
from edgec.ops.movement import SAME_SCALE, SAME_SCALE_INT8, X, parameter
from edgec.ops.version import by_dtype

INT8, INT16, INT32, INT64, BOOL, FLOAT32 = (
    DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.BOOL, DType.FLOAT32,
)  # fmt: skip
INDICES = parameter("indices")


def _require_indices(value: Value) -> None:
    if not value.dtype.is_integer:
        raise ValueError(f"'{value.name}' must hold indices, found {value.dtype.value}")


def _infer_gather(op: Op) -> list[TensorType]:
    x, indices = op.operand(0), op.operand(1)
    _require_indices(indices)
    axis = normalize_axis(op.attributes["axis"], x.type.rank)
    batch = normalize_axis(op.attributes["batch_dims"], indices.type.rank + 1)
    if batch > axis or x.shape[:batch] != indices.shape[:batch]:
        raise ValueError(f"{batch} batch dimensions do not fit axis {axis}, {list(x.shape)} and {list(indices.shape)}")
    shape = x.shape[:axis] + indices.shape[batch:] + x.shape[axis + 1 :]
    if not (x.type.is_dynamic or indices.type.is_dynamic):
        return [TensorType(shape, x.dtype)]
    left, right = x.type.signature or x.shape, indices.type.signature or indices.shape
    signature = left[:axis] + right[batch:] + left[axis + 1 :]
    return [dynamic(shape, x.dtype, [i for i, size in enumerate(signature) if size == -1])]


def _gather_version(op: Op) -> int:
    """1, 2 int8, 3 bool, 4 int16, 5 batch dimensions, 6 int16 indices, 7 int4."""
    x, indices = op.operand(0), op.operand(1)
    return max(
        {INT8: 2, BOOL: 3, INT16: 4, DType.INT4: 7, DType.INT2: 8}.get(x.dtype, 1),
        5 if op.attributes["batch_dims"] else 1,
        6 if indices.dtype is INT16 else 1,
    )


def _infer_gather_nd(op: Op) -> list[TensorType]:
    x, indices = op.operand(0), op.operand(1)
    _require_indices(indices)
    if not indices.shape or indices.shape[-1] > x.type.rank:
        raise ValueError(f"indices {list(indices.shape)} do not point into {list(x.shape)}")
    depth, outer = indices.shape[-1], indices.type.rank - 1
    shape = indices.shape[:-1] + x.shape[depth:]
    return [derived(indices, shape, (*range(outer), *[None] * (x.type.rank - depth)), x.dtype)]


def _gather_nd_version(op: Op) -> int:
    """1, 2 strings, 3 int16, 4 int16 indices, 5 bool."""
    x, indices = op.operand(0), op.operand(1)
    return max({DType.STRING: 2, INT16: 3, BOOL: 5}.get(x.dtype, 1), 4 if indices.dtype is INT16 else 1)


def _infer_scatter_nd(op: Op) -> list[TensorType]:
    indices, updates, shape = op.operand(0), op.operand(1), parameter_ints(op, 2)
    _require_indices(indices)
    if not indices.shape or updates.shape[: indices.type.rank - 1] != indices.shape[:-1]:
        raise ValueError(f"updates {list(updates.shape)} do not fit indices {list(indices.shape)}")
    if shape is None:
        return [unknown_shape((1,) * operand_length(op, 2), updates.dtype)]
    depth = indices.shape[-1]
    if depth > len(shape) or updates.shape[indices.type.rank - 1 :] != tuple(shape[depth:]):
        raise ValueError(f"updates {list(updates.shape)} at indices {list(indices.shape)} do not fit into {shape}")
    return [TensorType(tuple(shape), updates.dtype)]


def _infer_one_hot(op: Op) -> list[TensorType]:
    indices, depth = op.operand(0), parameter_int(op, 1)
    _require_indices(indices)
    dtype = require_same_dtype(op, 2, 3)
    if depth is not None and depth < 0:
        raise ValueError(f"depth {depth} must not be negative")
    rank = indices.type.rank
    axis = normalize_axis(op.attributes["axis"], rank + 1)
    shape = (*indices.shape[:axis], 1 if depth is None else depth, *indices.shape[axis:])
    if depth is None:
        return [dynamic(shape, dtype, (axis,))]
    return [derived(indices, shape, (*range(axis), None, *range(axis, rank)), dtype)]


def _infer_where(op: Op) -> list[TensorType]:
    condition = op.operand(0)
    return [dynamic((condition.type.elements, condition.type.rank), INT64, (0,))]


def _where_version(op: Op) -> int:
    return 1 if op.operand(0).dtype is BOOL else 2


def _require_condition(op: Op) -> None:
    if op.operand(0).dtype is not BOOL:
        raise ValueError(f"the condition must be bool, found {op.operand(0).dtype.value}")


def _infer_select(op: Op) -> list[TensorType]:
    _require_condition(op)
    condition, x, y = op.operand(0), op.operand(1), op.operand(2)
    dtype = require_same_dtype(op, 1, 2)
    if x.shape != y.shape and not (x.type.is_dynamic or y.type.is_dynamic):
        raise ValueError(f"takes two tensors of one shape, found {list(x.shape)} and {list(y.shape)}")
    per_row = condition.type.rank == 1 and x.shape[:1] == condition.shape
    if condition.type.elements != 1 and condition.shape != x.shape and not per_row and not condition.type.is_dynamic:
        raise ValueError(f"a condition of {list(condition.shape)} does not fit {list(x.shape)}")
    return [plain(x, dtype)]


def _select_version(op: Op) -> int:
    """1, 2 int8, 3 rank 5, 4 uint32."""
    x = op.operand(1)
    if x.dtype is DType.UINT32:
        return 4
    if max(op.operand(i).type.rank for i in range(3)) > 4:
        return 3
    return 2 if x.dtype is INT8 else 1


def _infer_select_v2(op: Op) -> list[TensorType]:
    _require_condition(op)
    values = [op.operand(i) for i in range(3)]
    dtype = require_same_dtype(op, 1, 2)
    return [TensorType(broadcast_shapes([v.shape for v in values]), dtype, None, broadcast_signature(values))]


def _select_v2_version(op: Op) -> int:
    return 2 if op.operand(1).dtype is DType.UINT32 else 1


def _infer_topk(op: Op) -> list[TensorType]:
    x, k = op.operand(0), parameter_int(op, 1)
    if not x.shape:
        raise ValueError(f"'{x.name}' must have at least one dimension")
    index_dtype = own_dtype(op, INT32, 1)
    if index_dtype not in (INT32, INT16):
        raise ValueError(f"indices are int32 or int16, found {index_dtype.value}")
    last = x.type.rank - 1
    if k is None:
        return [dynamic(x.shape, dtype, (last,)) for dtype in (x.dtype, index_dtype)]
    if not 0 <= k <= x.shape[-1] and not x.type.is_dynamic:
        raise ValueError(f"k is {k}, the last dimension of {list(x.shape)} has {x.shape[-1]}")
    shape, sources = (*x.shape[:-1], k), (*range(last), None)
    return [derived(x, shape, sources), derived(x, shape, sources, index_dtype)]


def _topk_version(op: Op) -> int:
    """1, 2 int8, 3 int16 values, k or indices."""
    if INT16 in (op.operand(0).dtype, op.operand(1).dtype, op.results[1].dtype):
        return 3
    return 2 if op.operand(0).dtype is INT8 else 1


def _infer_unique(op: Op) -> list[TensorType]:
    x = op.operand(0)
    require_rank(x, 1)
    index_dtype = attribute_dtype(op, "idx_out_type", INT32, INT64)
    return [dynamic(x.shape, x.dtype, (0,)), plain(x, index_dtype)]


def _infer_cumsum(op: Op) -> list[TensorType]:
    x, axis = op.operand(0), parameter_int(op, 1)
    if axis is not None:
        normalize_axis(axis, x.type.rank)
    return [plain(x)]


def _infer_sparse_to_dense(op: Op) -> list[TensorType]:
    _require_indices(op.operand(0))
    shape, dtype = parameter_ints(op, 1), require_same_dtype(op, 2, 3)
    if shape is None:
        return [unknown_shape((1,) * operand_length(op, 1), dtype)]
    return [TensorType(tuple(shape), dtype)]


def _infer_bucketize(op: Op) -> list[TensorType]:
    boundaries = op.attributes["boundaries"]
    if any(not low <= high for low, high in itertools.pairwise(boundaries)):  # also where one is not a number
        raise ValueError("boundaries must rise")
    return [plain(op.operand(0), INT32)]


def _boxes_and_scores(op: Op) -> Value:
    boxes, scores = op.operand(0), op.operand(1)
    if boxes.type.rank != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError(f"boxes {list(boxes.shape)} and scores {list(scores.shape)} must be [n, 4] and [n]")
    return boxes


def _selected(op: Op, dtype: DType) -> TensorType:
    count = scalar_int(op, 2)
    if count is None:  # no more boxes than there are
        return dynamic((op.operand(0).shape[0],), dtype, (0,))
    return TensorType((count,), dtype)


def _infer_nms_v4(op: Op) -> list[TensorType]:
    _boxes_and_scores(op)
    return [_selected(op, INT32), TensorType((), INT32)]


def _infer_nms_v5(op: Op) -> list[TensorType]:
    _boxes_and_scores(op)
    return [_selected(op, INT32), _selected(op, FLOAT32), TensorType((), INT32)]


def _infer_segment_sum(op: Op) -> list[TensorType]:
    x, ids = op.operand(0), op.operand(1)
    _require_indices(ids)
    if not x.shape or ids.shape != x.shape[:1]:
        raise ValueError(f"segment ids {list(ids.shape)} do not fit {list(x.shape)}")
    if ids.data is None or not ids.data.size:
        return [dynamic(x.shape, x.dtype, (0,))]
    return [TensorType((int(ids.data.reshape(-1)[-1]) + 1, *x.shape[1:]), x.dtype)]


def _infer_unsorted_segment(op: Op) -> list[TensorType]:
    x, ids, count = op.operand(0), op.operand(1), parameter_int(op, 2)
    _require_indices(ids)
    if ids.type.rank > x.type.rank or x.shape[: ids.type.rank] != ids.shape:
        raise ValueError(f"segment ids {list(ids.shape)} do not fit {list(x.shape)}")
    rest = x.shape[ids.type.rank :]
    if count is None:
        return [dynamic((math.prod(ids.shape), *rest), x.dtype, (0,))]
    return [TensorType((count, *rest), x.dtype)]


def _infer_hashtable_lookup(op: Op) -> list[TensorType]:
    lookup, keys, values = op.operand(0), op.operand(1), op.operand(2)
    require_rank(lookup, 1)
    require_rank(keys, 1)
    if not values.shape or values.shape[0] != keys.shape[0]:
        raise ValueError(f"{keys.shape[0]} keys for values {list(values.shape)}")
    return [TensorType((lookup.shape[0], *values.shape[1:]), values.dtype), TensorType(lookup.shape, DType.UINT8)]


def _unsorted(kind: str) -> OpDef:
    return OpDef(
        f"unsorted_segment_{kind}", f"UNSORTED_SEGMENT_{kind.upper()}", f"UnsortedSegment{kind.capitalize()}Options",
        (X, parameter("segment_ids"), parameter("count")), _infer_unsorted_segment,
    )  # fmt: skip


_CONDITION = parameter("condition")
_CHOICES = (_CONDITION, Operand("x"), Operand("y"))
_NMS = (
    Operand("boxes"), Operand("scores"),
    *(parameter(n) for n in ("max_output_size", "iou_threshold", "score_threshold")),
)  # fmt: skip

OPS = (
    OpDef("gather", "GATHER", "GatherOptions", (X, INDICES), _infer_gather, quant=SAME_SCALE,
          version=_gather_version),
    OpDef("gather_nd", "GATHER_ND", "GatherNdOptions", (X, INDICES), _infer_gather_nd, quant=SAME_SCALE,
          version=_gather_nd_version),
    OpDef("scatter_nd", "SCATTER_ND", "ScatterNdOptions", (INDICES, Operand("updates"), parameter("shape")),
          _infer_scatter_nd, quant=QuantRule(note="kernels fill with the integer 0 whatever the zero point")),
    OpDef("one_hot", "ONE_HOT", "OneHotOptions",
          (INDICES, parameter("depth"), Operand("on_value"), Operand("off_value")), _infer_one_hot,
          quant=SAME_SCALE_INT8),
    OpDef("where", "WHERE", "WhereOptions", (_CONDITION,), _infer_where, quant=QuantRule(integer_results=True),
          version=_where_version),
    OpDef("select", "SELECT", "SelectOptions", _CHOICES, _infer_select, quant=SAME_SCALE, version=_select_version),
    OpDef("select_v2", "SELECT_V2", "SelectV2Options", _CHOICES, _infer_select_v2, quant=SAME_SCALE,
          version=_select_v2_version, is_elementwise=True),
    OpDef("topk_v2", "TOPK_V2", "TopKV2Options", (X, parameter("k")), _infer_topk, results=2, quant=QuantRule(
          (INT8, INT16), same_scale=True, note="the second result holds positions and is not quantized"),
          version=_topk_version),
    OpDef("unique", "UNIQUE", "UniqueOptions", (X,), _infer_unique, results=2),
    OpDef("cumsum", "CUMSUM", "CumsumOptions", (X, parameter("axis")), _infer_cumsum),
    OpDef("sparse_to_dense", "SPARSE_TO_DENSE", "SparseToDenseOptions",
          (INDICES, parameter("shape"), Operand("values"), Operand("default")), _infer_sparse_to_dense,
          quant=SAME_SCALE_INT8,
          version=by_dtype({INT64: 2, INT8: 3, DType.UINT8: 3}, index=2)),
    OpDef("bucketize", "BUCKETIZE", "BucketizeOptions", (X,), _infer_bucketize,
          quant=QuantRule(integer_results=True), is_elementwise=True),
    OpDef("non_max_suppression_v4", "NON_MAX_SUPPRESSION_V4", "NonMaxSuppressionV4Options", _NMS, _infer_nms_v4,
          results=2),
    OpDef("non_max_suppression_v5", "NON_MAX_SUPPRESSION_V5", "NonMaxSuppressionV5Options",
          (*_NMS, parameter("soft_nms_sigma")), _infer_nms_v5, results=3),
    OpDef("segment_sum", "SEGMENT_SUM", "SegmentSumOptions", (X, parameter("segment_ids")), _infer_segment_sum),
    _unsorted("sum"),
    _unsorted("prod"),
    _unsorted("max"),
    _unsorted("min"),
    OpDef("hashtable_lookup", "HASHTABLE_LOOKUP", None,
          (parameter("lookup"), parameter("keys"), Operand("values", Role.WEIGHT)), _infer_hashtable_lookup, results=2),
)  # fmt: skip
