"""Sets of things that belong together (union-find)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class UnionFind(Generic[T]):
    """Disjoint sets; an item nobody joined is a set of its own."""

    def __init__(self) -> None:
        self._parent: dict[T, T] = {}

    def find(self, item: T) -> T:
        """The item that stands for the item's set."""
        root = item
        while (parent := self._parent.get(root, root)) is not root:
            root = parent
        while item is not root:  # later look-ups take one step
            self._parent[item], item = root, self._parent.get(item, item)
        return root

    def join(self, a: T, b: T) -> None:
        """Make one set of two; the first one's representative stays."""
        first, second = self.find(a), self.find(b)
        if first is not second:
            self._parent[second] = first
