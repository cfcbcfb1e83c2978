"""Products of integer tensors in float32, which holds their sums exactly up to 2^24, and DynamicQuantizeLinear."""

from __future__ import annotations

from copy import copy

import numpy as np

from edgec.frontends.onnx.convolution import conv
from edgec.frontends.onnx.dynamic_quantization import note_rounding
from edgec.frontends.onnx.linear import matmul
from edgec.frontends.onnx.node import Node
from edgec.frontends.onnx.quantized_values import along, quantized, quantized_value, real_value
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

FLOAT32 = DType.FLOAT32


def centered(context: Translation, x: Value, zero_point: Value | None, axis: int | None = None) -> Value:
    """x - zero point in float32; one zero point an entry of `axis` where there are several."""
    real = context.cast(x, FLOAT32)
    if zero_point is None or (zero_point.data is not None and not zero_point.data.any()):
        return real
    return context.sub(real, context.cast(along(context, zero_point, x.type.rank, axis), FLOAT32))


def _with(node: Node, *inputs: Value | None) -> Node:
    """The node with other operands."""
    found = copy(node)
    found.inputs = list(inputs)
    return found


def matmul_integer(node: Node, context: Translation) -> Value:
    """MatMulInteger: zero points of rows for the left operand, of columns for the right one."""
    a, b = node.input(0), node.input(1)
    left = centered(context, a, node.optional(2), a.type.rank - 2)
    right = centered(context, b, node.optional(3), b.type.rank - 1)
    return _as_sums(node, context, matmul(_with(node, left, right), context))


def conv_integer(node: Node, context: Translation) -> Value:
    """ConvInteger: padding stands for the zero point, which is 0 once it is subtracted."""
    x = centered(context, node.input(0), node.optional(2))
    weight = centered(context, node.input(1), node.optional(3), 0)
    return _as_sums(node, context, conv(_with(node, x, weight), context))


def _as_sums(node: Node, context: Translation, product: Value) -> Value:
    """Sums of integers; those of real numbers, which stand for dynamically quantized ones, stay real."""
    return product if node.input(0).dtype is FLOAT32 else context.cast(product, DType.INT32)


def qlinear_matmul(node: Node, context: Translation) -> Value:
    """QLinearMatMul: a, its scale and zero point, the same of b, scale and zero point of the result."""
    a, b = node.input(0), node.input(3)
    left = real_value(context, a, node.input(1), node.input(2), a.type.rank - 2)
    right = real_value(context, b, node.input(4), node.input(5), b.type.rank - 1)
    return quantized_value(context, matmul(_with(node, left, right), context), node.input(6), node.input(7))


def qlinear_conv(node: Node, context: Translation) -> Value:
    """QLinearConv: x, w and the result with scale and zero point each; the bias has the scale of the products."""
    x = real_value(context, node.input(0), node.input(1), node.input(2))
    weight = real_value(context, node.input(3), node.input(4), node.input(5), 0)
    bias = node.optional(8)
    if bias is not None:
        bias = real_value(context, bias, _products_scale(context, node.input(1), node.input(4)), None, 0)
    if node.int("channels_last", 0):  # onnxruntime's own form of the op
        result = context.to_channels_last(conv(_with(node, context.to_channels_first(x), weight, bias), context))
    else:
        result = conv(_with(node, x, weight, bias), context)
    return quantized_value(context, result, node.input(6), node.input(7))


def _products_scale(context: Translation, a: Value, b: Value) -> Value:
    if a.data is not None and b.data is not None:
        return context.constant(a.data.reshape(-1) * b.data.reshape(-1))
    return context.mul(context.reshape(a, [a.type.elements]), context.reshape(b, [b.type.elements]))


def dynamic_quantize_linear(node: Node, context: Translation) -> list[Value]:
    """DynamicQuantizeLinear to uint8 over the range of x widened to hold 0, x itself in front of products."""
    x = node.input(0)
    if node.in_real_numbers:
        note_rounding(context)
        return [x, context.constant(np.float32(1)), context.constant(np.uint8(0), DType.UINT8)]
    axes, zero = context.ints(list(range(x.type.rank))), context.like(x, 0)
    low = context.emit("minimum", [context.emit("reduce_min", [x, axes]), zero])
    high = context.emit("maximum", [context.emit("reduce_max", [x, axes]), zero])
    scale = context.div(context.sub(high, low), context.like(x, 255))
    point = context.emit("round", [context.div(context.sub(zero, low), scale)])
    point = context.cast(context.emit("minimum", [point, context.like(x, 255)]), DType.UINT8)
    return [quantized(context, x, scale, point), scale, point]


TRANSLATIONS: dict[str, Translate] = {
    "MatMulInteger": matmul_integer,
    "ConvInteger": conv_integer,
    "QLinearMatMul": qlinear_matmul,
    "QLinearConv": qlinear_conv,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
}
