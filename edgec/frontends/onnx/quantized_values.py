"""Quantized tensors as real ones and back: TFLite's dequantize and quantize where they fit, else arithmetic.

Where scale and zero point are known they stay in the graph as ranges for the quantizer to absorb.
"""

from __future__ import annotations

import math

import numpy as np

from edgec.frontends.onnx.node import Refusal
from edgec.frontends.onnx.translation import Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops.infer import normalize_axis

FLOAT32 = DType.FLOAT32
QUANTIZED = (DType.INT8, DType.UINT8, DType.INT16)


def along(context: Translation, parameter: Value, rank: int, axis: int | None) -> Value:
    """A vector of parameters laid along one axis of `rank`; a single one as a scalar."""
    if parameter.type.elements == 1:
        return context.reshape(parameter, [])
    if axis is None or parameter.type.rank != 1:
        return parameter
    return context.reshape(parameter, [parameter.shape[0] if i == axis else 1 for i in range(rank)])


def quantized(context: Translation, real: Value, scale: Value, zero_point: Value) -> Value:
    """saturate(round(real / scale) + zero point), ties to even as in ONNX."""
    return saturated(context, context.emit("round", [context.div(real, scale)]), zero_point)


def saturated(context: Translation, whole: Value, zero_point: Value) -> Value:
    """`whole` plus the zero point, in the zero point's type."""
    limits = np.iinfo(zero_point.dtype.numpy)
    shifted = context.add(whole, context.cast(zero_point, FLOAT32))
    shifted = context.emit("minimum", [context.emit("maximum", [shifted, context.like(shifted, limits.min)]),
                                       context.like(shifted, limits.max)])  # fmt: skip
    return context.cast(shifted, zero_point.dtype)


def quant_params(scale: np.ndarray, zero_point: np.ndarray | None, x: Value, axis: int) -> QuantParams:
    """Known scales and zero points, one or one for each entry of an axis of `x`."""
    scales = tuple(float(np.float32(s)) for s in scale.reshape(-1))
    if not all(math.isfinite(s) and s >= 0 for s in scales):
        raise Refusal(_bad_scale(next(s for s in scales if not (math.isfinite(s) and s >= 0)), x))
    points = (0,) * len(scales) if zero_point is None else tuple(int(z) for z in zero_point.reshape(-1))
    if len(scales) != len(points):
        raise Refusal(f"{len(scales)} scales but {len(points)} zero points")
    if len(scales) == 1:
        return QuantParams(scales, points)
    axis = normalize_axis(axis, x.type.rank)
    if len(scales) != x.shape[axis]:
        raise Refusal(f"{len(scales)} scales for {x.shape[axis]} channels on axis {axis}")
    return QuantParams(scales, points, axis)


def _bad_scale(scale: float, x: Value) -> str:
    if not math.isinf(scale):
        return f"the scale of '{x.name}' is {scale:g}; scales are finite and not negative: quantize the model again"
    return (
        f"the scale of '{x.name}' is infinite, as calibration makes it for values that reach infinity (an attention "
        "mask of -inf): write the mask with a large finite number such as -1e4, or leave this tensor in float, and "
        "quantize the model again"
    )


def dequantized_by(context: Translation, x: Value, quant: QuantParams) -> Value:
    """The real numbers of `x`; what no kernel dequantizes becomes (x - zero point) * scale."""
    from_outside = x.producer is None and x.quant is None
    known = x.quant is not None and x.quant.same_mapping(quant)
    kernel = x.dtype in QUANTIZED and not (x.dtype is DType.INT16 and (quant.is_per_channel or any(quant.zero_point)))
    if kernel and (from_outside or known):
        x.type = x.type.with_quant(quant)
        return context.emit("dequantize", [x])
    shape = [-1 if quant.axis == i else 1 for i in range(x.type.rank)] if quant.axis is not None else []
    real = context.cast(x, FLOAT32)
    if x.dtype is DType.INT32 and any(quant.zero_point):
        raise Refusal(f"int32 needs the zero point 0, found {quant.zero_point[0]}")
    if any(quant.zero_point):
        real = context.sub(real, context.constant(np.array(quant.zero_point, np.float32).reshape(shape)))
    return context.mul(real, context.constant(np.array(quant.scale, np.float32).reshape(shape)))


def real_value(
    context: Translation, x: Value, scale: Value, zero_point: Value | None, axis: int | None = None
) -> Value:  # fmt: skip
    """(x - zero point) * scale in float32, with one pair for all of `x` or one for each entry of `axis`."""
    if scale.data is None or (zero_point is not None and zero_point.data is None):
        return _real_at_run_time(context, x, scale, zero_point, axis)
    if x.dtype is FLOAT32:  # a dynamically quantized value that stayed real: its scale is 1
        return x
    quant = quant_params(scale.data, None if zero_point is None else zero_point.data, x, axis or 0)
    if x.data is None:
        return dequantized_by(context, x, quant)
    shape = [-1 if quant.axis == i else 1 for i in range(x.type.rank)] if quant.axis is not None else []
    offset = x.data.astype(np.int64) - np.array(quant.zero_point, np.int64).reshape(shape)
    return context.constant(offset.astype(np.float32) * np.array(quant.scale, np.float32).reshape(shape))


def _real_at_run_time(
    context: Translation, x: Value, scale: Value, zero_point: Value | None, axis: int | None
) -> Value:  # fmt: skip
    real, rank = context.cast(x, FLOAT32), x.type.rank
    if zero_point is not None:
        real = context.sub(real, context.cast(along(context, zero_point, rank, axis), FLOAT32))
    return context.mul(real, along(context, context.cast(scale, FLOAT32), rank, axis))


def quantized_value(context: Translation, real: Value, scale: Value, zero_point: Value | None) -> Value:
    """Real numbers as codes of one scale, uint8 where no zero point says otherwise."""
    point = context.constant(np.uint8(0), DType.UINT8) if zero_point is None else zero_point
    if scale.data is not None and point.data is not None and point.dtype in (DType.INT8, DType.UINT8):
        quant = quant_params(scale.data, point.data, real, 0)
        if not quant.is_per_channel:
            return context.emit("quantize", [real], result_types=[TensorType(real.shape, point.dtype, quant)])
    scale, point = along(context, context.cast(scale, FLOAT32), 0, None), along(context, point, 0, None)
    return quantized(context, real, scale, point)
