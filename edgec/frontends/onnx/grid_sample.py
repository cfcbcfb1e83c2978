"""GridSample and AffineGrid: sampling at positions that are computed, by gathers of the neighbours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

MODES = {"bilinear": "linear", "bicubic": "cubic"}  # the names before opset 20
CUBIC = -0.75
MAX_GRID = 1 << 24


def grid_sample(node: Node, context: Translation) -> Value:
    """GridSample of images and volumes; the grid's last axis holds x, y(, z) from -1 to 1."""
    x, grid = node.input(0), node.input(1)
    if x.dtype is not DType.FLOAT32 or grid.dtype is not DType.FLOAT32:
        raise Refusal(f"sampling {x.dtype.value} at {grid.dtype.value} positions is not supported")
    mode = node.attribute("mode", "bilinear")
    return Sampler(
        context, x, MODES.get(mode, mode), node.attribute("padding_mode", "zeros"), bool(node.int("align_corners", 0))
    ).sample(grid)


class Sampler:
    """Samples `x` [batch, channels, …] at positions along its spatial axes, in elements."""

    def __init__(self, context: Translation, x: Value, mode: str, padding: str, aligned: bool) -> None:
        self.context, self.mode, self.padding, self.aligned = context, mode, padding, aligned
        if mode not in ("nearest", "linear", "cubic") or padding not in ("zeros", "border", "reflection"):
            raise Refusal(f"mode '{mode}' with padding '{padding}' is unknown")
        self.sizes = x.shape[2:]
        last = context.to_channels_last(x)
        self.batch, self.channels = x.shape[0], x.shape[1]
        self.flat = context.reshape(last, [self.batch, int(np.prod(self.sizes)), self.channels])

    def sample(self, grid: Value) -> Value:
        """[batch, channels, …] at the grid's positions."""
        context = self.context
        wanted = grid.shape[1:-1]
        count = int(np.prod(wanted))
        rows = context.reshape(grid, [self.batch, count, len(self.sizes)])
        places = [self._position(rows, axis, count) for axis in range(len(self.sizes))]
        result = context.reshape(self.at(places), [self.batch, *wanted, self.channels])
        return context.to_channels_first(result)

    def at(self, places: Sequence[Value]) -> Value:
        """[batch, count, channels] at positions [batch, count] along each spatial axis."""
        choices = [self._neighbours(place, size) for place, size in zip(places, self.sizes)]
        parts = [self._corner(corner) for corner in itertools.product(*choices)]
        return reduce(self.context.add, parts)

    def _position(self, rows: Value, axis: int, count: int) -> Value:
        """float32 [batch, count]: positions along an axis, in elements, inside of it where the padding asks for it."""
        context, size = self.context, self.sizes[axis]
        column = len(self.sizes) - 1 - axis
        given = context.emit("slice", [rows, context.ints([0, 0, column]), context.ints([self.batch, count, 1])])
        given = context.reshape(given, [self.batch, count])
        scale, shift = ((size - 1) / 2, (size - 1) / 2) if self.aligned else (size / 2, (size - 1) / 2)
        place = context.add(context.mul(given, context.like(given, scale)), context.like(given, shift))
        if self.mode == "nearest":
            place = context.emit("round", [place])
        outside = self.padding == "zeros" or (self.padding == "border" and self.mode == "cubic")
        return place if outside else self._moved_inside(place, size)

    def _moved_inside(self, place: Value, size: int) -> Value:
        context = self.context
        if self.padding == "reflection":
            low, high = (0.0, size - 1.0) if self.aligned else (-0.5, size - 0.5)
            if high == low:
                return context.mul(place, context.like(place, 0))
            turn = context.like(place, 2 * (high - low))
            folded = context.emit("floor_mod", [context.sub(place, context.like(place, low)), turn])
            folded = context.emit("minimum", [folded, context.sub(turn, folded)])
            return context.add(folded, context.like(place, low))
        place = context.emit("maximum", [place, context.like(place, 0)])
        return context.emit("minimum", [place, context.like(place, size - 1)])

    def _neighbours(self, place: Value, size: int) -> list[tuple[Value, Value | None]]:
        """Whole positions in the axis with their weights, zero outside where the padding is zeros."""
        context = self.context
        if self.mode == "nearest":
            return [self._bounded(context.emit("round", [place]), None, size)]
        low = context.emit("floor", [place])
        part = context.sub(place, low)
        offsets = (0, 1) if self.mode == "linear" else (-1, 0, 1, 2)
        found = []
        for offset in offsets:
            distance = context.emit("abs", [context.sub(part, context.like(part, offset))])
            weight = self._weight(distance, offset)
            found.append(self._bounded(context.add(low, context.like(low, offset)), weight, size))
        return found

    def _weight(self, distance: Value, offset: int) -> Value:
        context, a = self.context, CUBIC
        if self.mode == "linear":
            return context.sub(context.like(distance, 1), distance)
        factors = (a + 2, -(a + 3), 0.0, 1.0) if offset in (0, 1) else (a, -5 * a, 8 * a, -4 * a)
        result = context.like(distance, factors[0])
        for factor in factors[1:]:
            result = context.add(context.mul(result, distance), context.like(distance, factor))
        return result

    def _bounded(self, whole: Value, weight: Value | None, size: int) -> tuple[Value, Value | None]:
        context = self.context
        if self.padding == "reflection":
            whole = self._moved_inside(whole, size)
        limited = context.emit("maximum", [whole, context.like(whole, 0)])
        limited = context.emit("minimum", [limited, context.like(whole, size - 1)])
        if self.padding == "zeros":
            inside = context.cast(context.emit("equal", [whole, limited]), DType.FLOAT32)
            weight = inside if weight is None else context.mul(weight, inside)
        return context.cast(limited, DType.INT32), weight

    def _corner(self, corner: tuple[tuple[Value, Value | None], ...]) -> Value:
        """The elements at one neighbour of every position, times its weight."""
        context = self.context
        places: Value | None = None
        weight: Value | None = None
        for (index, own), size in zip(corner, self.sizes):
            places = index if places is None else context.add(context.mul(places, context.ints(size)), index)
            if own is not None:
                weight = own if weight is None else context.mul(weight, own)
        picked = context.emit("gather", [self.flat, places], axis=1, batch_dims=1)
        if weight is None:
            return picked
        return context.mul(picked, context.reshape(weight, [*weight.shape, 1]))


def affine_grid(node: Node, context: Translation) -> Value:
    """AffineGrid: theta times the homogeneous positions, whose number the size or the model's result states."""
    theta = node.input(0)
    size = node.ints(1) if node.is_constant(1) else None
    spatial = list(size[2:]) if size is not None else list(node.declared_shape()[1:-1])
    aligned = bool(node.int("align_corners", 0))
    batch = theta.shape[0]
    if min(spatial) < 1 or batch * math.prod(spatial) > MAX_GRID:
        raise Refusal(f"a grid of {[batch, *spatial]} is empty or has more than {MAX_GRID} positions")
    lines = []
    for count in spatial:
        whole = np.linspace(-1, 1, count) if aligned and count > 1 else (2 * np.arange(count) + 1) / count - 1
        lines.append(whole.astype(np.float32))
    mesh = np.meshgrid(*lines, indexing="ij")[::-1]
    rows = np.stack([*mesh, np.ones(spatial, np.float32)], -1).reshape(-1, len(spatial) + 1)
    every = context.constant(np.broadcast_to(rows, (batch, *rows.shape)).copy())
    product = context.emit("batch_matmul", [every, theta], adj_y=True)
    return context.reshape(product, [batch, *spatial, len(spatial)])


TRANSLATIONS: dict[str, Translate] = {"GridSample": grid_sample, "AffineGrid": affine_grid}
