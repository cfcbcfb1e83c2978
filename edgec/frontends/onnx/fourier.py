"""DFT of a known length, as a product with the matrix of cosines and sines."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.shape import required_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

MAX_LENGTH = 4096  # the matrix has four times the square of it


def dft(node: Node, context: Translation) -> Value:
    """DFT along one axis of a real or complex signal, whose last axis holds real and imaginary part."""
    x = node.input(0)
    rank = x.type.rank
    if x.dtype is not DType.FLOAT32 or rank < 2 or x.shape[-1] not in (1, 2):
        raise Refusal(f"its input {x.type} is no real or complex signal in float32")
    axis = node.int("axis", 1) if node.opset < 20 else (required_ints(node, 2)[0] if node.optional(2) else -2)
    axis = normalize_axis(axis, rank)
    if axis == rank - 1:
        raise Refusal("it transforms the axis of real and imaginary parts")
    if node.int("inverse", 0) and node.int("onesided", 0):
        raise Refusal("an inverse of one side is not supported")
    length = required_ints(node, 1)[0] if node.optional(1) is not None else x.shape[axis]
    if not 0 < length <= MAX_LENGTH:
        raise Refusal(f"a length of {length} is not in 1 to {MAX_LENGTH}")
    used = min(length, x.shape[axis])
    matrix = _matrix(length, used, x.shape[-1], bool(node.int("inverse", 0)), bool(node.int("onesided", 0)))
    front = [*(i for i in range(rank - 1) if i != axis), axis, rank - 1]
    turned = context.transpose(x, front)
    if used < x.shape[axis]:
        sizes = [*turned.shape[:-2], used, turned.shape[-1]]
        turned = context.emit("slice", [turned, context.ints([0] * rank), context.ints(sizes)])
    outer = turned.shape[:-2]
    rows = context.reshape(turned, [int(np.prod(outer)), used * x.shape[-1]])
    product = context.emit("fully_connected", [rows, context.constant(matrix), None])
    result = context.reshape(product, [*outer, matrix.shape[0] // 2, 2])
    return context.transpose(result, [front.index(i) for i in range(rank)])


def _matrix(length: int, used: int, parts: int, inverse: bool, onesided: bool) -> np.ndarray:
    """[2 * outputs, parts * used]: e^(-2 pi i k n / length), with the other sign and 1 / length for the inverse."""
    count = length // 2 + 1 if onesided else length
    angle = 2 * np.pi * np.outer(np.arange(count), np.arange(used)) / length * (1 if inverse else -1)
    cosine, sine = np.cos(angle), np.sin(angle)
    blocks = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], 1)[..., :parts]
    scaled: np.ndarray = (blocks / (length if inverse else 1)).reshape(2 * count, used * parts).astype(np.float32)
    return scaled


TRANSLATIONS: dict[str, Translate] = {"DFT": dft}
