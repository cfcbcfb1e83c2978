"""Pooling over the height and width of NHWC activations."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef, Operand, QuantRule
from edgec.ir.types import TensorType
from edgec.ops.infer import derived, require_rank, window_size
from edgec.ops.version import INT8_2_INT16_3, by_dtype

X = Operand("input")
SAME_SCALE = QuantRule((DType.INT8, DType.INT16), same_scale=True)


def _infer_pool(op: Op) -> list[TensorType]:
    x, a = op.operand(0), op.attributes
    require_rank(x, 4)
    height = window_size(x.shape[1], a["filter_height"], a["stride_h"], 1, a["padding"])
    width = window_size(x.shape[2], a["filter_width"], a["stride_w"], 1, a["padding"])
    return [derived(x, (x.shape[0], height, width, x.shape[3]), (0, 1, 2, 3))]


_VERSION = by_dtype(INT8_2_INT16_3)

OPS = (
    OpDef("average_pool_2d", "AVERAGE_POOL_2D", "Pool2DOptions", (X,), _infer_pool, quant=SAME_SCALE, version=_VERSION),
    OpDef("max_pool_2d", "MAX_POOL_2D", "Pool2DOptions", (X,), _infer_pool, quant=SAME_SCALE, version=_VERSION),
    OpDef("l2_pool_2d", "L2_POOL_2D", "Pool2DOptions", (X,), _infer_pool),
)
