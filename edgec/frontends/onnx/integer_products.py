"""Products of integer tensors in float32, which holds their sums exactly up to 2^24, and DynamicQuantizeLinear."""

from __future__ import annotations

from copy import copy

import numpy as np

from edgec.frontends.onnx.convolution import conv
from edgec.frontends.onnx.linear import matmul
from edgec.frontends.onnx.node import Node
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

FLOAT32 = DType.FLOAT32


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


def centered(context: Translation, x: Value, zero_point: Value | None, axis: int | None = None) -> Value:
    """x - zero point in float32; one zero point an entry of `axis` where there are several."""
    real = context.cast(x, FLOAT32)
    if zero_point is None or (zero_point.data is not None and not zero_point.data.any()):
        return real
    return context.sub(real, context.cast(along(context, zero_point, x.type.rank, axis), FLOAT32))


def along(context: Translation, parameter: Value, rank: int, axis: int | None) -> Value:
    """A vector of parameters laid along one axis of `rank`; a single one as a scalar."""
    if parameter.type.elements == 1:
        return context.reshape(parameter, [])
    if axis is None or parameter.type.rank != 1:
        return parameter
    return context.reshape(parameter, [parameter.shape[0] if i == axis else 1 for i in range(rank)])


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
    return context.cast(matmul(_with(node, left, right), context), DType.INT32)


def conv_integer(node: Node, context: Translation) -> Value:
    """ConvInteger: padding stands for the zero point, which is 0 once it is subtracted."""
    x = centered(context, node.input(0), node.optional(2))
    weight = centered(context, node.input(1), node.optional(3), 0)
    return context.cast(conv(_with(node, x, weight), context), DType.INT32)


def qlinear_matmul(node: Node, context: Translation) -> Value:
    """QLinearMatMul: a, its scale and zero point, the same of b, scale and zero point of the result."""
    a, b = node.input(0), node.input(3)
    left = centered(context, a, node.input(2), a.type.rank - 2)
    right = centered(context, b, node.input(5), b.type.rank - 1)
    product = matmul(_with(node, left, right), context)
    rank = product.type.rank
    product = context.mul(product, _real(context, node.input(1), rank, rank - 2))
    product = context.mul(product, _real(context, node.input(4), rank, rank - 1))
    return quantized(context, product, _real(context, node.input(6), 0, None), along(context, node.input(7), 0, None))


def qlinear_conv(node: Node, context: Translation) -> Value:
    """QLinearConv: x, w and the result with scale and zero point each; the bias has the scale of the products."""
    x = centered(context, node.input(0), node.input(2))
    weight = centered(context, node.input(3), node.input(5), 0)
    bias = node.optional(8)
    own = context.cast(bias, FLOAT32) if bias is not None else None
    product = conv(_with(node, x, weight, own), context)
    weight_scale = _real(context, node.input(4), product.type.rank, 1)
    real = context.mul(context.mul(product, _real(context, node.input(1), 0, None)), weight_scale)
    return quantized(context, real, _real(context, node.input(6), 0, None), along(context, node.input(7), 0, None))


def _real(context: Translation, scale: Value, rank: int, axis: int | None) -> Value:
    return along(context, context.cast(scale, FLOAT32), rank, axis)


def dynamic_quantize_linear(node: Node, context: Translation) -> list[Value]:
    """DynamicQuantizeLinear to uint8 over the range of x widened to hold 0."""
    x = node.input(0)
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
