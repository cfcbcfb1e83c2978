"""Where ONNX and TFLite take the samples of a resized axis: positions for nearest, weights for the other modes.

Positions are computed in float32 where rounding decides (nearest), as onnxruntime and LiteRT do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgec.frontends.onnx.node import Refusal

Array = np.ndarray
MAX_TAPS = 1 << 23  # of all positions together


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


@dataclass(frozen=True)
class Weights:
    """The weights [wanted, size] of a resized axis, of which each row holds few.

    `positions` and `values` are [wanted, taps]; taps of one row at the same position add up.
    """

    positions: Array
    values: Array
    size: int

    def largest_difference(self, other: Weights) -> float:
        """The largest difference of any weight to that of `other`, which has the same sizes."""
        rows = np.arange(len(self.positions))[:, None] * self.size
        places = np.concatenate([(rows + w.positions).ravel() for w in (self, other)])
        values = np.concatenate([self.values.ravel(), -other.values.ravel()])
        order = np.argsort(places, kind="stable")
        begins = np.flatnonzero(np.diff(places[order], prepend=-1))
        return float(np.abs(np.add.reduceat(values[order], begins)).max())

    def dense(self) -> Array:
        """float32 [wanted, size]."""
        matrix = np.zeros((len(self.positions), self.size), np.float32)
        np.add.at(matrix, (np.arange(len(self.positions))[:, None], self.positions), self.values)
        return matrix


def onnx_weights(axis: Axis, sampling: Sampling) -> Weights:
    """The weights of modes `linear` and `cubic`."""
    x = onnx_coordinates(axis, sampling.coordinates)
    if axis.is_kept:
        return Weights(np.arange(axis.size)[:, None], np.ones((axis.size, 1)), axis.size)
    if sampling.antialias:
        return _antialiased(axis, x, sampling)
    return _cubic_weights(axis, x, sampling) if sampling.mode == "cubic" else _linear_weights(axis, x)


def _linear_weights(axis: Axis, x: Array) -> Weights:
    x = np.clip(x, 0, axis.size - 1)
    low = np.floor(x).astype(np.int64)
    share = x - low
    return Weights(np.stack([low, np.minimum(low + 1, axis.size - 1)], 1), np.stack([1 - share, share], 1), axis.size)


def _cubic_weights(axis: Axis, x: Array, sampling: Sampling) -> Weights:
    """Cubic convolution over four neighbours; outside ones are the edge's, or left out."""
    neighbours = np.floor(x).astype(np.int64)[:, None] + np.arange(-1, 3)
    values = _cubic(np.abs(x[:, None] - neighbours), sampling.cubic_a)
    return _kept_inside(axis, neighbours, values, sampling, to_one=sampling.exclude_outside)


def _kept_inside(axis: Axis, neighbours: Array, values: Array, sampling: Sampling, *, to_one: bool) -> Weights:
    """What lies outside counts as the edge, or not at all; where `to_one`, each row is made to sum to 1."""
    if sampling.exclude_outside:
        values = np.where((neighbours >= 0) & (neighbours < axis.size), values, 0)
    if to_one:
        values = values / values.sum(axis=1, keepdims=True)
    return Weights(_clipped(neighbours, axis), values, axis.size)


def _cubic(distance: Array, a: float) -> Array:
    """Keys' kernel with parameter a, 0 from distance 2 on."""
    inner = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    outer = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, inner, np.where(distance < 2, outer, 0))


def _antialiased(axis: Axis, x: Array, sampling: Sampling) -> Weights:
    """The kernel is stretched by the factor by which the axis shrinks, and its weights are made to sum to 1."""
    stretch = max(1 / axis.scale, 1.0)
    support = (2 if sampling.mode == "cubic" else 1) * stretch
    reach = int(np.ceil(support)) + 1
    if axis.wanted * (2 * reach + 1) > MAX_TAPS:
        raise Refusal(f"antialiasing from {axis.size} to {axis.wanted} positions needs too many weights")
    neighbours = np.floor(x).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    distance = np.abs(x[:, None] - neighbours) / stretch
    values = _cubic(distance, sampling.cubic_a) if sampling.mode == "cubic" else np.maximum(1 - distance, 0)
    return _kept_inside(axis, neighbours, values, sampling, to_one=True)


def tflite_positions(axis: Axis, align_corners: bool, half_pixel: bool) -> Array:
    """The input position that `resize_nearest_neighbor` takes for every output position."""
    aligned = align_corners and axis.wanted > 1
    step = np.float32(axis.size - 1) / np.float32(axis.wanted - 1) if aligned else np.float32(axis.size / axis.wanted)
    x = (np.arange(axis.wanted, dtype=np.float32) + np.float32(0.5 if half_pixel else 0)) * step
    nearest = np.floor(x + np.float32(0.5) if align_corners else x).astype(np.int64)
    return _clipped(nearest, axis)


def tflite_weights(axis: Axis, align_corners: bool, half_pixel: bool) -> Weights:
    """The weights of `resize_bilinear`."""
    aligned = align_corners and axis.wanted > 1
    step = (axis.size - 1) / (axis.wanted - 1) if aligned else axis.size / axis.wanted
    x = np.arange(axis.wanted, dtype=np.float64)
    return _linear_weights(axis, (x + 0.5) * step - 0.5 if half_pixel else x * step)
