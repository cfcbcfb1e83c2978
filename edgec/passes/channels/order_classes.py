"""Values that must hold their channels in the same order, and what that order may be."""

from __future__ import annotations

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.passes.channels.contract import Contract, Order, contract


class OrderClass:
    """Values of one order; channels may move within each block (`blocks`: the block of every channel)."""

    def __init__(self, width: int) -> None:
        self.order: Order = np.arange(width)
        self.blocks: np.ndarray = np.zeros(width, np.int64)

    @property
    def width(self) -> int:
        """Channels of each value."""
        return len(self.order)

    @property
    def is_fixed(self) -> bool:
        """True where no channel may move."""
        return bool(self.blocks[-1] == len(self.blocks) - 1) if len(self.blocks) else True

    @property
    def is_as_written(self) -> bool:
        """True where every channel is in its place."""
        return bool((self.order == np.arange(self.width)).all())

    def divide(self, groups: int) -> None:
        """Keep channels within each of so many equal groups, and within the blocks so far."""
        blocks = np.arange(self.width) * groups // self.width
        changes = np.diff(self.blocks).astype(bool) | np.diff(blocks).astype(bool)
        self.blocks = np.concatenate([[0], np.cumsum(changes)])

    def sorted_by(self, keys: np.ndarray) -> Order:
        """The channels by block, and in each by the rows of `keys` (first column first), then as written."""
        columns = [np.arange(self.width), *keys.T[::-1], self.blocks]
        return np.lexsort(columns)


class OrderClasses:
    """The order classes of a graph's values, from the contracts of its ops; `routing` ops tie nothing."""

    def __init__(self, graph: Graph, routing: set[Op]) -> None:
        self.contracts: dict[Op, Contract] = {}
        self._parent: dict[Value, Value] = {}
        self._classes: dict[Value, OrderClass] = {}
        fixed = [*graph.inputs, *graph.outputs]
        free: list[tuple[Value, int]] = []
        for op in graph.ops:
            if op in routing:
                continue
            found = contract(op)
            if found is None:
                fixed += [v for v in (*op.operands, *op.results) if v is not None]
                continue
            self.contracts[op] = found
            free += found.free
            for value in found.tied[1:]:
                self._tie(value, found.tied[0])
            covered = {*found.tied, *(value for value, _ in found.free)}
            fixed += [v for v in (*op.operands, *op.results) if v is not None and v not in covered]
        for value, groups in free:
            if groups > 1:
                self.of(value).divide(groups)
        for value in fixed:
            if value.type.rank and not value.is_constant:
                self.of(value).divide(value.shape[-1])

    def _tie(self, value: Value, other: Value) -> None:
        """Put `value` into the class of `other`."""
        root, other_root = self._root(value), self._root(other)
        if root is not other_root:  # a value may be tied twice; its own parent would have no end
            self._parent[root] = other_root

    def _root(self, value: Value) -> Value:
        root = value
        while root in self._parent:
            root = self._parent[root]
        while value is not root:
            self._parent[value], value = root, self._parent[value]
        return root

    def of(self, value: Value) -> OrderClass:
        """The class of a value of at least one axis."""
        root = self._root(value)
        if root not in self._classes:
            self._classes[root] = OrderClass(root.shape[-1])
        return self._classes[root]
