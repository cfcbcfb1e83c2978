"""Evaluates DequantizeLinear on constants: ONNX's reference evaluator knows it from opset 19 on only."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.ops.infer import normalize_axis


def dequantized(node: Node) -> np.ndarray | None:
    """(x - zero point) * scale, with a scale per tensor, per channel or per block; None where an operand is unknown.

    The differences are taken in the scale's type, as onnxruntime does; int32 weights are subtracted as integers.
    """
    x, scale = node.array(0), node.array(1)
    if x is None or scale is None:
        return None
    zero_point = node.array(2)
    block = node.int("block_size", 0)
    spread = _Spread(node, x, scale.shape, block)
    offset = x.astype(np.int64) if x.dtype.kind in "iu" else x.astype(np.float32)
    if zero_point is not None:
        offset = offset - spread(zero_point).astype(offset.dtype)
    return (offset.astype(np.float32) * spread(scale).astype(np.float32)).astype(scale.dtype)


class _Spread:
    """Brings scales and zero points to a shape that broadcasts with `x`."""

    def __init__(self, node: Node, x: np.ndarray, shape: tuple[int, ...], block: int) -> None:
        self.size, self.block, self.rank = 0, block, x.ndim
        self.axis = 0
        if len(shape) == 0 or (len(shape) == 1 and shape[0] == 1):
            return
        self.axis = normalize_axis(node.int("axis", 1), x.ndim)
        self.size = x.shape[self.axis]
        expected = (-(-self.size // block) if block else self.size,)
        found = shape[self.axis : self.axis + 1] if block else shape
        if found != expected or (block and len(shape) != x.ndim):
            raise Refusal(f"scales {list(shape)} do not fit {list(x.shape)} along axis {self.axis}")

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if not self.size:
            return values.reshape(())
        if self.block:
            return np.repeat(values, self.block, axis=self.axis).take(range(self.size), axis=self.axis)
        return values.reshape([-1 if i == self.axis else 1 for i in range(self.rank)])
