"""Resizing of NHWC images."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef
from edgec.ir.types import TensorType
from edgec.ops.infer import derived, dynamic, parameter_ints, require_rank
from edgec.ops.movement import SAME_SCALE, X, parameter


def _infer_resize(op: Op) -> list[TensorType]:
    x, size = op.operand(0), op.operand(1)
    require_rank(x, 4)
    if size.shape != (2,):
        raise ValueError(f"the size must hold a height and a width, its shape is {list(size.shape)}")
    if op.attributes["align_corners"] and op.attributes["half_pixel_centers"]:
        raise ValueError("align_corners and half_pixel_centers exclude each other")
    wanted = parameter_ints(op, 1)
    if wanted is None:
        return [dynamic(x.shape, x.dtype, (1, 2))]
    if min(wanted) < 1:
        raise ValueError(f"the size {wanted} must be positive")
    return [derived(x, (x.shape[0], *wanted, x.shape[3]), (0, None, None, 3))]


def _bilinear_version(op: Op) -> int:
    """1, 2 int8, 3 half-pixel centers, 4 int16."""
    return _version(op, op.attributes["half_pixel_centers"])


def _nearest_version(op: Op) -> int:
    """1, 2 int8, 3 half-pixel centers or aligned corners, 4 int16."""
    return _version(op, op.attributes["half_pixel_centers"] or op.attributes["align_corners"])


def _version(op: Op, newer_grid: bool) -> int:
    dtype = op.operand(0).dtype
    if dtype is DType.INT16:
        return 4
    if newer_grid:
        return 3
    return 2 if dtype is DType.INT8 else 1


OPS = (
    OpDef("resize_bilinear", "RESIZE_BILINEAR", "ResizeBilinearOptions", (X, parameter("size")), _infer_resize,
          quant=SAME_SCALE, version=_bilinear_version),
    OpDef("resize_nearest_neighbor", "RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions",
          (X, parameter("size")), _infer_resize, quant=SAME_SCALE, version=_nearest_version),
)  # fmt: skip
