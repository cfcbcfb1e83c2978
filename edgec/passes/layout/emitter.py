"""Writes a graph anew in the chosen storage orders, op by op, moving data only where the orders disagree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import QuantParams
from edgec.ops import build
from edgec.passes.layout.storage_order import (
    StorageOrder,
    as_written,
    refined,
    stored_axes,
    strides_of,
)

MAX_GATHERED = 8192  # channels; beyond it the constant of indices would cost more than a transpose


class Emitter:
    """Keeps, for each value of the old graph, the tensors of the new one that hold it, by storage order."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder: Builder = build(graph)
        self.stored: dict[Value, dict[StorageOrder, Value]] = {}
        self.changes = 0
        self._shaped: dict[tuple[Value, tuple[int, ...]], Value] = {}
        self._constants: dict[tuple[Value, StorageOrder, tuple[int, ...]], Value] = {}

    def at(self, op: Op | None) -> None:
        """Emit before `op` (None: at the end), in its name."""
        self.builder.before = op
        self.builder.source = "" if op is None else op.source

    def hold(self, value: Value, order: StorageOrder, tensor: Value) -> None:
        """Note that `tensor` holds `value` in `order`."""
        self.stored.setdefault(value, {})[order] = tensor

    def held_shape(self, value: Value, order: StorageOrder) -> tuple[int, ...] | None:
        """The shape of the tensor that holds a computed value in `order`, None where there is none."""
        tensor = self.stored.get(value, {}).get(order)
        return None if tensor is None else tensor.shape

    def fetch(self, value: Value, order: StorageOrder, shape: Sequence[int]) -> Value:
        """A tensor of `shape` that holds `value` in `order`; made where there is none."""
        shape = tuple(shape)
        if value.is_constant:
            return self._constant(value, order, shape)
        held = self.stored[value]
        if order not in held:
            held[order] = self._moved(value, order, shape)
        return self.shaped(held[order], shape)

    def current(self, value: Value | None) -> Value | None:
        """The tensor that holds a value of the old graph as written; constants and new tensors are what they are."""
        if value is None or value not in self.stored:
            return value
        return self.fetch(value, as_written(value.type.elements), value.shape)

    def shaped(self, tensor: Value, shape: Sequence[int]) -> Value:
        """The tensor in another shape, its elements where they are."""
        shape = tuple(shape)
        if tensor.shape == shape:
            return tensor
        producer = tensor.producer
        if producer is not None and producer.opcode == "reshape" and producer.operand(0).quant == tensor.quant:
            tensor = producer.operand(0)
            if tensor.shape == shape:
                return tensor
        if (tensor, shape) not in self._shaped:
            self._shaped[tensor, shape] = self.emit(
                "reshape", [tensor, self.builder.ints(shape)], tensor.quant, new_shape=shape
            )
        return self._shaped[tensor, shape]

    def emit(
        self, opcode: str, operands: Sequence[Value | None], quant: QuantParams | None = None, **attributes: Any
    ) -> Value:
        """Emit an op of the emitter's own with one result."""
        self.changes += 1
        return self.builder.emit(opcode, operands, quant=quant, **attributes)

    # -- moving data -------------------------------------------------------------------------------------------------

    def gathers(self, value: Value, order: StorageOrder, shape: Sequence[int]) -> np.ndarray | None:
        """Where `value` comes to `order` by permuting the last axis of `shape`: the indices, else None."""
        held = next(iter(self.stored[value]))
        return _channel_indices(held, order, shape)

    def _moved(self, value: Value, order: StorageOrder, shape: tuple[int, ...]) -> Value:
        held, tensor = next(iter(self.stored[value].items()))
        indices = _channel_indices(held, order, shape)
        if indices is not None:
            channels = self.builder.constant(indices, DType.INT32)
            return self.emit("gather", [self.shaped(tensor, shape), channels], tensor.quant, axis=len(shape) - 1)
        permutation = _axis_permutation(held, tensor.shape, order, shape)
        if permutation is not None:
            return self._transposed(tensor, permutation)
        written = as_written(value.type.elements)
        steps = [(held, order)] if refined(held, order) is not None else [(held, written), (written, order)]
        for before, behind in steps:  # orders that do not cut evenly each cut what is stored row by row
            cut = refined(before, behind)
            if cut is None:
                raise AssertionError(f"'{value.name}': orders {before} and {behind} have no common refinement")
            groups, permutation = _grouped(*cut)
            tensor = self._transposed(self.shaped(tensor, groups), permutation)
        return tensor

    def _transposed(self, tensor: Value, permutation: Sequence[int]) -> Value:
        quant = tensor.quant
        if quant is not None and quant.axis is not None:
            quant = with_axis(quant, list(permutation).index(quant.axis))
        return self.emit("transpose", [tensor, self.builder.ints(list(permutation))], quant)

    def _constant(self, value: Value, order: StorageOrder, shape: tuple[int, ...]) -> Value:
        if order == as_written(value.type.elements) and shape == value.shape:
            return value
        key = (value, order, shape)
        if key not in self._constants:
            data = reordered(value.array(), order).reshape(shape)
            quant = _moved_axis(value, order, shape)
            self._constants[key] = self.graph.constant(data, value.name, dtype=value.dtype, quant=quant)
            self.changes += 1
        return self._constants[key]


def with_axis(quant: QuantParams, axis: int) -> QuantParams:
    """The same quantization along another axis."""
    return QuantParams(quant.scale, quant.zero_point, axis, quant.minimum, quant.maximum)


def reordered(data: np.ndarray, order: StorageOrder) -> np.ndarray:
    """The elements of an array in a storage order, as a vector."""
    if len(order) < 2:
        return np.ascontiguousarray(data).reshape(-1)
    by_stride = sorted(order, key=lambda pair: -pair[1])
    logical = np.ascontiguousarray(data).reshape([size for size, _ in by_stride])
    return np.ascontiguousarray(logical.transpose([by_stride.index(pair) for pair in order])).reshape(-1)


def reordered_along(data: np.ndarray, axis: int, order: StorageOrder) -> np.ndarray:
    """An array with the slices along one axis in a storage order of that axis."""
    by_stride = sorted(order, key=lambda pair: -pair[1])
    divided = data.reshape(*data.shape[:axis], *(size for size, _ in by_stride), *data.shape[axis + 1 :])
    inner = [axis + by_stride.index(pair) for pair in order]
    last = range(axis + len(order), divided.ndim)
    return np.ascontiguousarray(divided.transpose(*range(axis), *inner, *last)).reshape(data.shape)


def _moved_axis(value: Value, order: StorageOrder, shape: tuple[int, ...]) -> QuantParams | None:
    quant = value.quant
    if quant is None or quant.axis is None:
        return quant
    axis = (value.shape[quant.axis], strides_of(value.shape)[quant.axis])
    found = stored_axes(order, shape)
    if found is None or axis not in found:
        if len(quant.scale) == 1:
            return QuantParams(quant.scale, quant.zero_point, None, quant.minimum, quant.maximum)
        raise AssertionError(f"'{value.name}': no axis of {shape} is the one its scales run along")
    return with_axis(quant, found.index(axis))


def _axis_permutation(
    held: StorageOrder, shape: tuple[int, ...], order: StorageOrder, wanted: tuple[int, ...]
) -> list[int] | None:
    """The permutation of axes that takes a tensor of `shape` to `wanted`; None where axes would have to be cut."""
    have, want = stored_axes(held, shape), stored_axes(order, wanted)
    if have is None or want is None or sorted(have) != sorted(want):
        return None
    free = list(range(len(have)))
    permutation = []
    for axis in want:
        found = next(i for i in free if have[i] == axis)
        free.remove(found)
        permutation.append(found)
    return permutation


def _grouped(have: list[tuple[int, int]], want: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """(shape, permutation) of the shortest transpose from one list of atoms to the other."""
    runs: list[list[tuple[int, int]]] = []
    after = dict(itertools.pairwise(want))
    for atom in have:
        if runs and after.get(runs[-1][-1]) == atom:
            runs[-1].append(atom)
        else:
            runs.append([atom])
    heads = [run[0] for run in runs]
    permutation = [heads.index(atom) for atom in want if atom in heads]
    return [math.prod(size for size, _ in run) for run in runs], permutation


def _channel_indices(held: StorageOrder, order: StorageOrder, shape: Sequence[int]) -> np.ndarray | None:
    """The indices into the last axis of `shape` that take `held` to `order`, None where more than that axis changes."""
    channels = shape[-1] if shape else 0
    total = math.prod(shape)
    cut = refined(held, order)
    if not 1 < channels <= MAX_GATHERED or total == channels or cut is None:
        return None
    have, want = cut
    outer, first = 1, 0
    while first < len(have) and have[first] == want[first]:
        outer *= have[first][0]
        first += 1
    inner = total // outer
    if channels % inner:
        return None
    have, want = have[first:], want[first:]
    places = np.arange(inner).reshape([size for size, _ in have])
    block = places.transpose([have.index(atom) for atom in want]).reshape(-1)
    return np.concatenate([block + start for start in range(0, channels, inner)])
