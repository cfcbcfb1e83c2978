"""In which order the elements of a value are stored: the algebra the layout pass computes with.

A value has a logical shape; its elements are numbered row by row (the flat index). A `StorageOrder` tells how they
stand in memory: pairs (size, stride), outermost first, where `stride` is the step in the flat index. Neighbours that
together make one longer run are merged and sizes of 1 left out, so that equal orders are equal tuples:

    NCHW value 1x3x8x8 stored as written   ((192, 1),)
    the same stored as NHWC                ((64, 1), (3, 64))

A reshape keeps the flat index, hence the order; a transpose of the logical axes changes only its strides. Neither moves
an element as long as producer and user agree on the order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

StorageOrder = tuple[tuple[int, int], ...]


class Piece(NamedTuple):
    """A run of a stored axis within one logical dimension: `size` steps of `step` positions of dimension `dim`."""

    dim: int
    size: int
    step: int


def canonical(pairs: Iterable[tuple[int, int]]) -> StorageOrder:
    """The pairs with sizes of 1 left out and neighbours merged."""
    merged: list[tuple[int, int]] = []
    for size, stride in pairs:
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return tuple(merged)


def as_written(elements: int) -> StorageOrder:
    """The order of a value stored row by row."""
    return canonical([(elements, 1)])


def strides_of(shape: Sequence[int]) -> list[int]:
    """Row-major strides of a shape, in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides


def of_permutation(shape: Sequence[int], permutation: Sequence[int]) -> StorageOrder:
    """The order of a value of `shape` that is stored as its transpose by `permutation`."""
    strides = strides_of(shape)
    return canonical((shape[axis], strides[axis]) for axis in permutation)


def pieces_in(order: StorageOrder, shape: Sequence[int]) -> tuple[Piece, ...] | None:
    """The stored axes cut at the borders of the logical dimensions, outermost first.

    None where a run crosses a border in its middle.
    """
    strides = strides_of(shape)
    pieces: list[Piece] = []
    for size, stride in reversed(order):
        while size > 1:
            dim = _dimension_at(stride, shape, strides)
            if dim is None:
                return None
            step = stride // strides[dim]
            room = shape[dim] // step
            if room * step != shape[dim]:
                return None
            taken = size if size <= room else room
            if room % taken or size % taken:
                return None
            pieces.append(Piece(dim, taken, step))
            size //= taken
            stride *= taken
    return tuple(_merged_within_dims(reversed(pieces)))


def _merged_within_dims(pieces: Iterable[Piece]) -> list[Piece]:
    merged: list[Piece] = []
    for piece in pieces:
        if merged and merged[-1].dim == piece.dim and merged[-1].step == piece.size * piece.step:
            merged[-1] = Piece(piece.dim, merged[-1].size * piece.size, piece.step)
        else:
            merged.append(piece)
    return merged


def _dimension_at(stride: int, shape: Sequence[int], strides: Sequence[int]) -> int | None:
    for dim, size in enumerate(shape):
        if size > 1 and strides[dim] <= stride < strides[dim] * size:
            return dim if stride % strides[dim] == 0 else None
    return None


def of_pieces(pieces: Iterable[Piece], shape: Sequence[int]) -> StorageOrder:
    """The order that has these pieces of `shape`."""
    strides = strides_of(shape)
    return canonical((p.size, p.step * strides[p.dim]) for p in pieces)


def transposed(order: StorageOrder, shape: Sequence[int], permutation: Sequence[int]) -> StorageOrder | None:
    """The order of transpose(x, permutation) when the elements of x (of `shape`) stay where they are in `order`."""
    pieces = pieces_in(order, shape)
    if pieces is None:
        return None
    place = {axis: i for i, axis in enumerate(permutation)}
    return of_pieces((Piece(place[p.dim], p.size, p.step) for p in pieces), [shape[a] for a in permutation])


def inverse(permutation: Sequence[int]) -> list[int]:
    """The permutation that undoes `permutation`."""
    return sorted(range(len(permutation)), key=lambda i: permutation[i])


def channels_last(rank: int) -> tuple[int, ...]:
    """The permutation from N,C,spatial… to N,spatial…,C."""
    return (0, *range(2, rank), 1)


def refined(first: StorageOrder, second: StorageOrder) -> tuple[list[tuple[int, int]], list[tuple[int, int]]] | None:
    """Both orders of one value cut into common atoms; None where they do not cut evenly."""
    borders = sorted({b for order in (first, second) for n, s in order for b in (s, n * s)})
    cut = [_cut(order, borders) for order in (first, second)]
    if cut[0] is None or cut[1] is None or sorted(cut[0]) != sorted(cut[1]):
        return None
    return cut[0], cut[1]


def _cut(order: StorageOrder, borders: Sequence[int]) -> list[tuple[int, int]] | None:
    atoms: list[tuple[int, int]] = []
    for size, stride in order:
        inside = [stride, *(b for b in borders if stride < b < stride * size), stride * size]
        for low, high in reversed(list(itertools.pairwise(inside))):
            if high % low:
                return None
            atoms.append((high // low, low))
    return atoms


def stored_axes(order: StorageOrder, stored_shape: Sequence[int]) -> list[tuple[int, int]] | None:
    """(size, flat stride) of every axis of a tensor of `stored_shape` held in `order`; axes of size 1 have stride 0.

    None where an axis joins runs that do not follow each other in the flat index.
    """
    if math.prod(stored_shape) != math.prod(n for n, _ in order):
        return None
    axes: list[tuple[int, int]] = []
    rest = list(order)
    for wanted in reversed(stored_shape):
        if wanted == 1:
            axes.append((1, 0))
            continue
        size, stride = rest.pop()
        if size % wanted:
            return None
        axes.append((wanted, stride))
        if size > wanted:
            rest.append((size // wanted, stride * wanted))
    return axes[::-1]
