"""Normalizations, written out in elementary ops in ONNX's own layout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.graph import Value

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def batch_normalization(node: Node, context: Translation) -> Result:
    """BatchNormalization at inference: (x - mean) * scale / sqrt(var + epsilon) + bias, as one product and one sum.

    In training mode it takes the statistics of x. That is computed for constants, which is how weights are
    standardized in front of a convolution; at run time it is the sign of a model exported for training.
    """
    x = node.input(0)
    if node.int("training_mode", 0) or any(node.outputs[1:]):
        return _normalized_by_own_statistics(node, context)
    if not node.int("spatial", 1):
        raise Refusal("statistics for each position (spatial = 0) are not supported")
    if x.type.rank < 2:
        raise Refusal(f"its operand {list(x.shape)} has no channel axis")
    parameters = [_per_channel(context, node, i) for i in (1, 2, 3, 4)]
    epsilon = node.float("epsilon", 1e-5)
    if all(p.is_constant for p in parameters):
        scale, bias, mean, variance = (p.array().astype(np.float64) for p in parameters)
        factor = scale / np.sqrt(variance + epsilon)
        product = context.mul(x, context.constant(factor, x.dtype))
        return context.add(product, context.constant(bias - mean * factor, x.dtype))
    return affine(
        context, context.mul(context.sub(x, parameters[2]), inverse_root(context, parameters[3], epsilon)),
        parameters[0], parameters[1],
    )  # fmt: skip


def _normalized_by_own_statistics(node: Node, context: Translation) -> Result:
    """Y, the running mean and variance, and those of x itself (which opsets before 14 give, too)."""
    operands = [node.input(i).data for i in range(5)]
    if any(operand is None for operand in operands) or not node.int("spatial", 1):
        raise Refusal("batch normalization in training mode is not supported; export the model in eval mode")
    x, scale, bias, running_mean, running_variance = (np.asarray(o, np.float64) for o in operands)
    if x.ndim < 2 or any(len(p) != x.shape[1] for p in (scale, bias, running_mean, running_variance)):
        raise Refusal(f"its operand {list(x.shape)} has no channel axis that its parameters fit")
    others = tuple(axis for axis in range(x.ndim) if axis != 1)
    mean, variance = x.mean(others), x.var(others)
    factor, along = scale / np.sqrt(variance + node.float("epsilon", 1e-5)), (-1, *[1] * (x.ndim - 2))
    result = (x - mean.reshape(along)) * factor.reshape(along) + bias.reshape(along)
    kept = node.float("momentum", 0.9)
    running = [old * kept + new * (1 - kept) for old, new in ((running_mean, mean), (running_variance, variance))]
    arrays = (result, *running, mean, variance)
    return [context.constant(array, node.input(0).dtype) for array in arrays[: len(node.outputs)]]


def _per_channel(context: Translation, node: Node, index: int) -> Value:
    """An operand of one number a channel, shaped to broadcast along axis 1."""
    x, value = node.input(0), node.input(index)
    if value.shape != (x.shape[1],):
        raise Refusal(f"its input {index} has shape {list(value.shape)} for {x.shape[1]} channels")
    return context.reshape(value, [x.shape[1], *[1] * (x.type.rank - 2)])


def layer_normalization(node: Node, context: Translation) -> Result:
    """LayerNormalization over the axes from `axis` on, with the outputs Mean and InvStdDev where they are asked for."""
    x = node.input(0)
    axis = _axis(node, x, -1)
    result, mean, inverse = standardized(context, x, range(axis, x.type.rank), node.float("epsilon", 1e-5))
    return [affine(context, result, node.input(1), node.optional(2)), mean, inverse]


def rms_normalization(node: Node, context: Translation) -> Value:
    """RMSNormalization: x / sqrt(mean(x²) + epsilon) * scale over the axes from `axis` on."""
    x = node.input(0)
    axes = list(range(_axis(node, x, -1), x.type.rank))
    power = context.emit("mean", [context.emit("square", [x]), context.ints(axes)], keep_dims=True)
    inverse = inverse_root(context, power, node.float("epsilon", 1e-5))
    return context.mul(context.mul(x, inverse), node.input(1))


def instance_normalization(node: Node, context: Translation) -> Value:
    """InstanceNormalization: over the spatial axes of each channel."""
    x = node.input(0)
    if x.type.rank < 3:
        raise Refusal(f"its operand {list(x.shape)} has no spatial axis")
    result, _, _ = standardized(context, x, range(2, x.type.rank), node.float("epsilon", 1e-5))
    shape = [x.shape[1], *[1] * (x.type.rank - 2)]
    return affine(context, result, *(context.reshape(node.input(i), shape) for i in (1, 2)))


def group_normalization(node: Node, context: Translation) -> Value:
    """GroupNormalization; until opset 20 scale and bias have one number a group, since then one a channel."""
    x, groups = node.input(0), node.int("num_groups", 0)
    channels = x.shape[1] if x.type.rank > 2 else 0
    if groups < 1 or not channels or channels % groups:
        raise Refusal(f"{channels} channels do not divide into {groups} groups")
    grouped = context.reshape(x, [x.shape[0], groups, x.type.elements // (x.shape[0] * groups)])
    result, _, _ = standardized(context, grouped, [2], node.float("epsilon", 1e-5))
    if node.opset >= 21:
        shape = [channels, *[1] * (x.type.rank - 2)]
        scale, bias = (context.reshape(node.input(i), shape) for i in (1, 2))
        return affine(context, context.reshape(result, x.shape), scale, bias)
    scale, bias = (context.reshape(node.input(i), [groups, 1]) for i in (1, 2))
    return context.reshape(affine(context, result, scale, bias), x.shape)


def mean_variance_normalization(node: Node, context: Translation) -> Value:
    """MeanVarianceNormalization: (x - mean) / (deviation + 1e-9), as ONNX's own function body has it."""
    x = node.input(0)
    axes = [_checked_axis(int(a), x) for a in node.attribute("axes", [0, 2, 3])]
    mean, variance = _moments(context, x, axes)
    deviation = context.add(context.emit("sqrt", [variance]), context.like(x, 1e-9))
    return context.div(context.sub(x, mean), deviation)


def lp_normalization(node: Node, context: Translation) -> Value:
    """LpNormalization for p = 1 and 2; vectors of zeros stay zeros."""
    x, p = node.input(0), node.int("p", 2)
    axis = context.ints([_axis(node, x, -1)])
    smallest = context.like(x, SMALLEST_NORMAL)
    if p == 1:
        total = context.emit("sum", [context.emit("abs", [x]), axis], keep_dims=True)
        return context.div(x, context.emit("maximum", [total, smallest]))
    if p != 2:
        raise Refusal(f"the norm p = {p} is not supported, only 1 and 2")
    total = context.emit("sum", [context.emit("square", [x]), axis], keep_dims=True)
    return context.mul(x, context.emit("rsqrt", [context.emit("maximum", [total, smallest])]))


def local_response_normalization(node: Node, context: Translation) -> Value:
    """LRN across channels; ONNX divides alpha by the window's size, TFLite does not."""
    x, size = node.input(0), node.int("size", 0)
    if x.type.rank != 4:
        raise Refusal(f"its operand {list(x.shape)} has not rank 4")
    if size < 1 or size % 2 == 0:
        raise Refusal(f"a window of {size} channels is not supported, only odd sizes")
    result = context.emit(
        "local_response_normalization", [context.to_channels_last(x)], radius=size // 2,
        bias=node.float("bias", 1.0), alpha=node.float("alpha", 1e-4) / size, beta=node.float("beta", 0.75),
    )  # fmt: skip
    return context.to_channels_first(result)


def _axis(node: Node, x: Value, default: int) -> int:
    return _checked_axis(node.int("axis", default), x)


def _checked_axis(axis: int, x: Value) -> int:
    if not -x.type.rank <= axis < x.type.rank:
        raise Refusal(f"axis {axis} is outside rank {x.type.rank}")
    return axis % x.type.rank


def _moments(context: Translation, x: Value, axes: Sequence[int]) -> tuple[Value, Value]:
    reduced = context.ints(list(axes))
    mean = context.emit("mean", [x, reduced], keep_dims=True)
    return mean, context.emit("mean", [context.emit("squared_difference", [x, mean]), reduced], keep_dims=True)


def standardized(context: Translation, x: Value, axes: Sequence[int], epsilon: float) -> tuple[Value, Value, Value]:
    """(x - mean) / sqrt(var + epsilon), the mean and the inverse deviation, over `axes`."""
    mean, variance = _moments(context, x, axes)
    inverse = inverse_root(context, variance, epsilon)
    return context.mul(context.sub(x, mean), inverse), mean, inverse


def inverse_root(context: Translation, power: Value, epsilon: float) -> Value:
    """1 / sqrt(power + epsilon)."""
    return context.emit("rsqrt", [context.add(power, context.like(power, epsilon))])


def affine(context: Translation, x: Value, scale: Value, bias: Value | None) -> Value:
    """x * scale + bias."""
    scaled = context.mul(x, scale)
    return scaled if bias is None else context.add(scaled, bias)


TRANSLATIONS: dict[str, Translate] = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": local_response_normalization,
    "LayerNormalization": layer_normalization,
    "LpNormalization": lp_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": rms_normalization,
}
