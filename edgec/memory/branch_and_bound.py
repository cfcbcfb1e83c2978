"""Exact packing of a small set of buffers by depth-first search, with a limit on the nodes visited."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgec.memory.first_fit import Buffers

IntArray = NDArray[np.int64]
Rank = Callable[[Buffers, int], tuple[int, ...]]
FAR = 2**62
"""Bytes. Larger than any offset; a power of two so that sums with sizes stay inside int64."""


def by_length(buffers: Buffers, index: int) -> tuple[int, ...]:
    """Long-lived first, then large."""
    return (buffers.first[index] - buffers.last[index], -buffers.sizes[index])


def by_size(buffers: Buffers, index: int) -> tuple[int, ...]:
    """Large first, then long-lived."""
    return (-buffers.sizes[index], buffers.first[index] - buffers.last[index])


def by_area(buffers: Buffers, index: int) -> tuple[int, ...]:
    """Most bytes times steps first."""
    return (-buffers.sizes[index] * (buffers.last[index] - buffers.first[index] + 1), -buffers.sizes[index])


RANKS: tuple[Rank, ...] = (by_length, by_size, by_area)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best offsets found below the incumbent (None: none found) and whether the search was exhausted."""

    offsets: tuple[int, ...] | None
    exhausted: bool
    nodes: int


def maximal_cliques(buffers: Buffers) -> list[list[int]]:
    """Every set of buffers alive at one step that is contained in no other; at most one a buffer."""
    begins = sorted(range(len(buffers)), key=lambda i: (buffers.first[i], i))
    ends = sorted(range(len(buffers)), key=lambda i: (buffers.last[i], i))
    alive: dict[int, None] = {}
    cliques: list[list[int]] = []
    expired = 0
    grown = False
    for index in begins:
        while buffers.last[ends[expired]] < buffers.first[index]:
            if grown:
                cliques.append(list(alive))
                grown = False
            del alive[ends[expired]]
            expired += 1
        alive[index] = None
        grown = True
    return [*cliques, list(alive)] if grown else cliques


@dataclass(slots=True)
class _Search:
    """State of one depth-first search; sizes and offsets in bytes, rows are cliques, columns buffers."""

    sizes: IntArray
    members: NDArray[np.bool_]
    overlap: NDArray[np.bool_]
    rank: IntArray
    twin: tuple[int, ...]
    target: int
    node_limit: int
    best_height: int
    best: tuple[int, ...] | None = None
    nodes: int = 0
    placed: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def run(self, lowest: IntArray, remaining: IntArray, height: int) -> bool:
        """Search below this node with an explicit stack; False where the node limit or the target ended it.

        `lowest` is for each unplaced buffer the end of what lies below it (FAR once placed), `remaining` for each
        clique the bytes still to place.
        """
        stack: list[tuple[IntArray, IntArray, int, list[int]]] = [
            (lowest, remaining, height, self._candidates(lowest, remaining, height))
        ]
        while stack:
            lowest, remaining, height, candidates = stack[-1]
            if not candidates:
                stack.pop()
                if self.placed:
                    self.offsets[self.placed.pop()] = -1
                continue
            index = candidates.pop()
            offset = int(lowest[index])
            top = offset + int(self.sizes[index])
            if max(top, height) >= self.best_height:
                continue
            self.nodes += 1
            if self.nodes > self.node_limit:
                return False
            self.placed.append(index)
            self.offsets[index] = offset
            if len(self.placed) == len(self.sizes):
                self.best_height, self.best = max(top, height), tuple(self.offsets)
                if self.best_height <= self.target:
                    return False
                self.offsets[self.placed.pop()] = -1
                continue
            below = np.maximum(lowest, np.where(self.overlap[index], top, offset))
            below[index] = FAR
            rest = remaining - self.members[:, index] * self.sizes[index]
            stack.append((below, rest, max(top, height), self._candidates(below, rest, max(top, height))))
        return True

    def _candidates(self, lowest: IntArray, remaining: IntArray, height: int) -> list[int]:
        """The buffers that may be placed next, the most promising last; empty where the node cannot improve."""
        floors = np.where(self.members, lowest, FAR).min(axis=1)
        if height >= self.best_height or np.any((floors + remaining >= self.best_height) & (remaining > 0)):
            return []
        ends = lowest + self.sizes
        usable = np.flatnonzero(lowest < min(int(ends.min()), FAR))
        order = sorted(usable.tolist(), key=lambda i: (int(lowest[i]), int(self.rank[i])), reverse=True)
        return [i for i in order if self.twin[i] < 0 or self.offsets[self.twin[i]] >= 0]


def search_packing(
    buffers: Buffers, incumbent: int, target: int, node_limit: int, rank: Rank = by_length
) -> SearchResult:
    """Look for a packing lower than `incumbent` bytes, stopping at `target` or after `node_limit` placements.

    Every packing can be pushed down until each buffer rests on the floor or on a buffer alive at the same time, and
    then be built in order of offset. So the search places buffers in non-decreasing offset, each at the lowest offset
    that what is already placed leaves it. A branch is cut when

    - at some step the lowest place left plus all bytes still to come reaches the incumbent;
    - a buffer would start at or above the end that another unplaced buffer could have: that other one goes first;
    - of two equal buffers (same size and life) the second would go before the first.

    Exhausting the search without the limit therefore proves that no lower packing exists.
    """
    count = len(buffers)
    cliques = maximal_cliques(buffers)
    members = np.zeros((len(cliques), count), dtype=np.bool_)
    for row, clique in enumerate(cliques):
        members[row, clique] = True
    sizes = np.array(buffers.sizes, dtype=np.int64)
    first, last = np.array(buffers.first), np.array(buffers.last)
    ranked = np.empty(count, dtype=np.int64)
    ranked[sorted(range(count), key=lambda i: (*rank(buffers, i), i))] = np.arange(count)
    search = _Search(
        sizes=sizes,
        members=members,
        overlap=(first[:, None] <= last[None, :]) & (last[:, None] >= first[None, :]),
        rank=ranked,
        twin=_twins(buffers),
        target=target,
        node_limit=node_limit,
        best_height=incumbent,
        offsets=[-1] * count,
    )
    exhausted = search.run(np.zeros(count, dtype=np.int64), members @ sizes, 0)
    return SearchResult(search.best, exhausted or search.best_height <= target, search.nodes)


def _twins(buffers: Buffers) -> tuple[int, ...]:
    """For each buffer the nearest earlier one of equal size and life, -1 where there is none."""
    seen: dict[tuple[int, int, int], int] = {}
    twins: list[int] = []
    keys: Sequence[tuple[int, int, int]] = list(zip(buffers.sizes, buffers.first, buffers.last))
    for index, key in enumerate(keys):
        twins.append(seen.get(key, -1))
        seen[key] = index
    return tuple(twins)
