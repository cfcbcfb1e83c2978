"""TFLite's sparse constants as dense arrays.

A sparse tensor is a tree of levels, one per dimension in `traversal_order`: a DENSE level holds every index, a
SPARSE_CSR level those that `array_segments` and `array_indices` list. Dimensions cut into blocks (`block_map`) have two
levels, one over the blocks and one inside a block; the latter are numbered from the tensor's rank on. Values stand in
the order in which the tree is walked; everything else is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgec.ir.dtype import DType

DENSE = "DENSE"
MAX_DENSE_BYTES = 512 << 20  # a few bytes of a hostile file may claim any shape


def dense_array(raw: np.ndarray, sparsity: Mapping[str, Any], shape: Sequence[int], dtype: DType) -> np.ndarray:
    """The dense array of `shape` that the stored bytes stand for.

    Raises:
        ValueError: the description contradicts itself, the shape or the number of values.
    """
    if dtype.is_opaque or dtype.bits < 8:
        raise ValueError(f"sparse {dtype.value} tensors are not read")
    order = _ints(sparsity.get("traversal_order"))
    blocked = _ints(sparsity.get("block_map"))
    levels = list(sparsity.get("dim_metadata") or ())
    rank = len(shape)
    if sorted(order) != list(range(rank + len(blocked))) or len(levels) != len(order):
        raise ValueError(f"traversal order {order} and {len(levels)} levels do not fit {rank} dimensions")
    if len(set(blocked)) != len(blocked) or not all(0 <= dim < rank for dim in blocked):
        raise ValueError(f"block map {blocked} does not fit {rank} dimensions")
    sizes = _level_sizes(order, blocked, levels, shape)
    values = np.ascontiguousarray(raw).reshape(-1).view(np.uint8)
    if values.nbytes % dtype.numpy.itemsize:
        raise ValueError(f"{values.nbytes} bytes are no whole number of {dtype.value} values")
    values = values.view(dtype.numpy)
    if np.prod(shape, dtype=np.float64) * dtype.numpy.itemsize > MAX_DENSE_BYTES:
        raise ValueError(f"written out it would take more than {MAX_DENSE_BYTES >> 20} MiB")
    places = max([values.size, *(_vector(level["array_segments"]).size for level in levels)])
    positions = np.zeros(1, np.int64)
    indices = np.zeros((len(order), 1), np.int64)
    for level, dimension in enumerate(order):
        parents, inner, positions = _descend(levels[level], sizes[dimension], positions, places)
        indices = indices[:, parents]
        indices[dimension] = inner
    if positions.size != values.size or (positions != np.arange(values.size)).any():
        raise ValueError(f"{positions.size} places for {values.size} values")
    coordinates = indices[:rank]
    for block, dimension in enumerate(blocked):
        coordinates[dimension] = coordinates[dimension] * sizes[rank + block] + indices[rank + block]
    dense = np.zeros(tuple(shape), dtype.numpy)
    dense[tuple(coordinates)] = values
    return dense


def _level_sizes(
    order: Sequence[int], blocked: Sequence[int], levels: Sequence[Mapping[str, Any]], shape: Sequence[int]
) -> dict[int, int]:
    """The size of each dimension, blocks counted and blocks inside; a block's size is that of its dense level."""
    rank = len(shape)
    sizes = {}
    for block, dimension in enumerate(blocked):
        level = levels[order.index(rank + block)]
        size = int(level["dense_size"])
        if level["format"] != DENSE or size <= 0 or shape[dimension] % size:
            raise ValueError(f"blocks of {size} do not divide dimension {dimension} of {list(shape)}")
        sizes[rank + block] = size
        sizes[dimension] = shape[dimension] // size
    return {**{dimension: shape[dimension] for dimension in range(rank)}, **sizes}


def _descend(
    level: Mapping[str, Any], size: int, positions: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One level down from `positions`: which of them each child comes from, its index, its own position.

    There are at most `limit` of them: each has a value or a segment in the file.
    """
    if level["format"] == DENSE:
        if int(level["dense_size"]) != size:
            raise ValueError(f"a dense level of {level['dense_size']} stands for a dimension of {size}")
        if positions.size * size > limit:
            raise ValueError(f"{positions.size * size} places for {limit} values and segments")
        parents = np.repeat(np.arange(positions.size), size)
        inner = np.tile(np.arange(size), positions.size)
        return parents, inner, positions[parents] * size + inner
    segments, indices = _vector(level["array_segments"]), _vector(level["array_indices"])
    if positions.size and (positions.max() + 1 >= segments.size or segments[0] != 0):
        raise ValueError(f"{segments.size} segments for {int(positions.max()) + 1} places")
    starts, ends = segments[positions], segments[positions + 1]
    counts = ends - starts
    if (counts < 0).any() or (ends > indices.size).any() or counts.sum() > limit:
        raise ValueError("segments of a sparse level overlap or reach beyond its indices")
    parents = np.repeat(np.arange(positions.size), counts)
    offsets = np.arange(parents.size) - np.repeat(np.cumsum(counts) - counts, counts)
    children = starts[parents] + offsets
    inner = indices[children]
    if inner.size and (inner.min() < 0 or inner.max() >= size):
        raise ValueError(f"an index of a sparse level lies outside its dimension of {size}")
    return parents, inner, children


def _vector(union: tuple[str, Mapping[str, Any]] | None) -> np.ndarray:
    values = None if union is None else union[1].get("values")
    return np.zeros(0, np.int64) if values is None else np.asarray(values).astype(np.int64)


def _ints(vector: Any) -> list[int]:
    return [] if vector is None else [int(v) for v in np.asarray(vector).reshape(-1)]
