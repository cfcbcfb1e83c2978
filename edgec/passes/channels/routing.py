"""Which channel comes from where: the ops that only pass channels on, read as lists of sources.

The channels of a value are its last axis. A value that no routing op makes is a source; what routing ops make of
sources is described by a route: for each channel the source and the channel of that source.

    concatenation(a, b) of 2 channels each, then shuffled       a0 b0 a1 b1
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.layout.along_axes import strided_bounds

MAX_CHANNELS = 8192  # indices of a longer row would take more room than a transpose takes time


@dataclass(frozen=True, eq=False)
class Route:
    """Rows of channels: pairs (source number, channel), as many as a row has; the rows follow each other in memory.

    A value is described as rows of the width of its sources' channels, also where its own last axis is another.
    """

    channels: np.ndarray

    @property
    def width(self) -> int:
        """Channels in a row."""
        return len(self.channels)


class Routing:
    """The routes of every value of a graph that routing ops make, and these ops."""

    def __init__(self, graph: Graph) -> None:
        self.sources: list[Value] = []
        self.routes: dict[Value, Route] = {}
        self.ops: list[Op] = []
        self._numbers: dict[Value, int] = {}
        for op in graph.ops:
            read = _READERS.get(op.opcode)
            routes = read(op, self) if read is not None and _is_plain(op) else None
            if routes is not None:
                self.ops.append(op)
                self.routes.update(zip(op.results, routes))

    def route(self, value: Value) -> Route:
        """The route of a value; a source's own where no routing op makes it."""
        if value in self.routes:
            return self.routes[value]
        if value not in self._numbers:
            self._numbers[value] = len(self.sources)
            self.sources.append(value)
        number, width = self._numbers[value], value.shape[-1]
        return Route(np.column_stack([np.full(width, number), np.arange(width)]))

    def ends(self) -> list[Value]:
        """Routed values that something other than a routing op reads, in order."""
        routing = set(self.ops)
        return [
            value for op in self.ops for value in op.results
            if value.is_output or any(user not in routing for user in value.users)
        ]  # fmt: skip


def _is_plain(op: Op) -> bool:
    """True where every tensor moved has a fixed shape of at least one axis, elements, and the same quantization."""
    moved = [*_moved(op), *op.results]
    first = moved[0].quant
    if first is not None and len(first.scale) > 1:
        return False
    return all(
        v.type.rank > 0 and v.type.elements > 0 and not v.type.is_dynamic and not v.is_variable and not v.is_constant
        and (v.quant is None if first is None else first.same_mapping(v.quant))
        for v in moved
    )  # fmt: skip


def _moved(op: Op) -> Iterable[Value]:
    if op.opcode in ("concatenation", "pack"):
        return [v for v in op.operands if v is not None]
    return [op.operand(1 if op.opcode == "split" else 0)]


@dataclass(frozen=True, eq=False)
class _Grid:
    """The route of a value, whose trailing axes from `first` on together are a row, in the shape of these axes."""

    channels: np.ndarray
    first: int

    def axis(self, axis: int, rank: int) -> int | None:
        """The grid's axis for one of the value; None where that is no part of a row."""
        return axis % rank - self.first if axis % rank >= self.first else None


def _grid(value: Value, routing: Routing) -> _Grid | None:
    """None where no trailing axes are just a row."""
    channels, shape = routing.route(value).channels, value.shape
    size, first = 1, len(shape)
    while first and size * shape[first - 1] <= len(channels):
        first -= 1
        size *= shape[first]
    return _Grid(channels.reshape(*shape[first:], 2), first) if size == len(channels) else None


def _routes(grids: Iterable[np.ndarray]) -> list[Route]:
    return [Route(grid.reshape(-1, 2)) for grid in grids]


def _concatenation(op: Op, routing: Routing) -> list[Route] | None:
    """Also of packed values, which have size 1 along the axis."""
    rank = op.result.type.rank
    if op.attributes.get("fused_activation_function", "NONE") != "NONE":
        return None
    place = op.attributes["axis"] % rank
    parts, firsts = [], set()
    for value in _moved(op):
        grid = _grid(value, routing)
        if grid is None or place < grid.first:
            return None
        firsts.add(grid.first)
        channels = grid.channels
        parts.append(np.expand_dims(channels, place - grid.first) if op.opcode == "pack" else channels)
    return _routes([np.concatenate(parts, place - firsts.pop())]) if len(firsts) == 1 else None


def _split(op: Op, routing: Routing) -> list[Route] | None:
    x = op.operand(1 if op.opcode == "split" else 0)
    if op.opcode == "unpack":
        given: list[int] | None = [int(op.attributes["axis"])]
    else:
        given = constant_ints(op.operand(0 if op.opcode == "split" else 2))
    grid = _grid(x, routing)
    axis = grid.axis(given[0], x.type.rank) if grid is not None and given else None
    if grid is None or axis is None:
        return None
    place = axis + grid.first
    sizes = [1 if op.opcode == "unpack" else result.shape[place] for result in op.results]
    return _routes(np.split(grid.channels, np.cumsum(sizes)[:-1], axis))


def _slice(op: Op, routing: Routing) -> list[Route] | None:
    begin, grid = constant_ints(op.operand(1)), _grid(op.operand(0), routing)
    if begin is None or grid is None or op.result.shape[: grid.first] != op.operand(0).shape[: grid.first]:
        return None
    cut = [slice(b, b + n) for b, n in zip(begin, op.result.shape)]
    return _routes([grid.channels[tuple(cut[grid.first :])]])


def _strided_slice(op: Op, routing: Routing) -> list[Route] | None:
    x, bounds = op.operand(0), strided_bounds(op)
    grid = _grid(x, routing)
    if bounds is None or grid is None:
        return None
    lead = [range(*bound) for bound in bounds[: grid.first]]
    if any(taken != range(size) for taken, size in zip(lead, x.shape)) or op.attributes["shrink_axis_mask"] & (
        (1 << grid.first) - 1
    ):
        return None
    return _routes([grid.channels[tuple(slice(*bound) for bound in bounds[grid.first :])]])


def _gather(op: Op, routing: Routing) -> list[Route] | None:
    x, indices = op.operand(0), op.operand(1)
    grid = _grid(x, routing)
    axis = None if grid is None else grid.axis(op.attributes["axis"], x.type.rank)
    given = constant_ints(indices)
    if grid is None or axis is None or given is None or op.attributes["batch_dims"] or indices.type.rank > 1:
        return None
    return _routes([np.take(grid.channels, given, axis)])


def _reverse(op: Op, routing: Routing) -> list[Route] | None:
    x, axes = op.operand(0), constant_ints(op.operand(1))
    grid = _grid(x, routing)
    if axes is None or grid is None:
        return None
    places = [grid.axis(axis, x.type.rank) for axis in axes]
    inside = [place for place in places if place is not None]
    return _routes([np.flip(grid.channels, tuple(inside))]) if len(inside) == len(places) else None


def _reshape(op: Op, routing: Routing) -> list[Route] | None:
    return [routing.route(op.operand(0))]


def trailing_permutation(op: Op) -> tuple[int, np.ndarray] | None:
    """(axes a transpose leaves in front, from where in a row of the others each element comes).

    None where it is not constant, or no matter of channels: there is one row, or a row is longer than `MAX_CHANNELS`.
    """
    x, permutation = op.operand(0), constant_ints(op.operand(1))
    if permutation is None:
        return None
    kept = next((i for i, axis in enumerate(permutation) if i != axis % x.type.rank), x.type.rank)
    inner = x.shape[kept:]
    if math.prod(inner) > MAX_CHANNELS or math.prod(inner) == x.type.elements > 1:
        return None
    order = np.arange(math.prod(inner)).reshape(inner)
    return kept, order.transpose([axis % x.type.rank - kept for axis in permutation[kept:]]).reshape(-1)


def _transpose(op: Op, routing: Routing) -> list[Route] | None:
    """A transpose of axes that together are no more than a row."""
    channels, found = routing.route(op.operand(0)).channels, trailing_permutation(op)
    if found is None or len(channels) % len(found[1]):
        return None
    order = found[1]
    return [Route(channels.reshape(-1, len(order), 2)[:, order].reshape(-1, 2))]


_READERS: dict[str, Callable[[Op, Routing], list[Route] | None]] = {
    "concatenation": _concatenation, "pack": _concatenation, "split": _split, "split_v": _split, "unpack": _split,
    "slice": _slice,
    "strided_slice": _strided_slice, "gather": _gather, "reverse_v2": _reverse, "reshape": _reshape,
    "squeeze": _reshape, "expand_dims": _reshape, "transpose": _transpose,
}  # fmt: skip
