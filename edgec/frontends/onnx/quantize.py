"""QuantizeLinear and DequantizeLinear: a QDQ model's ranges stay in the graph for the quantizer to absorb.

Quantized constants are dequantized when they are read. uint8 stays uint8 here, so that every value is ONNX's.
"""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.quantized_values import QUANTIZED, along, dequantized_by, quant_params, quantized
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.frontends.onnx.widening import FLOAT, computed_in
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops.infer import normalize_axis


def quantize_linear(node: Node, context: Translation) -> Value:
    """QuantizeLinear, per tensor or per axis. Ties round away from zero in TFLite, to even in ONNX."""
    x = node.input(0)
    dtype = _target(node)
    if not (node.is_constant(1) and node.is_constant(2)):
        return _quantized_at_run_time(node, context, x, dtype)
    quant = _params(node, x)
    if node.in_real_numbers and not quant.is_per_channel and _is_fine_without_kernel(dtype, quant):
        return _clamped(context, context.cast(x, FLOAT[0]), dtype, quant)
    _check(dtype, quant)
    real = context.cast(x, computed_in(x.dtype, FLOAT))
    return context.emit("quantize", [real], result_types=[TensorType(x.shape, dtype, quant)])


def _quantized_at_run_time(node: Node, context: Translation, x: Value, dtype: DType) -> Value:
    """QuantizeLinear by numbers that are computed, in float arithmetic."""
    if dtype not in (DType.INT8, DType.UINT8, DType.INT16):
        raise Refusal(f"quantizing to {dtype.value} by a scale of run time is not supported")
    axis = normalize_axis(node.int("axis", 1), x.type.rank) if x.type.rank > 1 else 0
    zero_point = node.optional(2)
    point = context.constant(np.zeros((), dtype.numpy), dtype) if zero_point is None else zero_point
    real, scale = context.cast(x, DType.FLOAT32), _spread(node, context, node.input(1), x, axis)
    return quantized(context, real, scale, _spread(node, context, point, x, axis))


def _dequantized_at_run_time(node: Node, context: Translation, x: Value) -> Value:
    axis = normalize_axis(node.int("axis", 1), x.type.rank) if x.type.rank > 1 else 0
    zero_point = node.optional(2)
    real = context.cast(x, DType.FLOAT32)
    if zero_point is not None:
        point = _spread(node, context, zero_point, x, axis)
        real = context.sub(real, context.cast(point, DType.FLOAT32))
    return context.mul(real, context.cast(_spread(node, context, node.input(1), x, axis), DType.FLOAT32))


def _spread(node: Node, context: Translation, parameter: Value, x: Value, axis: int) -> Value:
    """Scales or zero points so that they broadcast with `x`, those of blocks repeated."""
    block = node.int("block_size", 0)
    if not block or parameter.type.rank != x.type.rank:
        return along(context, parameter, x.type.rank, axis)
    places = np.arange(x.shape[axis]) // block
    return context.emit("gather", [parameter, context.constant(places.astype(np.int32))], axis=axis)


def _target(node: Node) -> DType:
    zero_point, number = node.optional(2), node.int("output_dtype", 0)
    if zero_point is not None:
        return zero_point.dtype
    if not number:
        return DType.UINT8
    from onnx import helper

    try:
        return DType.from_numpy(np.dtype(helper.tensor_dtype_to_np_dtype(number)))
    except (KeyError, ValueError, TypeError):
        raise Refusal(f"the element type {number} is not supported") from None


def _params(node: Node, x: Value) -> QuantParams:
    scale, zero_point = node.required_array(1), node.array(2)
    if node.int("block_size", 0):
        raise Refusal(f"blocks of {node.int('block_size', 0)} share a scale; TFLite has scales per tensor or channel")
    return quant_params(scale, zero_point, x, node.int("axis", 1))


def _is_fine_without_kernel(dtype: DType, quant: QuantParams) -> bool:
    """65,536 steps that no TFLite kernel makes: its int16 has the zero point 0."""
    return dtype is DType.UINT16 or (dtype is DType.INT16 and any(quant.zero_point))


def _clamped(context: Translation, x: Value, dtype: DType, quant: QuantParams) -> Value:
    """What a pair of 16 bits lets through, but for its rounding, which float32 hardly shows."""
    limits = np.iinfo(dtype.numpy)
    low, high = ((edge - quant.zero_point[0]) * quant.scale[0] for edge in (limits.min, limits.max))
    raised = context.emit("maximum", [x, context.like(x, low)])
    return context.emit("minimum", [raised, context.like(x, high)])


def _check(dtype: DType, quant: QuantParams) -> None:
    if dtype not in QUANTIZED:
        raise Refusal(f"quantizing to {dtype.value} has no TFLite kernel")
    if dtype is DType.INT16 and any(quant.zero_point):
        raise Refusal(f"int16 needs the zero point 0, found {quant.zero_point[0]}")


def dequantize_linear(node: Node, context: Translation) -> Value:
    """DequantizeLinear; what no kernel dequantizes becomes (x - zero point) * scale."""
    x = node.input(0)
    if not (node.is_constant(1) and node.is_constant(2)):
        return _dequantized_at_run_time(node, context, x)
    quant = _params(node, x)
    scale = node.input(1)
    if x.dtype is DType.FLOAT32:  # the codes of a fine pair that stayed real
        return context.cast(x, scale.dtype)
    return context.cast(dequantized_by(context, x, quant), scale.dtype)


TRANSLATIONS: dict[str, Translate] = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
}
