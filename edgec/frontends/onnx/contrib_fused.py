"""com.microsoft: products and convolutions with an activation, and approximations of GELU."""

from __future__ import annotations

from copy import copy

import numpy as np

from edgec.frontends.onnx.convolution import conv
from edgec.frontends.onnx.linear import gemm, matmul
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value

_PLAIN = {"Relu": "relu", "Sigmoid": "logistic", "Tanh": "tanh"}


def with_inputs(node: Node, *inputs: Value | None) -> Node:
    """The node with other operands."""
    found = copy(node)
    found.inputs = list(inputs)
    return found


def _activated(context: Translation, x: Value, activation: str, parameters: list[float]) -> Value:
    if activation in ("", "Identity"):
        return x
    if activation in _PLAIN:
        return context.emit(_PLAIN[activation], [x])
    if activation == "LeakyRelu":
        return context.emit("leaky_relu", [x], alpha=parameters[0] if parameters else 0.01)
    if activation == "Clip" and len(parameters) == 2:
        limited = context.emit("maximum", [x, context.like(x, parameters[0])])
        return context.emit("minimum", [limited, context.like(x, parameters[1])])
    if activation == "HardSigmoid":
        alpha, beta = parameters if len(parameters) == 2 else (0.2, 0.5)
        line = context.add(context.mul(x, context.like(x, alpha)), context.like(x, beta))
        return context.emit("relu_0_to_1", [line])
    raise Refusal(f"the activation '{activation}' with {len(parameters)} parameters is not supported")


def fused_conv(node: Node, context: Translation) -> Value:
    """FusedConv: Conv, plus another tensor, and an activation."""
    result = conv(with_inputs(node, *(node.optional(i) for i in range(3))), context)
    if not isinstance(result, Value):
        raise Refusal("its convolution has several results")
    if node.optional(3) is not None:
        result = context.add(result, node.input(3))
    parameters = [float(p) for p in node.attribute("activation_params", [])]
    return _activated(context, result, node.attribute("activation", ""), parameters)


def fused_gemm(node: Node, context: Translation) -> Value:
    """FusedGemm: Gemm and an activation."""
    names = ("activation_alpha", "activation_beta")
    parameters = [node.float(name, 0.0) for name in names if node.has(name)]
    return _activated(context, gemm(node, context), node.attribute("activation", ""), parameters)


def fused_matmul(node: Node, context: Translation) -> Value:
    """FusedMatMul: alpha * A @ B, either operand with its last axes swapped, or its first axis before the last."""
    operands = []
    for index, name in enumerate(("A", "B")):
        x = node.input(index)
        if node.int(f"transBatch{name}", 0):
            x = context.transpose(x, [*range(1, x.type.rank - 1), 0, x.type.rank - 1])
        if node.int(f"trans{name}", 0) and x.type.rank > 1:
            x = context.transpose(x, [*range(x.type.rank - 2), x.type.rank - 1, x.type.rank - 2])
        operands.append(x)
    product, alpha = matmul(with_inputs(node, *operands), context), node.float("alpha", 1.0)
    return product if alpha == 1 else context.mul(product, context.like(product, alpha))


def _gelu(approximate: bool) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        x, bias = node.input(0), node.optional(1)
        return context.emit("gelu", [x if bias is None else context.add(x, bias)], approximate=approximate)

    return translate


def quick_gelu(node: Node, context: Translation) -> Value:
    """QuickGelu: x * sigmoid(alpha * x)."""
    x = node.input(0)
    bent = context.mul(x, context.like(x, node.float("alpha", 1.702)))
    return context.mul(x, context.emit("logistic", [bent]))


def matmul_of_blocks(node: Node, context: Translation) -> Value:
    """MatMulNBits: constant weights of 2, 4 or 8 bits, whose blocks have a scale each, as real weights."""
    a, codes, scales = node.input(0), node.required_array(1), node.required_array(2)
    columns, rows, bits, block = node.int("N", 0), node.int("K", 0), node.int("bits", 4), node.int("block_size", 32)
    plain = codes.dtype == np.uint8 and node.optional(4) is None
    if bits not in (2, 4, 8) or min(columns, rows, block) < 1 or not plain:
        raise Refusal(f"weights of {bits} bits in blocks of {block}, or in another order, are not supported")
    blocks = -(-rows // block)
    whole = _unpacked(codes.reshape(columns, -1), bits).reshape(columns, blocks, -1)[:, :, :block].astype(np.float32)
    points = node.array(3)
    if points is None:
        offset = np.full((columns, blocks), float(1 << (bits - 1)), np.float32)
    elif points.dtype == np.uint8:
        offset = _unpacked(points.reshape(columns, -1), bits)[:, :blocks].astype(np.float32)
    else:
        offset = points.reshape(columns, blocks).astype(np.float32)
    weights = (whole - offset[..., None]) * scales.reshape(columns, blocks, 1).astype(np.float32)
    real = context.constant(weights.reshape(columns, -1)[:, :rows])
    if a.shape[-1] != rows:
        raise Refusal(f"{list(a.shape)} does not fit weights of {rows} rows")
    bias = node.optional(5)
    added = bias is not None and bias.data is None  # the op takes constant biases only
    product = context.emit("fully_connected", [a, real, None if added else bias], keep_num_dims=a.type.rank > 2)
    return context.add(product, bias) if bias is not None and added else product


def _unpacked(codes: np.ndarray, bits: int) -> np.ndarray:
    """Codes of a byte's parts, the lowest first."""
    parts = [(codes >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, -1).reshape(codes.shape[0], -1)


def erf_gelu(node: Node, context: Translation) -> Value:
    """Gelu: x * (1 + erf(x / sqrt(2))) / 2."""
    return context.emit("gelu", [node.input(0)], approximate=False)


CONTRIB_OPS: dict[str, Translate] = {
    "BiasGelu": _gelu(approximate=False),
    "FastGelu": _gelu(approximate=True),
    "FusedConv": fused_conv,
    "FusedGemm": fused_gemm,
    "FusedMatMul": fused_matmul,
    "Gelu": erf_gelu,
    "MatMulNBits": matmul_of_blocks,
    "QuickGelu": quick_gelu,
    "TransposeMatMul": fused_matmul,
}
