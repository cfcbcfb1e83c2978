"""The ops shape arithmetic is made of, computed directly: the reference evaluator takes a millisecond for each.

Each function returns None for any form it does not know for certain; the reference evaluator then does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgec.frontends.onnx.node import Node
from edgec.frontends.onnx.quantized_constants import dequantized
from edgec.frontends.onnx.translation import turned

MAX_FOLDED_BYTES = 2 << 30
Fold = Callable[[Node], "np.ndarray | None"]


class FoldSizeError(Exception):
    """A folded result would not fit into a model file, or its operands do not fit each other."""


def checked_bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    """The bytes of an array; raises FoldSizeError for more than 2 GiB."""
    found = math.prod(int(d) for d in shape) * dtype.itemsize
    if found > MAX_FOLDED_BYTES:
        raise FoldSizeError(f"its result of shape {list(shape)} is larger than 2 GiB")
    return found


def _guarded(fold: Fold) -> Fold:
    def guarded(node: Node) -> np.ndarray | None:
        try:
            return fold(node)
        except (ValueError, IndexError, TypeError, OverflowError):
            return None  # malformed: the reference evaluator says what is wrong

    return guarded


def _operands(node: Node) -> list[np.ndarray]:
    return [v.array() for v in node.inputs if v is not None]


def _constant(node: Node) -> np.ndarray | None:
    kinds: dict[str, Any] = {
        "value": None, "value_int": np.int64, "value_ints": np.int64, "value_float": np.float32,
        "value_floats": np.float32,
    }  # fmt: skip
    given = [name for name in kinds if node.has(name)]
    if len(given) != 1:
        return None
    found = np.asarray(node.attribute(given[0]), kinds[given[0]])
    return found if found.dtype.kind in "fiub" else None


def _constant_of_shape(node: Node) -> np.ndarray:
    value = np.asarray(node.attribute("value", np.zeros(1, np.float32))).reshape(-1)[0]
    shape = [int(d) for d in node.input(0).array().reshape(-1)]
    if min(shape, default=0) < 0:
        raise FoldSizeError(f"a constant of shape {shape} is impossible")
    checked_bytes(shape, value.dtype)
    return np.broadcast_to(value, shape)  # takes no memory here


def _cast(node: Node) -> np.ndarray | None:
    from onnx import helper

    x = node.input(0).array()
    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(node.int("to", 0)))
    if x.dtype.kind not in "iub" or wanted.kind not in "iub":
        return None
    return x.astype(wanted)


def _concat(node: Node) -> np.ndarray | None:
    parts = _operands(node)
    if len({p.dtype for p in parts}) != 1:
        return None
    return np.concatenate(parts, node.int("axis", 0))


def _gather(node: Node) -> np.ndarray | None:
    x, indices, axis = node.input(0).array(), node.input(1).array(), node.int("axis", 0)
    axis = axis + x.ndim if axis < 0 else axis
    checked_bytes([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]], x.dtype)
    return np.take(x, indices, axis)


def _gather_elements(node: Node) -> np.ndarray:
    x, indices = _operands(node)
    axis = node.int("axis", 0) + (x.ndim if node.int("axis", 0) < 0 else 0)
    fits = x.ndim == indices.ndim and all(i == axis or n <= x.shape[i] for i, n in enumerate(indices.shape))
    if not fits or not 0 <= axis < x.ndim or not np.all((-x.shape[axis] <= indices) & (indices < x.shape[axis])):
        raise FoldSizeError(f"indices of shape {list(indices.shape)} do not fit data of shape {list(x.shape)}")
    part = x[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(indices.shape))]
    return np.take_along_axis(part, indices, axis)


def _unsqueeze(node: Node) -> np.ndarray | None:
    x, axes = node.input(0).array(), node.ints(1, "axes" if node.opset < 13 else "")
    return None if axes is None else np.expand_dims(x, tuple(axes))


def _squeeze(node: Node) -> np.ndarray | None:
    x, axes = node.input(0).array(), node.ints(1, "axes" if node.opset < 13 else "")
    return np.squeeze(x) if axes is None else np.squeeze(x, tuple(axes))


def _reshape(node: Node) -> np.ndarray | None:
    x, shape = node.input(0).array(), node.ints(1)
    if shape is None or min(shape, default=0) < -1:
        return None
    if not node.int("allowzero", 0):
        shape = [x.shape[i] if size == 0 else size for i, size in enumerate(shape)]
    return x.reshape(shape)


def _transpose(node: Node) -> np.ndarray | None:
    return turned(node.input(0).array(), node.attribute("perm"))


def _arithmetic(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Fold:
    def fold(node: Node) -> np.ndarray | None:
        a, b = _operands(node)
        if a.dtype != b.dtype or a.dtype.kind not in "iuf" or node.opset < 7:
            return None
        checked_bytes(np.broadcast_shapes(a.shape, b.shape), a.dtype)
        with np.errstate(all="ignore"):
            return np.asarray(function(a, b), a.dtype)

    return fold


FAST: dict[str, Fold] = {
    op_type: _guarded(fold)
    for op_type, fold in {
        "Add": _arithmetic(np.add),
        "Cast": _cast,
        "Concat": _concat,
        "Constant": _constant,
        "ConstantOfShape": _constant_of_shape,
        "DequantizeLinear": dequantized,
        "Gather": _gather,
        "GatherElements": _gather_elements,
        "Mul": _arithmetic(np.multiply),
        "Reshape": _reshape,
        "Squeeze": _squeeze,
        "Sub": _arithmetic(np.subtract),
        "Transpose": _transpose,
        "Unsqueeze": _unsqueeze,
    }.items()
}
