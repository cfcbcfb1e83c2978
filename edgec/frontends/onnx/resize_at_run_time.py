"""Resize by scales, or of a region, that are only known at run time; the model states the sizes of the result.

Every axis is sampled at positions computed from the scale: `nearest` gathers, the other modes multiply by a matrix of
kernel weights [wanted, size] that is computed in the graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.frontends.onnx.interpolation import Sampling
from edgec.frontends.onnx.node import Refusal
from edgec.frontends.onnx.translation import Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

CROP = "tf_crop_and_resize"
MAX_WEIGHTS = 1 << 24


@dataclass(frozen=True)
class MovedAxis:
    """An axis of `size` that becomes `wanted`; `scale` is a scalar, `region` start and end of what is kept."""

    index: int
    size: int
    wanted: int
    scale: Value
    region: tuple[Value, Value] | None = None


def resized_at_run_time(
    context: Translation, x: Value, axes: list[MovedAxis], sampling: Sampling, outside: float = 0.0
) -> Value:
    """`x` resized along the axes; `outside` fills what a region samples beyond the input."""
    masks = []
    for axis in axes:
        places = _coordinates(context, axis, sampling)
        if axis.region is not None:
            masks.append(_inside(context, axis, places, x.type.rank))
        x = _sampled(context, x, axis, places, sampling)
    for mask in masks:
        x = context.emit("select_v2", [mask, x, context.like(x, outside)])
    return x


def _coordinates(context: Translation, axis: MovedAxis, sampling: Sampling) -> Value:
    """float32 [wanted]: where in the input each output position lies."""
    counted = np.arange(axis.wanted, dtype=np.float32)
    mode, scale = sampling.coordinates, axis.scale
    half = context.constant(np.float32(0.5))
    if mode == "asymmetric":
        return context.div(context.constant(counted), scale)
    if mode in ("half_pixel", "half_pixel_symmetric") or (mode == "pytorch_half_pixel" and axis.wanted > 1):
        places = context.sub(context.div(context.constant(counted + np.float32(0.5)), scale), half)
        if mode != "half_pixel_symmetric":
            return places
        exact = context.mul(context.constant(np.float32(axis.size)), scale)
        ratio = context.div(context.constant(np.float32(axis.wanted)), exact)
        shift = context.sub(context.constant(np.float32(1)), ratio)
        return context.add(places, context.mul(context.constant(np.float32(axis.size / 2)), shift))
    if mode in ("align_corners", "pytorch_half_pixel"):
        step = np.float32(axis.size - 1) / np.float32(max(axis.wanted - 1, 1))
        return context.constant(counted * step if mode == "align_corners" else counted * 0)
    if mode != CROP or axis.region is None:
        raise Refusal(f"coordinate_transformation_mode '{mode}' with scales of run time is not supported")
    start, end = axis.region
    last = context.constant(np.float32(axis.size - 1))
    if axis.wanted == 1:
        middle = context.mul(context.mul(context.add(start, end), half), last)
        return context.add(context.constant(counted), middle)
    span = context.mul(context.sub(end, start), last)
    steps = context.mul(context.constant(counted / np.float32(axis.wanted - 1)), span)
    return context.add(steps, context.mul(start, last))


def _inside(context: Translation, axis: MovedAxis, places: Value, rank: int) -> Value:
    above = context.emit("greater_equal", [places, context.like(places, 0)])
    below = context.emit("less_equal", [places, context.like(places, axis.size - 1)])
    shape = [axis.wanted if i == axis.index else 1 for i in range(rank)]
    return context.reshape(context.emit("logical_and", [above, below]), shape)


def _sampled(context: Translation, x: Value, axis: MovedAxis, places: Value, sampling: Sampling) -> Value:
    if sampling.mode == "nearest":
        return context.emit("gather", [x, _nearest(context, axis, places, sampling.nearest_mode)], axis=axis.index)
    swap = list(range(x.type.rank))
    swap[axis.index], swap[-1] = swap[-1], swap[axis.index]
    turned = context.transpose(x, swap)
    rows = context.reshape(turned, [turned.type.elements // axis.size, axis.size])
    product = context.emit("batch_matmul", [rows, _matrix(context, axis, places, sampling)], adj_y=True)
    return context.transpose(context.reshape(product, [*turned.shape[:-1], axis.wanted]), swap)


def _nearest(context: Translation, axis: MovedAxis, places: Value, mode: str) -> Value:
    half = context.like(places, 0.5)
    if mode in ("floor", "before opset 11"):
        rounded = context.emit("floor", [places])
    elif mode == "ceil":
        rounded = context.emit("ceil", [places])
    elif mode == "round_prefer_ceil":
        rounded = context.emit("floor", [context.add(places, half)])
    elif mode == "round_prefer_floor":
        rounded = context.emit("ceil", [context.sub(places, half)])
    else:
        raise Refusal(f"nearest_mode '{mode}' is unknown")
    limited = context.emit("maximum", [rounded, context.like(rounded, 0)])
    limited = context.emit("minimum", [limited, context.like(rounded, axis.size - 1)])
    return context.cast(limited, DType.INT32)


def _matrix(context: Translation, axis: MovedAxis, places: Value, sampling: Sampling) -> Value:
    """Weights [wanted, size]: the kernel over the input's positions and some beyond it, which are folded into the edge.

    Antialiasing widens the kernel by the factor by which the axis shrinks, at most size / wanted.
    """
    reach = 3
    if sampling.antialias:
        reach = 2 * -(-axis.size // axis.wanted) + 3
    beyond = 0 if sampling.exclude_outside else reach
    columns = np.arange(-beyond, axis.size + beyond, dtype=np.float32)
    distance = context.sub(context.reshape(places, [axis.wanted, 1]), context.constant(columns[None]))
    distance = context.emit("abs", [distance])
    if sampling.antialias:
        narrower = context.emit("minimum", [axis.scale, context.constant(np.float32(1))])
        distance = context.mul(distance, narrower)
    weights = _cubic(context, distance, sampling.cubic_a) if sampling.mode == "cubic" else _linear(context, distance)
    if sampling.antialias or sampling.exclude_outside:
        weights = context.div(weights, context.emit("sum", [weights, context.ints([1])], keep_dims=True))
    if not beyond:
        return weights
    if axis.size * len(columns) > MAX_WEIGHTS:
        raise Refusal(f"an axis of {axis.size} positions is too long for weights that are computed at run time")
    fold = np.zeros((axis.size, len(columns)), np.float32)
    fold[np.clip(columns, 0, axis.size - 1).astype(int), np.arange(len(columns))] = 1
    return context.emit("fully_connected", [weights, context.constant(fold), None])


def _linear(context: Translation, distance: Value) -> Value:
    return context.emit("relu", [context.sub(context.like(distance, 1), distance)])


def _cubic(context: Translation, distance: Value, a: float) -> Value:
    """Keys' kernel with parameter a, by Horner's rule on both pieces."""

    def polynomial(*factors: float) -> Value:
        result = context.like(distance, factors[0])
        for factor in factors[1:]:
            result = context.add(context.mul(result, distance), context.like(distance, factor))
        return result

    inner, outer = polynomial(a + 2, -(a + 3), 0, 1), polynomial(a, -5 * a, 8 * a, -4 * a)
    near = context.emit("less_equal", [distance, context.like(distance, 1)])
    far = context.emit("less", [distance, context.like(distance, 2)])
    outer = context.emit("select_v2", [far, outer, context.like(distance, 0)])
    return context.emit("select_v2", [near, inner, outer])
