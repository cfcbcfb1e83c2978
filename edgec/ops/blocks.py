"""Ops that move blocks of space into depth or batch, and back."""

from __future__ import annotations

import math

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef
from edgec.ir.types import TensorType
from edgec.ops.infer import derived, parameter_ints, require_rank, unknown_shape
from edgec.ops.movement import SAME_SCALE, SAME_SCALE_INT8, X, parameter
from edgec.ops.version import INT8_2, by_dtype


def _block_size(op: Op) -> int:
    block = int(op.attributes["block_size"])
    if block < 1:
        raise ValueError(f"block_size must be positive, found {block}")
    return block


def _infer_space_to_depth(op: Op) -> list[TensorType]:
    x, block = op.operand(0), _block_size(op)
    require_rank(x, 4)
    n, h, w, c = x.shape
    if h % block or w % block:
        raise ValueError(f"{h}x{w} positions do not divide into blocks of {block}x{block}")
    return [derived(x, (n, h // block, w // block, c * block * block), range(4))]


def _infer_depth_to_space(op: Op) -> list[TensorType]:
    x, block = op.operand(0), _block_size(op)
    require_rank(x, 4)
    n, h, w, c = x.shape
    if c % (block * block):
        raise ValueError(f"{c} channels do not divide into blocks of {block}x{block}")
    return [derived(x, (n, h * block, w * block, c // (block * block)), range(4))]


def _blocks_and_margins(op: Op) -> tuple[list[int], list[tuple[int, int]]] | None:
    x, blocks, margins = op.operand(0), op.operand(1), op.operand(2)
    require_rank(x, 3, 4)
    spatial = x.type.rank - 2
    if blocks.shape != (spatial,) or margins.shape != (spatial, 2):
        found = f"block shape {list(blocks.shape)} and margins {list(margins.shape)}"
        raise ValueError(f"{found} do not fit {list(x.shape)}")
    sizes, flat = parameter_ints(op, 1), parameter_ints(op, 2)
    if sizes is None or flat is None:
        return None
    if min(sizes) < 1 or min(flat) < 0:
        raise ValueError(f"blocks {sizes} must be positive and margins {flat} not negative")
    return sizes, list(zip(flat[::2], flat[1::2]))


def _infer_space_to_batch(op: Op) -> list[TensorType]:
    x, given = op.operand(0), _blocks_and_margins(op)
    if given is None:
        return [unknown_shape(x.shape, x.dtype)]
    spatial = []
    for size, block, (before, after) in zip(x.shape[1:-1], *given):
        padded = size + before + after
        if padded % block and not x.type.is_dynamic:
            raise ValueError(f"{padded} padded positions do not divide into blocks of {block}")
        spatial.append(padded // block)
    return [derived(x, (x.shape[0] * math.prod(given[0]), *spatial, x.shape[-1]), range(x.type.rank))]


def _infer_batch_to_space(op: Op) -> list[TensorType]:
    x, given = op.operand(0), _blocks_and_margins(op)
    if given is None:
        return [unknown_shape(x.shape, x.dtype)]
    batch, rest = divmod(x.shape[0], math.prod(given[0]))
    if rest and not x.type.is_dynamic:
        raise ValueError(f"a batch of {x.shape[0]} does not divide into blocks {given[0]}")
    spatial = []
    for size, block, (before, after) in zip(x.shape[1:-1], *given):
        if before + after > size * block:
            raise ValueError(f"crops {before} and {after} take more than {size * block} positions")
        spatial.append(size * block - before - after)
    return [derived(x, (batch, *spatial, x.shape[-1]), range(x.type.rank))]


def _batch_version(op: Op) -> int:
    """1, 2 int8, 3 rank 3, 4 int16."""
    x = op.operand(0)
    if x.dtype is DType.INT16:
        return 4
    if x.type.rank != 4:
        return 3
    return 2 if x.dtype is DType.INT8 else 1


OPS = (
    OpDef("space_to_depth", "SPACE_TO_DEPTH", "SpaceToDepthOptions", (X,), _infer_space_to_depth,
          quant=SAME_SCALE_INT8, version=by_dtype(INT8_2)),
    OpDef("depth_to_space", "DEPTH_TO_SPACE", "DepthToSpaceOptions", (X,), _infer_depth_to_space,
          quant=SAME_SCALE_INT8, version=by_dtype(INT8_2)),
    OpDef("space_to_batch_nd", "SPACE_TO_BATCH_ND", "SpaceToBatchNDOptions",
          (X, parameter("block_shape"), parameter("paddings")), _infer_space_to_batch, quant=SAME_SCALE,
          version=_batch_version),
    OpDef("batch_to_space_nd", "BATCH_TO_SPACE_ND", "BatchToSpaceNDOptions",
          (X, parameter("block_shape"), parameter("crops")), _infer_batch_to_space, quant=SAME_SCALE,
          version=_batch_version),
)  # fmt: skip
