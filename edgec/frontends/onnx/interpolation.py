"""Where ONNX and TFLite take the samples of a resized axis: positions for nearest, matrices for the other modes.

Positions are computed in float32 where rounding decides (nearest), as onnxruntime and LiteRT do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.frontends.onnx.node import Refusal

Array = np.ndarray


@dataclass(frozen=True)
class Axis:
    """One axis to resize: its sizes and the scale that ONNX's coordinates go by."""

    size: int
    wanted: int
    scale: float

    @property
    def is_kept(self) -> bool:
        """True where the axis stays as it is."""
        return self.size == self.wanted and self.scale == 1.0


@dataclass(frozen=True)
class Sampling:
    """The attributes of Resize that say how to sample."""

    mode: str
    coordinates: str
    nearest_mode: str
    cubic_a: float = -0.75
    exclude_outside: bool = False
    antialias: bool = False


def onnx_coordinates(axis: Axis, mode: str, dtype: Any = np.float64) -> Array:
    """The position in the input for every position of the output, before clamping."""
    x: Array = np.arange(axis.wanted, dtype=dtype)
    scale, half = np.asarray(axis.scale, dtype), np.asarray(0.5, dtype)
    found: Array
    if axis.is_kept:
        found = x
    elif mode == "asymmetric":
        found = x / scale
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and axis.wanted > 1):
        found = (x + half) / scale - half
    elif mode == "half_pixel_symmetric":
        size = np.asarray(axis.size, dtype)
        found = size * half * (1 - axis.wanted / (size * scale)) + (x + half) / scale - half
    elif mode == "tf_half_pixel_for_nn":
        found = (x + half) / scale
    elif mode == "align_corners" and axis.wanted > 1:
        found = x * np.asarray(axis.size - 1, dtype) / np.asarray(axis.wanted - 1, dtype)
    elif mode in ("align_corners", "pytorch_half_pixel"):
        found = np.zeros(axis.wanted, dtype)
    else:
        raise Refusal(f"coordinate_transformation_mode '{mode}' has no TFLite counterpart")
    return found


def onnx_positions(axis: Axis, sampling: Sampling) -> Array:
    """The input position that mode `nearest` takes for every output position."""
    x = onnx_coordinates(axis, sampling.coordinates, np.float32)
    mode = sampling.nearest_mode
    if mode == "before opset 11":  # onnxruntime rounds up where it shrinks
        nearest = np.ceil(x) if axis.scale < 1 else np.floor(x)
    elif mode == "floor":
        nearest = np.floor(x)
    elif mode == "ceil":
        nearest = np.ceil(x)
    elif mode == "round_prefer_ceil":
        nearest = np.floor(x + np.float32(0.5))
    elif mode == "round_prefer_floor":
        nearest = np.ceil(x - np.float32(0.5))
    else:
        raise Refusal(f"nearest_mode '{mode}' is unknown")
    return _clipped(nearest.astype(np.int64), axis)


def _clipped(positions: Array, axis: Axis) -> Array:
    inside: Array = np.minimum(np.maximum(positions, 0), axis.size - 1)
    return inside


def onnx_matrix(axis: Axis, sampling: Sampling) -> Array:
    """The weights [wanted, size] of modes `linear` and `cubic`."""
    x = onnx_coordinates(axis, sampling.coordinates)
    if axis.is_kept:
        return np.eye(axis.size)
    if sampling.antialias:
        return _antialiased_matrix(axis, x, sampling)
    return _cubic_matrix(axis, x, sampling) if sampling.mode == "cubic" else _linear_matrix(axis, x)


def _linear_matrix(axis: Axis, x: Array) -> Array:
    x = np.clip(x, 0, axis.size - 1)
    low = np.floor(x).astype(np.int64)
    matrix = np.zeros((axis.wanted, axis.size))
    rows = np.arange(axis.wanted)
    np.add.at(matrix, (rows, low), 1 - (x - low))
    np.add.at(matrix, (rows, np.minimum(low + 1, axis.size - 1)), x - low)
    return matrix


def _cubic_matrix(axis: Axis, x: Array, sampling: Sampling) -> Array:
    """Cubic convolution over four neighbours; outside ones are the edge's, or left out."""
    low = np.floor(x).astype(np.int64)
    matrix, rows = np.zeros((axis.wanted, axis.size)), np.arange(axis.wanted)
    for offset in (-1, 0, 1, 2):
        neighbour = low + offset
        weight = _cubic(np.abs(x - neighbour), sampling.cubic_a)
        if sampling.exclude_outside:
            weight = np.where((neighbour >= 0) & (neighbour < axis.size), weight, 0)
        np.add.at(matrix, (rows, np.clip(neighbour, 0, axis.size - 1)), weight)
    return matrix / matrix.sum(axis=1, keepdims=True) if sampling.exclude_outside else matrix


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel with parameter a, 0 from distance 2 on."""
    inner = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    outer = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, inner, np.where(distance < 2, outer, 0))


def _antialiased_matrix(axis: Axis, x: Array, sampling: Sampling) -> Array:
    """The kernel is stretched by the factor by which the axis shrinks, and its weights are made to sum to 1."""
    stretch = max(1 / axis.scale, 1.0)
    support = (2 if sampling.mode == "cubic" else 1) * stretch
    reach = int(np.ceil(support)) + 1
    center = np.floor(x).astype(np.int64)
    matrix, rows = np.zeros((axis.wanted, axis.size)), np.arange(axis.wanted)
    for offset in range(-reach, reach + 1):
        neighbour = center + offset
        distance = np.abs(x - neighbour) / stretch
        linear = np.maximum(1 - distance, 0)
        weight = _cubic(distance, sampling.cubic_a) if sampling.mode == "cubic" else linear
        if sampling.exclude_outside:
            weight = np.where((neighbour >= 0) & (neighbour < axis.size), weight, 0)
        np.add.at(matrix, (rows, np.clip(neighbour, 0, axis.size - 1)), weight)
    found: Array = matrix / matrix.sum(axis=1, keepdims=True)
    return found


def tflite_positions(axis: Axis, align_corners: bool, half_pixel: bool) -> Array:
    """The input position that `resize_nearest_neighbor` takes for every output position."""
    aligned = align_corners and axis.wanted > 1
    step = np.float32(axis.size - 1) / np.float32(axis.wanted - 1) if aligned else np.float32(axis.size / axis.wanted)
    x = (np.arange(axis.wanted, dtype=np.float32) + np.float32(0.5 if half_pixel else 0)) * step
    nearest = np.floor(x + np.float32(0.5) if align_corners else x).astype(np.int64)
    return _clipped(nearest, axis)


def tflite_matrix(axis: Axis, align_corners: bool, half_pixel: bool) -> Array:
    """The weights [wanted, size] of `resize_bilinear`."""
    aligned = align_corners and axis.wanted > 1
    step = (axis.size - 1) / (axis.wanted - 1) if aligned else axis.size / axis.wanted
    x = np.arange(axis.wanted, dtype=np.float64)
    return _linear_matrix(axis, (x + 0.5) * step - 0.5 if half_pixel else x * step)
