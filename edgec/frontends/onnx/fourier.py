"""DFT and STFT of a known length, as products with the matrix of cosines and sines."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.shape import required_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

MAX_LENGTH = 4096  # the matrix has four times the square of it


def dft(node: Node, context: Translation) -> Value:
    """DFT along one axis of a real or complex signal; of both kinds of inverse, the one-sided gives real numbers."""
    x = _signal(node.input(0))
    rank = x.type.rank
    if node.opset < 20:
        axis = node.int("axis", 1)
    elif node.is_constant(2):
        axis = required_ints(node, 2)[0] if node.optional(2) is not None else -2
    else:
        return _along_any_axis(node, context, x)
    axis = normalize_axis(axis, rank)
    if axis == rank - 1:
        raise Refusal("it transforms the axis of real and imaginary parts")
    return _transformed(node, context, x, axis)


def _signal(x: Value) -> Value:
    if x.dtype is not DType.FLOAT32 or x.type.rank < 2 or x.shape[-1] not in (1, 2):
        raise Refusal(f"its input {x.type} is no real or complex signal in float32")
    return x


def _along_any_axis(node: Node, context: Translation, x: Value) -> Value:
    """All transforms, of which a comparison with the axis of run time chooses one; they must have one shape."""
    rank = x.type.rank
    if not node.is_constant(1) or node.optional(1) is not None or node.int("onesided", 0):
        raise Refusal("its axis is only known at run time, and the shape of its result follows from it")
    given = context.reshape(context.cast(node.input(2), DType.INT32), [])
    axis = context.emit("floor_mod", [given, context.ints(rank)])
    result = _transformed(node, context, x, 0)
    for candidate in range(1, rank - 1):
        chosen = context.emit("equal", [axis, context.ints(candidate)])
        result = context.emit("select_v2", [chosen, _transformed(node, context, x, candidate), result])
    return result


def _transformed(node: Node, context: Translation, x: Value, axis: int) -> Value:
    rank, inverse, onesided = x.type.rank, bool(node.int("inverse", 0)), bool(node.int("onesided", 0))
    real_again = inverse and onesided
    whole = 2 * (x.shape[axis] - 1) if real_again else x.shape[axis]
    length = required_ints(node, 1)[0] if node.optional(1) is not None else whole
    if not 0 < length <= MAX_LENGTH:
        raise Refusal(f"a length of {length} is not in 1 to {MAX_LENGTH}")
    used = min(length // 2 + 1 if real_again else length, x.shape[axis])
    if real_again:
        matrix, parts = _real_inverse(length, used, x.shape[-1]), 1
    else:
        matrix, parts = _matrix(length, used, x.shape[-1], inverse, onesided), 2
    front = [*(i for i in range(rank - 1) if i != axis), axis, rank - 1]
    turned = context.transpose(x, front)
    if used < x.shape[axis]:
        sizes = [*turned.shape[:-2], used, turned.shape[-1]]
        turned = context.emit("slice", [turned, context.ints([0] * rank), context.ints(sizes)])
    outer = turned.shape[:-2]
    rows = context.reshape(turned, [int(np.prod(outer)), used * x.shape[-1]])
    product = context.emit("fully_connected", [rows, context.constant(matrix), None])
    result = context.reshape(product, [*outer, matrix.shape[0] // parts, parts])
    return context.transpose(result, [front.index(i) for i in range(rank)])


def _waves(rows: int, columns: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [rows, columns] each: cosine and sine of 2 pi i k / length, looked up among `length` angles."""
    angles = 2 * np.pi * np.arange(length) / length
    places = np.outer(np.arange(rows, dtype=np.int32), np.arange(columns, dtype=np.int32)) % length
    return np.cos(angles).astype(np.float32)[places], np.sin(angles).astype(np.float32)[places]


def _matrix(length: int, used: int, parts: int, inverse: bool, onesided: bool) -> np.ndarray:
    """[2 * outputs, parts * used]: e^(-2 pi i k n / length), with the other sign and 1 / length for the inverse."""
    count = length // 2 + 1 if onesided else length
    cosine, sine = _waves(count, used, length)
    blocks = np.empty((count, 2, used, parts), np.float32)
    blocks[:, 0, :, 0] = cosine
    blocks[:, 1, :, 0] = sine if inverse else -sine
    if parts == 2:
        blocks[:, 0, :, 1] = -blocks[:, 1, :, 0]
        blocks[:, 1, :, 1] = cosine
    if inverse:
        blocks /= length
    return blocks.reshape(2 * count, used * parts)


def _real_inverse(length: int, used: int, parts: int) -> np.ndarray:
    """[length, parts * used]: the real signal of half a spectrum, whose other half mirrors it."""
    frequencies = np.arange(used)
    alone = (frequencies == 0) | (2 * frequencies == length)  # these have no mirror image
    scale = (np.where(alone, 1, 2) / length).astype(np.float32)
    cosine, sine = _waves(length, used, length)
    blocks = np.stack([cosine * scale, -sine * scale][:parts], -1)
    return blocks.reshape(length, used * parts)


def stft(node: Node, context: Translation) -> Value:
    """STFT as one convolution: the windowed cosines and sines are its filters, the step between frames its stride."""
    x = _signal(node.input(0))
    if x.type.rank != 3:
        raise Refusal(f"its input {list(x.shape)} has not the axes of batch, time and parts")
    window = node.optional(2)
    step, length = _step_and_length(node, x, window)
    if not 0 < length <= min(MAX_LENGTH, x.shape[1]) or step < 1:
        raise Refusal(f"frames of {length} at steps of {step} do not fit a signal of {x.shape[1]} or are too long")
    if window is not None and window.shape != (length,):
        raise Refusal(f"a window {list(window.shape)} does not fit frames of {length}")
    matrix = _matrix(length, length, x.shape[2], False, bool(node.int("onesided", 1)))
    filters, first, frames = context.constant(matrix.reshape(-1, length, x.shape[2])), 0, (x.shape[1] - length) // step
    if window is not None and window.data is not None:
        first, kept = _support(window.data, step)
        cut = slice(first, first + kept)
        filters = context.constant(matrix.reshape(filters.shape)[:, cut] * window.data[cut, None])
    elif window is not None:
        filters = context.mul(filters, context.reshape(window, [length, 1]))
    return _framed_product(context, x, filters, step, frames + 1, first)


def _support(window: np.ndarray, step: int) -> tuple[int, int]:
    """First entry and number of the entries to compute with: zeros at the ends are left out.

    Of all lengths that hold every other entry, the one that shares the largest block with the step is taken.
    """
    others = np.flatnonzero(window)
    if not len(others):
        return 0, len(window)
    needed = int(others[-1] - others[0]) + 1
    kept = max(range(needed, len(window) + 1), key=lambda n: (np.gcd(step, n), -n))
    return min(int(others[0]), len(window) - kept), kept


def _framed_product(context: Translation, x: Value, filters: Value, step: int, frames: int, first: int) -> Value:
    """Frames times filters as a convolution over blocks of the greatest length that divides step and frame.

    Blocks become channels, which makes the filters short and the products long.
    """
    batch, length, parts = x.shape[0], filters.shape[1], x.shape[2]
    block, used = int(np.gcd(step, length)), (frames - 1) * step + length
    x = sliced(context, x, [0, first, 0], [batch, used, parts])
    rows = context.reshape(x, [batch, 1, used // block, block * parts])
    count = filters.shape[0]
    weights = context.reshape(filters, [count, 1, length // block, block * parts])
    bias = context.constant(np.zeros(count, np.float32))
    product = context.emit("conv_2d", [rows, weights, bias], padding="VALID", stride_h=1, stride_w=step // block)
    return context.reshape(product, [batch, frames, count // 2, 2])


def _step_and_length(node: Node, x: Value, window: Value | None) -> tuple[int, int]:
    """Step and length of the frames, of which one may follow from the shape that the model states for the result."""
    steps = required_ints(node, 1) if node.is_constant(1) else list(range(1, x.shape[1] + 1))
    known = node.optional(3) is not None and node.is_constant(3)
    onesided = bool(node.int("onesided", 1))
    if known:
        lengths = required_ints(node, 3)
    elif window is not None:
        lengths = [window.shape[0]]
    elif node.optional(3) is None:
        raise Refusal("it has neither a window nor a frame length")
    else:
        bins = node.declared_shape()[2]
        lengths = [2 * bins - 2, 2 * bins - 1] if onesided else [bins]
    if len(steps) == len(lengths) == 1:
        return steps[0], lengths[0]
    frames = node.declared_shape()[1]
    fitting = [(s, n) for n in lengths for s in steps if 0 < n <= x.shape[1] and (x.shape[1] - n) // s + 1 == frames]
    if len(fitting) != 1:
        raise Refusal(f"the step or length of its frames is only known at run time, and {len(fitting)} fit its result")
    return fitting[0]


TRANSLATIONS: dict[str, Translate] = {"DFT": dft, "STFT": stft}
