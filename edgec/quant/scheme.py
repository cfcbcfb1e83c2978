"""The arithmetic of TFLite's 8-bit scheme: from ranges to scales and zero points, from real arrays to integers.

real = scale * (q - zero_point). Activations: int8 -128..127, asymmetric, per tensor, zero exactly representable.
Weights: int8 -127..127, symmetric, per output channel or per tensor. Biases: int32, scale = input scale * weight scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.types import QuantParams
from edgec.quant.observers import Range

INT8_MIN, INT8_MAX = -128, 127
WEIGHT_MAX = 127  # narrow range: kernels multiply weights pairwise and rely on -128 not occurring
BIAS_LIMIT = 2**30  # half of int32, so that bias plus products do not overflow the accumulator
EMPTY_RANGE_SCALE = 1 / 128  # a tensor that is zero throughout: any scale holds it exactly
BLOCK_ELEMENTS = 1 << 20  # quantized at a time
SMALLEST_SCALE = 1e-20  # far inside float32's normal numbers, so that products of two scales do not vanish


def activation_params(range_: Range) -> QuantParams:
    """int8 parameters of an activation; the range is widened to hold zero and shifted so that zero is exact."""
    full = range_.with_zero()
    if full.maximum == full.minimum:
        return QuantParams.per_tensor(EMPTY_RANGE_SCALE, 0)
    scale = as_float32(max((full.maximum - full.minimum) / (INT8_MAX - INT8_MIN), SMALLEST_SCALE))
    zero_point = round(INT8_MIN - full.minimum / scale)
    return QuantParams.per_tensor(scale, min(max(zero_point, INT8_MIN), INT8_MAX))


def weight_params(
    weight: np.ndarray, axis: int | None, bias: np.ndarray | None = None, input_scale: float = 1.0
) -> QuantParams:
    """int8 parameters of a weight, per channel along `axis` or per tensor (None), from its largest magnitudes.

    Where a channel's weights are so small that its bias would not fit int32 at input scale * weight scale, the scale is
    raised until it does; an all-zero channel takes the median scale of the others.
    """
    largest = _largest(weight, axis).astype(np.float64)
    scale = largest / WEIGHT_MAX
    usable = scale > SMALLEST_SCALE
    scale[~usable] = np.median(scale[usable]) if usable.any() else 1 / WEIGHT_MAX
    if bias is not None:
        magnitudes = np.abs(bias.astype(np.float64).reshape(-1))
        needed = magnitudes if axis is not None else magnitudes.max(initial=0.0)
        scale = np.maximum(scale, needed / (input_scale * BIAS_LIMIT))
    scales = tuple(float(s) for s in scale.astype(np.float32))
    return QuantParams(scales, (0,) * len(scales), axis)


def bias_params(input_quant: QuantParams, weight_quant: QuantParams) -> QuantParams:
    """int32 parameters of a bias: input scale * weight scale, zero point 0, per channel where the weights are."""
    scales = tuple(as_float32(input_quant.scale[0] * s) for s in weight_quant.scale)
    return QuantParams(scales, (0,) * len(scales), None if weight_quant.axis is None else 0)


def quantize_array(array: np.ndarray, dtype: DType, quant: QuantParams, narrow: bool = False) -> np.ndarray:
    """Real values as integers of `dtype`: divide, round half to even, shift, saturate (at -127 where `narrow`)."""
    limits = np.iinfo(dtype.numpy)
    scale, zero_point = _broadcast(quant, array.ndim)
    low, high = -int(limits.max) if narrow else int(limits.min), int(limits.max)
    integers = np.empty(array.shape, dtype.numpy)
    for rows in _blocks(array.shape):
        with np.errstate(over="ignore"):
            steps = np.asarray(array[rows].astype(np.float64) / _rows_of(scale, rows))
        np.rint(steps, out=steps)
        steps += _rows_of(zero_point, rows)
        np.clip(steps, low, high, out=steps)
        integers[rows] = steps
    return integers


def _blocks(shape: tuple[int, ...]) -> Iterator[Any]:
    """Indices of a few rows at a time: a large weight in float64 would take twice its own memory, several times."""
    rows = max(BLOCK_ELEMENTS // max(math.prod(shape[1:]), 1), 1) if shape else 0
    if not shape or shape[0] <= rows:
        yield ...
        return
    for begin in range(0, shape[0], rows):
        yield slice(begin, begin + rows)


def _rows_of(parameter: np.ndarray, rows: Any) -> np.ndarray:
    """The part of a broadcast scale or zero point that belongs to some rows."""
    own = isinstance(rows, slice) and np.ndim(parameter) > 0 and parameter.shape[0] > 1
    return parameter[rows] if own else parameter


def dequantize_array(array: np.ndarray, quant: QuantParams) -> np.ndarray:
    """Integers as real float32 values."""
    scale, zero_point = _broadcast(quant, array.ndim)
    return np.asarray((array.astype(np.float64) - zero_point) * scale, np.float32)


def represented_range(quant: QuantParams) -> Range:
    """The real values that int8 reaches under per-tensor parameters."""
    return Range(quant.scale[0] * (INT8_MIN - quant.zero_point[0]), quant.scale[0] * (INT8_MAX - quant.zero_point[0]))


def as_float32(value: float) -> float:
    """The value as a file holds it."""
    return float(np.float32(value))


def _largest(weight: np.ndarray, axis: int | None) -> np.ndarray:
    if not weight.size:
        return np.zeros(1 if axis is None else weight.shape[axis])
    others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
    return np.atleast_1d(np.maximum(weight.max(axis=others), -weight.min(axis=others)))


def _broadcast(quant: QuantParams, rank: int) -> tuple[np.ndarray, np.ndarray]:
    shape: Sequence[int] = [1] * rank
    if quant.axis is not None:
        shape = [-1 if i == quant.axis else 1 for i in range(rank)]
    return np.array(quant.scale, np.float64).reshape(shape), np.array(quant.zero_point, np.float64).reshape(shape)
