"""com.microsoft: ops between quantized tensors, as onnxruntime's static quantization in QOperator form writes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgec.frontends.onnx.contrib_fused import with_inputs
from edgec.frontends.onnx.dynamic_quantization import note_rounding
from edgec.frontends.onnx.integer_products import qlinear_conv
from edgec.frontends.onnx.linear import gemm, matmul
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.pooling import average_pool, max_pool
from edgec.frontends.onnx.quantize import dequantize_linear, quantize_linear
from edgec.frontends.onnx.quantized_moves import on_real_numbers
from edgec.frontends.onnx.quantized_values import quantized_value, real_value
from edgec.frontends.onnx.recurrent import recurrent
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

Compute = Callable[[Node, Translation, Value], Value]


def _real(node: Node, context: Translation, index: int, axis: int | None = None) -> Value:
    """The operand at `index` as real numbers; its scale and zero point follow it."""
    return real_value(context, node.input(index), node.input(index + 1), node.optional(index + 2), axis)


def _binary(opcode: str) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        result = context.emit(opcode, [_real(node, context, 0), _real(node, context, 3)])
        return quantized_value(context, result, node.input(6), node.optional(7))

    return translate


def _unary(compute: Compute) -> Translate:
    """Operands: x, its scale and zero point, scale and zero point of the result."""

    def translate(node: Node, context: Translation) -> Value:
        result = compute(node, context, _real(node, context, 0))
        return quantized_value(context, result, node.input(3), node.optional(4))

    return translate


def _sigmoid(node: Node, context: Translation, x: Value) -> Value:
    return context.emit("logistic", [x])


def _leaky_relu(node: Node, context: Translation, x: Value) -> Value:
    return context.emit("leaky_relu", [x], alpha=node.float("alpha", 0.01))


def _softmax(node: Node, context: Translation, x: Value) -> Value:
    axis, rank = normalize_axis(node.int("axis", -1), x.type.rank), x.type.rank
    if node.int("opset", 13) < 13 and axis != rank - 1:
        raise Refusal("a softmax over several axes, as before opset 13, is not supported")
    swap = list(range(rank))
    swap[axis], swap[-1] = swap[-1], swap[axis]
    return context.transpose(context.emit("softmax", [context.transpose(x, swap)], beta=1.0), swap)


def _average_pool(node: Node, context: Translation, x: Value) -> Value:
    if not node.int("channels_last", 0):
        return average_pool(with_inputs(node, x), context)
    return context.to_channels_last(average_pool(with_inputs(node, context.to_channels_first(x)), context))


def _global_average_pool(node: Node, context: Translation, x: Value) -> Value:
    first = 1 if node.int("channels_last", 0) else 2
    axes = list(range(first, x.type.rank + first - 2))
    return context.emit("mean", [x, context.ints(axes)], keep_dims=True)


@on_real_numbers
def nhwc_max_pool(node: Node, context: Translation) -> Result:
    """NhwcMaxPool: MaxPool of codes with the channels last."""
    found = max_pool(with_inputs(node, context.to_channels_first(node.input(0))), context)
    return context.to_channels_last(found if isinstance(found, Value) else found[0])


def concat(node: Node, context: Translation) -> Value:
    """QLinearConcat: scale and zero point of the result, then of each part after it."""
    if len(node.inputs) % 3 != 2 or len(node.inputs) < 5:
        raise Refusal(f"{len(node.inputs)} operands are not a scale, a zero point and triples")
    parts = [_real(node, context, index) for index in range(2, len(node.inputs), 3)]
    axis = normalize_axis(node.int("axis", 0), parts[0].type.rank)
    result = parts[0] if len(parts) == 1 else context.emit("concatenation", parts, axis=axis)
    return quantized_value(context, result, node.input(0), node.input(1))


def where(node: Node, context: Translation) -> Value:
    """QLinearWhere: condition, x and y with scale and zero point each, those of the result."""
    result = context.emit("select_v2", [node.input(0), _real(node, context, 1), _real(node, context, 4)])
    return quantized_value(context, result, node.input(7), node.optional(8))


def quantized_gemm(node: Node, context: Translation) -> Value:
    """QGemm: alpha * A' @ B' + C, quantized where a scale of the result is given."""
    columns = 0 if node.int("transB", 0) else 1
    a, b, c = _real(node, context, 0), _real(node, context, 3, columns), node.optional(6)
    if c is not None:
        scale = node.float("alpha", 1.0)
        own = [node.required_array(index).reshape(-1) for index in (1, 4)]
        c = real_value(context, c, context.constant(scale * own[0] * own[1]), None, c.type.rank - 1)
    product = gemm(with_inputs(node, a, b, c), context)
    return product if node.optional(7) is None else quantized_value(context, product, node.input(7), node.optional(8))


def matmul_integer_to_float(node: Node, context: Translation) -> Value:
    """MatMulIntegerToFloat: A, B, their scales, their zero points and a bias."""
    a = real_value(context, node.input(0), node.input(2), node.optional(4), None)
    b = real_value(context, node.input(1), node.input(3), node.optional(5), node.input(1).type.rank - 1)
    product = matmul(with_inputs(node, a, b), context)
    return product if node.optional(6) is None else context.add(product, node.input(6))


def dynamic_quantize_matmul(node: Node, context: Translation) -> Value:
    """DynamicQuantizeMatMul: what rounds its left operand at run time is a product of reals with small weights."""
    note_rounding(context)
    a = node.input(0)
    b = real_value(context, node.input(1), node.input(2), node.optional(3), node.input(1).type.rank - 1)
    product = matmul(with_inputs(node, a, b), context)
    return product if node.optional(4) is None else context.add(product, node.input(4))


def dynamic_quantize_lstm(node: Node, context: Translation) -> Result:
    """DynamicQuantizeLSTM: an LSTM whose two weights are transposed and quantized, their scales behind its operands."""
    note_rounding(context)
    weights = []
    for index, scale in ((1, 8), (2, 10)):
        codes, scales, points = node.required_array(index), node.required_array(scale), node.array(scale + 1)
        spread = [-1, 1, 1] if scales.size in (1, codes.shape[0]) else [codes.shape[0], 1, -1]
        steps = codes.astype(np.float32) - (0 if points is None else points.astype(np.float32).reshape(spread))
        weights.append(np.ascontiguousarray((steps * scales.reshape(spread)).transpose(0, 2, 1), np.float32))
    constants = [context.constant(weight) for weight in weights]
    plain = with_inputs(node, node.input(0), *constants, *(node.optional(index) for index in range(3, 8)))
    plain.op_type = "LSTM"
    return recurrent(plain, context)


CONTRIB_OPS: dict[str, Translate] = {
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLSTM": dynamic_quantize_lstm,
    "DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "NhwcMaxPool": nhwc_max_pool,
    "QGemm": quantized_gemm,
    "QLinearAdd": _binary("add"),
    "QLinearAveragePool": _unary(_average_pool),
    "QLinearConcat": concat,
    "QLinearConv": qlinear_conv,
    "QLinearGlobalAveragePool": _unary(_global_average_pool),
    "QLinearLeakyRelu": _unary(_leaky_relu),
    "QLinearMul": _binary("mul"),
    "QLinearSigmoid": _unary(_sigmoid),
    "QLinearSoftmax": _unary(_softmax),
    "QLinearWhere": where,
    "QuantizeLinear": quantize_linear,
}
