"""Resize and Upsample: TFLite's resize ops where they sample at the same places, else gathers and matrix products."""

from __future__ import annotations

import math

import numpy as np

from edgec.frontends.onnx.interpolation import (
    Axis,
    Sampling,
    onnx_positions,
    onnx_weights,
    tflite_positions,
    tflite_weights,
)
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.resize_at_run_time import CROP, MovedAxis, resized_at_run_time
from edgec.frontends.onnx.runtime_operands import element
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.frontends.onnx.widening import FLOAT, computed_in
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

_NEAREST = (DType.FLOAT32, DType.INT8, DType.UINT8, DType.INT16)
_GRIDS = ((False, True), (False, False), (True, False))  # (align_corners, half_pixel_centers) of TFLite's ops
MAX_RESULT_BYTES = 2 << 30
MAX_AXIS = 1 << 20  # positions along a resized axis
MAX_WEIGHTS = 1 << 25  # of a resized axis that TFLite has no op for, sizes before times after: 128 MiB
_SAME_WEIGHT = 1e-5  # weights that differ by less are the same: scales such as 1.3333 are rounded to float32


def resize(node: Node, context: Translation) -> Value:
    """Resize by constant scales or sizes; modes nearest, linear and cubic."""
    x = node.input(0)
    if node.opset < 11:
        sampling = Sampling(node.attribute("mode", "nearest"), "asymmetric", "before opset 11")
        return _resized(context, x, _axes_by_scales(x, _floats(node, 1)), sampling)
    sampling = Sampling(
        node.attribute("mode", "nearest"),
        node.attribute("coordinate_transformation_mode", "half_pixel"),
        node.attribute("nearest_mode", "round_prefer_floor"),
        node.float("cubic_coeff_a", -0.75),
        bool(node.int("exclude_outside", 0)),
        bool(node.int("antialias", 0)),
    )
    stated = _stated_at_run_time(node, x)
    if stated is not None:
        return _at_run_time(node, context, x, stated, sampling)
    return _resized(context, x, _wanted_axes(node, x), sampling)


def _stated_at_run_time(node: Node, x: Value) -> list[int] | None:
    """The sizes of the result where scales or a region come at run time, None where all of it is known."""
    crops = node.attribute("coordinate_transformation_mode", "half_pixel") == CROP
    known = node.is_constant(2) and node.is_constant(3)
    if known and not crops:
        return None
    if known:
        return [axis.wanted for axis in _wanted_axes(node, x)]
    wanted = node.declared_shape()
    if len(wanted) != x.type.rank or 0 in wanted or 0 in x.shape:
        raise Refusal(f"the model states the shape {list(wanted)} for a resize of {list(x.shape)}")
    return list(wanted)


def _at_run_time(node: Node, context: Translation, x: Value, wanted: list[int], sampling: Sampling) -> Value:
    rank = x.type.rank
    named = [normalize_axis(int(axis), rank) for axis in node.attribute("axes", list(range(rank)))]
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    sizes, scales = node.optional(3), node.optional(2)
    by_scales = scales is not None and scales.type.elements > 0
    if not by_scales and policy == "stretch" and sampling.coordinates != CROP:
        axes = [Axis(size, want, want / size) for size, want in zip(x.shape, wanted)]
        return _resized(context, x, axes, sampling)
    if not x.dtype.is_float and sampling.mode != "nearest":
        raise Refusal(f"mode '{sampling.mode}' on {x.dtype.value} rounds as no TFLite kernel does")
    if by_scales:
        assert scales is not None
        every = context.cast(scales, FLOAT[0])
    else:
        assert sizes is not None
        old = context.constant(np.array([x.shape[axis] for axis in named], np.float32))
        every = context.div(context.cast(sizes, FLOAT[0]), old)
        if policy != "stretch":
            opcode = {"not_larger": "reduce_min", "not_smaller": "reduce_max"}[policy]
            one = context.emit(opcode, [every, context.ints([0])], keep_dims=True)
            every = context.emit("broadcast_to", [one, context.ints([len(named)])])
    moved = []
    for place, axis in enumerate(named):
        region = None
        if sampling.coordinates == CROP:
            region = _number(context, node.input(1), place), _number(context, node.input(1), place + len(named))
        elif x.shape[axis] == wanted[axis] == 1:
            continue
        moved.append(MovedAxis(axis, x.shape[axis], wanted[axis], _number(context, every, place), region))
    return resized_at_run_time(context, x, moved, sampling, node.float("extrapolation_value", 0.0))


def _number(context: Translation, values: Value, index: int) -> Value:
    """One number of a vector, as a scalar."""
    if values.data is not None:
        return context.constant(values.data[index], values.dtype)
    return context.reshape(element(context, values, index), [])


def upsample(node: Node, context: Translation) -> Value:
    """Upsample, with the scales as an attribute before opset 9."""
    x = node.input(0)
    if not node.is_constant(1):
        sampling = Sampling(node.attribute("mode", "nearest"), "asymmetric", "before opset 11")
        wanted = node.declared_shape()
        moved = [
            MovedAxis(axis, size, wanted[axis], _number(context, node.input(1), axis))
            for axis, size in enumerate(x.shape)
            if not size == wanted[axis] == 1
        ]
        return resized_at_run_time(context, x, moved, sampling)
    scales = [float(s) for s in node.attribute("scales")] if node.has("scales") else _floats(node, 1)
    sampling = Sampling(node.attribute("mode", "nearest"), "asymmetric", "before opset 11")
    return _resized(context, x, _axes_by_scales(x, scales), sampling)


def _floats(node: Node, index: int) -> list[float]:
    data = node.array(index)
    return [] if data is None else [float(v) for v in data.reshape(-1)]


def _axes_by_scales(x: Value, scales: list[float]) -> list[Axis]:
    if len(scales) != x.type.rank:
        raise Refusal(f"{len(scales)} scales do not fit {list(x.shape)}")
    # onnxruntime multiplies in float32
    return [Axis(size, int(np.floor(np.float32(size) * np.float32(s))), s) for size, s in zip(x.shape, scales)]


def _wanted_axes(node: Node, x: Value) -> list[Axis]:
    rank = x.type.rank
    named = [normalize_axis(int(axis), rank) for axis in node.attribute("axes", list(range(rank)))]
    scales, sizes = _floats(node, 2), node.ints(3) or []
    if scales:
        every = dict(zip(named, scales)) if len(scales) == len(named) else {}
        return _axes_by_scales(x, [every.get(axis, 1.0) for axis in range(rank)] if every else scales)
    if len(sizes) != len(named):
        raise Refusal(f"{len(sizes)} sizes do not fit {len(named)} axes of {list(x.shape)}")
    policy = node.attribute("keep_aspect_ratio_policy", "stretch")
    ratios = [size / x.shape[axis] for axis, size in zip(named, sizes)]
    axes = [Axis(size, size, 1.0) for size in x.shape]
    for axis, size, ratio in zip(named, sizes, ratios):
        if policy != "stretch":
            ratio = {"not_larger": min, "not_smaller": max}[policy](ratios)
            size = int(np.floor(ratio * x.shape[axis] + 0.5))
        axes[axis] = Axis(x.shape[axis], size, ratio)
    return axes


def _resized(context: Translation, x: Value, axes: list[Axis], sampling: Sampling) -> Value:
    if any(axis.wanted < 1 for axis in axes):
        raise Refusal(f"the result of {list(x.shape)} would be empty")
    _check_sizes(x, axes, sampling)
    if sampling.mode == "nearest":
        return _nearest(context, x, axes, sampling)
    if sampling.mode not in ("linear", "cubic"):
        raise Refusal(f"mode '{sampling.mode}' is unknown")
    if not x.dtype.is_float:
        raise Refusal(f"mode '{sampling.mode}' on {x.dtype.value} rounds as no TFLite kernel does")
    wide = context.cast(x, computed_in(x.dtype, FLOAT))
    return context.cast(_interpolated(context, wide, axes, sampling), x.dtype)


def _check_sizes(x: Value, axes: list[Axis], sampling: Sampling) -> None:
    """Refuse what would take minutes or all memory to compute: 100 bytes of a file may ask for it."""
    wanted = [axis.wanted for axis in axes]
    if math.prod(wanted) * x.dtype.numpy.itemsize > MAX_RESULT_BYTES:
        raise Refusal(f"its result of shape {wanted} is larger than 2 GiB")
    for axis in axes:
        if axis.wanted > MAX_AXIS and not axis.is_kept:
            raise Refusal(f"an axis of {axis.wanted} is longer than the {MAX_AXIS} that edgec resizes to")


def _nearest(context: Translation, x: Value, axes: list[Axis], sampling: Sampling) -> Value:
    positions = [onnx_positions(axis, sampling) for axis in axes]
    moved = [i for i, axis in enumerate(axes) if not np.array_equal(positions[i], np.arange(axis.size))]
    if x.dtype in _NEAREST:
        for align_corners, half_pixel in _GRIDS:
            if all(np.array_equal(positions[i], tflite_positions(axes[i], align_corners, half_pixel)) for i in moved):
                found = _as_image(context, x, axes, moved, "resize_nearest_neighbor", align_corners, half_pixel)
                if found is not None:
                    return found
    for i in moved:
        x = context.emit("gather", [x, context.ints(positions[i].tolist())], axis=i)
    return x


def _interpolated(context: Translation, x: Value, axes: list[Axis], sampling: Sampling) -> Value:
    moved = [i for i, axis in enumerate(axes) if not axis.is_kept]
    weights = {i: onnx_weights(axes[i], sampling) for i in moved}
    for align_corners, half_pixel in _GRIDS:
        grid = {i: tflite_weights(axes[i], align_corners, half_pixel) for i in moved}
        if all(weights[i].largest_difference(grid[i]) < _SAME_WEIGHT for i in moved):
            found = _as_image(context, x, axes, moved, "resize_bilinear", align_corners, half_pixel)
            if found is not None:
                return found
    for i in moved:
        swap = list(range(x.type.rank))
        swap[i], swap[-1] = swap[-1], swap[i]
        if axes[i].wanted * axes[i].size > MAX_WEIGHTS:
            sizes = f"from {axes[i].size} to {axes[i].wanted} positions"
            raise Refusal(f"mode '{sampling.mode}' {sizes} needs too many weights")
        matrix = context.constant(weights[i].dense())
        product = context.emit("fully_connected", [context.transpose(x, swap), matrix, None], keep_num_dims=True)
        x = context.transpose(product, swap)
    return x


def _as_image(
    context: Translation, x: Value, axes: list[Axis], moved: list[int], opcode: str, align_corners: bool,
    half_pixel: bool,
) -> Value | None:  # fmt: skip
    """TFLite's op where the axes to resize are those of an image, channels first or last; else None."""
    if not moved:
        return x

    def emit(image: Value, size: list[int]) -> Value:
        operands = [image, context.ints(size)]
        return context.emit(opcode, operands, align_corners=align_corners, half_pixel_centers=half_pixel)

    wanted = [axis.wanted for axis in axes]
    if x.type.rank == 4 and set(moved) <= {2, 3}:
        return context.to_channels_first(emit(context.to_channels_last(x), wanted[2:]))
    if x.type.rank == 4 and set(moved) <= {1, 2}:
        return emit(x, wanted[1:3])
    if x.type.rank == 3 and moved == [2]:
        row = context.to_channels_last(context.reshape(x, [*x.shape[:2], 1, x.shape[2]]))
        return context.reshape(context.to_channels_first(emit(row, [1, wanted[2]])), wanted)
    if x.type.rank == 2:
        image = context.reshape(x, [1, *x.shape, 1])
        return context.reshape(emit(image, wanted), wanted)
    return None


TRANSLATIONS: dict[str, Translate] = {"Resize": resize, "Upsample": upsample}
