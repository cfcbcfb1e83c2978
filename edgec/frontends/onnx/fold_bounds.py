"""How large a folded node's result becomes, checked before it is computed: 100 bytes of a file may ask for 1 TiB."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.frontends.onnx.fold_fast import FoldSizeError, checked_bytes
from edgec.frontends.onnx.node import Node
from edgec.ops.infer import MAX_RANK

Bound = Callable[[Node, list[np.ndarray]], list[int]]
WIDEST = np.dtype(np.float64)
SMALL_BYTES, OPERAND_FACTOR = 64 << 20, 4


def check_bound(node: Node) -> bool:
    """True where the result is small: 64 MiB, or four times the operands; malformed operands are the evaluator's.

    Raises:
        FoldSizeError: the result would be larger than 2 GiB.
    """
    arrays = [v.array() for v in node.inputs if v is not None]
    try:
        shape = _BOUNDS.get(node.op_type, _broadcast)(node, arrays)
    except (ValueError, IndexError, TypeError, OverflowError):
        return True  # no shape follows: the evaluator fails on it, too
    found = checked_bytes(shape, arrays[0].dtype if arrays else WIDEST)
    if node.op_type == "ConstantOfShape":
        return True  # one number, held once
    given = sum(a.nbytes for a in arrays if 0 not in a.strides)
    return found <= max(SMALL_BYTES, OPERAND_FACTOR * given)


def _broadcast(node: Node, arrays: list[np.ndarray]) -> list[int]:
    """For elementwise ops; others fail to broadcast, or give no more than their operands hold."""
    return list(np.broadcast_shapes(*[a.shape for a in arrays]))


def _integers(array: np.ndarray) -> list[int]:
    if array.size > MAX_RANK:
        raise FoldSizeError(f"a shape of {array.size} dimensions is impossible")
    return [int(v) for v in array.reshape(-1)]


def _expand(node: Node, arrays: list[np.ndarray]) -> list[int]:
    wanted = _integers(arrays[1])
    try:
        return list(np.broadcast_shapes(arrays[0].shape, tuple(wanted)))
    except ValueError:  # the evaluator would make the whole shape before it fails
        raise FoldSizeError(f"shape {list(arrays[0].shape)} does not expand to {wanted}") from None


def _constant_of_shape(node: Node, arrays: list[np.ndarray]) -> list[int]:
    return _integers(arrays[0])


def _tile(node: Node, arrays: list[np.ndarray]) -> list[int]:
    return [arrays[0].size, *_integers(arrays[1])]


def _range(node: Node, arrays: list[np.ndarray]) -> list[int]:
    start, limit, delta = (float(a.reshape(())) for a in arrays)
    if delta == 0 or not all(map(math.isfinite, (start, limit, delta))):
        raise FoldSizeError(f"the range from {start:g} to {limit:g} by {delta:g} has no end")
    return [max(math.ceil((limit - start) / delta), 0)]


def _pad(node: Node, arrays: list[np.ndarray]) -> list[int]:
    pads = node.ints(1, "pads" if node.opset < 11 else "") or []
    x, half = arrays[0], len(pads) // 2
    axes = (node.ints(3) if node.opset >= 18 else None) or range(x.ndim)
    shape = list(x.shape)
    for axis, before, after in zip(axes, pads[:half], pads[half:]):
        shape[axis] += max(before, 0) + max(after, 0)
    return shape


def _one_hot(node: Node, arrays: list[np.ndarray]) -> list[int]:
    return [arrays[0].size, int(arrays[1].reshape(()))]


def _matmul(node: Node, arrays: list[np.ndarray]) -> list[int]:
    a, b = arrays
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return [*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ())]


def _gather_nd(node: Node, arrays: list[np.ndarray]) -> list[int]:
    x, indices = arrays
    depth, batch = indices.shape[-1], node.int("batch_dims", 0)
    return [*indices.shape[:-1], *x.shape[batch + depth :]]


def _gather(node: Node, arrays: list[np.ndarray]) -> list[int]:
    x, axis = arrays[0], node.int("axis", 0)
    return [arrays[1].size, x.size // x.shape[axis]]


def _split(node: Node, arrays: list[np.ndarray]) -> list[int]:
    parts = node.int("num_outputs", len(node.outputs))
    if parts != len(node.outputs):
        raise FoldSizeError(f"it has {len(node.outputs)} outputs, its num_outputs is {parts}")
    return list(arrays[0].shape)


def _mel_weights(node: Node, arrays: list[np.ndarray]) -> list[int]:
    bands, length = (int(a.reshape(())) for a in arrays[:2])
    return [max(length, 0) // 2 + 1, bands]


_BOUNDS: dict[str, Bound] = {
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "MatMul": _matmul,
    "MelWeightMatrix": _mel_weights,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Range": _range,
    "Split": _split,
    "Tile": _tile,
}
