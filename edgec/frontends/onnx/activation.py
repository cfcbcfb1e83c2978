"""Activation functions; those TFLite lacks are written in ops it has."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

MAX_BROADCAST_RANK = 4  # of LiteRT's prelu
SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875  # the ONNX specification's


def _same_name(opcode: str) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        return context.emit(opcode, [node.input(0)])

    return translate


def relu(node: Node, context: Translation) -> Value:
    """Relu, also of integers."""
    x = node.input(0)
    return context.emit("relu", [x]) if x.dtype.is_float else context.emit("maximum", [x, context.like(x, 0)])


# -- limits ------------------------------------------------------------------------------------------------------------

_CLIPS = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (0.0, 1.0): "relu_0_to_1", (-1.0, 1.0): "relu_n1_to_1"}


def clip(node: Node, context: Translation) -> Value:
    """Clip: one of TFLite's ReLUs where the limits are constants that fit, else maximum and minimum."""
    x = node.input(0)
    low, high = _limit(node, context, 1, "min", -math.inf), _limit(node, context, 2, "max", math.inf)
    if x.dtype is DType.FLOAT32 and not isinstance(low, Value) and not isinstance(high, Value):
        opcode = _CLIPS.get((low, high))
        if opcode is not None:
            return context.emit(opcode, [x])
    if isinstance(low, Value) or math.isfinite(low):
        x = context.emit("maximum", [x, low if isinstance(low, Value) else context.like(x, low)])
    if isinstance(high, Value) or math.isfinite(high):
        x = context.emit("minimum", [x, high if isinstance(high, Value) else context.like(x, high)])
    return x


def _limit(node: Node, context: Translation, index: int, name: str, none: float) -> Value | float:
    """A limit as a number, infinite where there is none; as a value where it is computed at run time."""
    if node.opset < 11:
        limit = float(np.float32(node.float(name, none)))
    else:
        value = node.optional(index)
        if value is None:
            return none
        if value.type.elements != 1:
            raise Refusal(f"its limit '{value.name}' has shape {list(value.shape)}, it must be a scalar")
        if value.data is None:
            return context.reshape(value, [])
        limit = value.data.reshape(()).item()
    dtype = node.input(0).dtype
    span = np.finfo(dtype.numpy) if dtype.is_float else np.iinfo(dtype.numpy)
    if (name == "min" and limit <= span.min) or (name == "max" and limit >= span.max):
        return none
    return limit


# -- rectifiers --------------------------------------------------------------------------------------------------------


def leaky_relu(node: Node, context: Translation) -> Value:
    """LeakyRelu: x where it is positive, else alpha * x."""
    return context.emit("leaky_relu", [node.input(0)], alpha=node.float("alpha", 0.01))


def prelu(node: Node, context: Translation) -> Value:
    """PRelu; the slope broadcasts to the operand in ONNX's layout, until opset 6 it stands for the channels."""
    x, slope = node.input(0), node.input(1)
    if node.opset < 7 and slope.type.rank == 1:
        slope = context.reshape(slope, [slope.shape[0], *[1] * (x.type.rank - 2)])
    if x.dtype.is_float and x.type.rank <= MAX_BROADCAST_RANK and slope.type.rank <= MAX_BROADCAST_RANK:
        return context.emit("prelu", [x, slope])
    zero = context.like(x, 0)
    negative = context.mul(context.emit("minimum", [x, zero]), slope)
    return context.add(context.emit("maximum", [x, zero]), negative)


def thresholded_relu(node: Node, context: Translation) -> Value:
    """ThresholdedRelu: x where it exceeds alpha, else 0."""
    x = node.input(0)
    above = context.emit("greater", [x, context.like(x, node.float("alpha", 1.0))])
    return context.emit("select_v2", [above, x, context.like(x, 0)])


def shrink(node: Node, context: Translation) -> Value:
    """Shrink: 0 within lambd of 0, else x moved toward 0 by bias."""
    x = node.input(0)
    limit, bias = node.float("lambd", 0.5), node.float("bias", 0.0)
    above = context.emit("greater", [x, context.like(x, limit)])
    below = context.emit("less", [x, context.like(x, -limit)])
    lower = context.emit("select_v2", [below, context.add(x, context.like(x, bias)), context.like(x, 0)])
    return context.emit("select_v2", [above, context.sub(x, context.like(x, bias)), lower])


# -- exponential units -------------------------------------------------------------------------------------------------


def elu(node: Node, context: Translation) -> Value:
    """Elu: x where it is positive, else alpha * (exp(x) - 1)."""
    return _scaled_elu(context, node.input(0), 1.0, node.float("alpha", 1.0))


def selu(node: Node, context: Translation) -> Value:
    """Selu: gamma * elu(x, alpha)."""
    gamma = node.float("gamma", SELU_GAMMA)
    return _scaled_elu(context, node.input(0), gamma, gamma * node.float("alpha", SELU_ALPHA))


def _scaled_elu(context: Translation, x: Value, positive: float, negative: float) -> Value:
    """positive * x where x > 0, else negative * (exp(x) - 1): the two sides apart, then added."""
    if positive == negative:
        return _times(context, context.emit("elu", [x]), positive)
    below = context.emit("elu", [context.emit("minimum", [x, context.like(x, 0)])])
    above = _times(context, context.emit("relu", [x]), positive)
    return context.add(above, _times(context, below, negative))


def celu(node: Node, context: Translation) -> Value:
    """Celu: alpha * elu(x / alpha), which is x where x is positive."""
    x, alpha = node.input(0), node.float("alpha", 1.0)
    if alpha <= 0:
        raise Refusal(f"alpha must be positive, found {alpha:g}")
    return _times(context, context.emit("elu", [_times(context, x, 1 / alpha)]), alpha)


def _times(context: Translation, x: Value, factor: float) -> Value:
    return x if factor == 1.0 else context.mul(x, context.like(x, factor))


# -- sigmoids ----------------------------------------------------------------------------------------------------------


def hard_sigmoid(node: Node, context: Translation) -> Value:
    """HardSigmoid: clip(alpha * x + beta, 0, 1), written as relu6(6 * alpha * x + 6 * beta) / 6.

    TFLM has a kernel for relu6 and none for relu_0_to_1; the exporters' alpha = 1/6 needs no product before it.
    """
    x, alpha, beta = node.input(0), node.float("alpha", 0.2), node.float("beta", 0.5)
    slope = 1.0 if math.isclose(6 * alpha, 1.0, rel_tol=1e-6) else 6 * alpha
    shifted = _times(context, x, slope)
    if beta:
        shifted = context.add(shifted, context.like(x, 6 * beta))
    return _times(context, context.emit("relu6", [shifted]), 1 / 6)


def gelu(node: Node, context: Translation) -> Value:
    """Gelu, exact or in the tanh approximation."""
    mode = node.attribute("approximate", "none")
    if mode not in ("none", "tanh"):
        raise Refusal(f"approximation '{mode}' is unknown")
    return context.emit("gelu", [node.input(0)], approximate=mode == "tanh")


def softplus(node: Node, context: Translation) -> Value:
    """Softplus: log(1 + exp(x))."""
    return _softplus(context, node.input(0))


def _softplus(context: Translation, x: Value) -> Value:
    """max(x, 0) - log(sigmoid(|x|)), which overflows nowhere."""
    tail = context.emit("log", [context.emit("logistic", [context.emit("abs", [x])])])
    return context.sub(context.emit("relu", [x]), tail)


def softsign(node: Node, context: Translation) -> Value:
    """Softsign: x / (1 + |x|)."""
    x = node.input(0)
    return context.div(x, context.add(context.emit("abs", [x]), context.like(x, 1)))


def mish(node: Node, context: Translation) -> Value:
    """Mish: x * tanh(softplus(x))."""
    x = node.input(0)
    return context.mul(x, context.emit("tanh", [_softplus(context, x)]))


# -- over an axis ------------------------------------------------------------------------------------------------------


def _over_axis(opcode: str, **attributes: float) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        return _along_axis(node, context, lambda x: context.emit(opcode, [x], **attributes))

    return translate


def _along_axis(node: Node, context: Translation, function: Callable[[Value], Value]) -> Value:
    """Apply a function over the last axis to the axis the node names.

    Until opset 12 all axes from the named one on count as one.
    """
    x = node.input(0)
    rank = x.type.rank
    axis = node.int("axis", -1 if node.opset >= 13 else 1)
    if not -rank <= axis < max(rank, 1) and not (node.opset < 13 and axis == rank):
        raise Refusal(f"axis {axis} is outside rank {rank}")
    axis = axis % rank if axis < rank and rank else axis
    trailing = x.shape[axis + 1 :]
    if all(size == 1 for size in trailing) or node.opset < 13:
        rows = x.shape[:axis] if not trailing else (math.prod(x.shape[:axis]),)
        flat = context.reshape(x, [*rows, math.prod(x.shape[axis:])])
        return context.reshape(function(flat), x.shape)
    order = [*[i for i in range(rank) if i != axis], axis]
    result = function(context.transpose(x, order))
    return context.transpose(result, [order.index(i) for i in range(rank)])


def hardmax(node: Node, context: Translation) -> Value:
    """Hardmax: 1 at the first maximum along the axis, else 0."""

    def one_hot(x: Value) -> Value:
        position = context.emit("arg_max", [x, context.ints(-1)], output_type="INT32")
        on, off = context.like(x, 1), context.like(x, 0)
        return context.emit("one_hot", [position, context.ints(x.shape[-1]), on, off], axis=-1)

    return _along_axis(node, context, one_hot)


TRANSLATIONS: dict[str, Translate] = {
    "Celu": celu,
    "Clip": clip,
    "Elu": elu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": _same_name("hard_swish"),
    "Hardmax": hardmax,
    "LeakyRelu": leaky_relu,
    "LogSoftmax": _over_axis("log_softmax"),
    "Mish": mish,
    "PRelu": prelu,
    "Relu": relu,
    "Selu": selu,
    "Sigmoid": _same_name("logistic"),
    "Softmax": _over_axis("softmax", beta=1.0),
    "Softplus": softplus,
    "Softsign": softsign,
    "Tanh": _same_name("tanh"),
    "Shrink": shrink,
    "ThresholdedRelu": thresholded_relu,
}
