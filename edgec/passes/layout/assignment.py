"""Chooses a storage order for every value so that as few bytes as possible change theirs.

Every part (see `part`) has a mode; where the producer and a user of a value disagree on its order, the value's bytes
have to move. The module as it stands is the start. A move takes a disagreement, lets one side's order spread through
all parts that can follow it (the frame), and finds by a minimum cut which of them should: for two candidate modes a
part this is exact, as an edge costs the same for any two orders that differ. Only moves that lower the sum are made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgec.ir.graph import Value
from edgec.passes.layout.min_cut import Network
from edgec.passes.layout.part import BoundaryPart, Mode, Part
from edgec.passes.layout.storage_order import StorageOrder

VISITS_PER_PART = 100  # bounds the search in graphs where many frames lead nowhere
Frame = dict[Part, Mode]


@dataclass(frozen=True, slots=True)
class Edge:
    """A value between its producer's slot and a user's slot; `cost` is what it takes to change its order."""

    producer: Part
    out: int
    user: Part
    into: int
    cost: int

    @property
    def value(self) -> Value:
        """The value that flows."""
        return self.user.slots[self.into].value

    def disagrees(self) -> bool:
        """True where the value has to change its order on the way."""
        return self.producer.mode.orders[self.out] != self.user.mode.orders[self.into]


class Assignment:
    """The modes of all parts of a graph, and the search for cheaper ones."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = list(parts)
        self.edges: list[Edge] = []
        self.edges_of: dict[Part, list[Edge]] = {part: [] for part in self.parts}
        self._connect()
        self._visits = VISITS_PER_PART * len(self.parts) + 10_000

    def _connect(self) -> None:
        producers = {
            slot.value: (part, i)
            for part in self.parts for i, slot in enumerate(part.slots) if slot.operand is None
        }  # fmt: skip
        for part in self.parts:
            for i, slot in enumerate(part.slots):
                if slot.operand is None or slot.value.is_constant:
                    continue
                producer, out = producers[slot.value]
                edge = Edge(producer, out, part, i, max(slot.value.type.bytes, 1))
                self.edges.append(edge)
                self.edges_of[producer].append(edge)
                if part is not producer:
                    self.edges_of[part].append(edge)

    def cost(self) -> int:
        """Bytes that change their order."""
        return sum(edge.cost for edge in self.edges if edge.disagrees())

    def improve(self) -> bool:
        """Make moves until none lowers the cost; returns whether any was made."""
        improved = False
        while self._sweep():
            improved = True
        return improved

    def _sweep(self) -> bool:
        improved = False
        for edge in sorted((e for e in self.edges if e.disagrees()), key=lambda e: -e.cost):
            if edge.disagrees() and self._visits > 0 and self._settle(edge):
                improved = True
        return improved or (self.cost() > 0 and self._turn_boundaries())

    def _turn_boundaries(self) -> bool:
        """Try channels last for inputs and outputs that have it neither now nor on the other side of a disagreement."""
        improved = False
        for part in self.parts:
            if isinstance(part, BoundaryPart) and part.is_as_written and self._visits > 0:
                turned = part.mode_for(0, part.last)
                improved |= turned is not None and self._make_best([self._spread(part, turned)])
        return improved

    def _settle(self, edge: Edge) -> bool:
        """Make the better of the two moves that let one side of an edge follow the other; False where none helps."""
        return self._make_best(self._frames(edge))

    def _make_best(self, frames: Iterable[Frame]) -> bool:
        best: tuple[int, Frame] | None = None
        for frame in frames:
            self._visits -= len(frame)
            gain, chosen = self._best_part_of(frame)
            if gain > 0 and (best is None or gain > best[0]):
                best = gain, chosen
        if best is None:
            return False
        for part, mode in best[1].items():
            part.mode = mode
        return True

    def _frames(self, edge: Edge) -> Iterator[Frame]:
        forward = edge.user.mode_for(edge.into, edge.producer.mode.orders[edge.out])
        if forward is not None:
            yield self._spread(edge.user, forward)
        backward = edge.producer.mode_for(edge.out, edge.user.mode.orders[edge.into])
        if backward is not None:
            yield self._spread(edge.producer, backward)

    def _spread(self, start: Part, mode: Mode) -> Frame:
        """Everything that can follow `start` into `mode`, as far as this changes anything.

        What an order says surely goes before what it leaves open: a part that is reached only from a value without some
        of its dimensions supposes where these stand.
        """
        frame: Frame = {start: mode}
        queue = deque([start])
        open_ends: deque[tuple[Part, int, StorageOrder]] = deque()
        while queue or open_ends:
            if not queue:
                there, slot, order = open_ends.popleft()
                supposed = None if there in frame else there.supposed_mode_for(slot, order)
                if supposed is not None:
                    frame[there] = supposed
                    queue.append(there)
                continue
            part = queue.popleft()
            for edge in self.edges_of[part]:
                here, there, slot = (edge.out, edge.user, edge.into)
                if part is not edge.producer:
                    here, there, slot = (edge.into, edge.producer, edge.out)
                order = frame[part].orders[here]
                if there in frame or there.mode.orders[slot] == order:
                    continue
                followed = there.mode_for(slot, order)
                if followed is not None:
                    frame[there] = followed
                    queue.append(there)
                else:
                    open_ends.append((there, slot, order))
        return frame

    def _edges_around(self, frame: Frame) -> list[Edge]:
        return list(dict.fromkeys(edge for part in frame for edge in self.edges_of[part]))

    def _best_part_of(self, frame: Frame) -> tuple[int, Frame]:
        """The parts of the frame that should follow it, and how many bytes that saves."""
        edges = self._edges_around(frame)
        before = sum(edge.cost for edge in edges if edge.disagrees())
        after = sum(_cost(edge, frame) for edge in edges)
        if after == 0:
            return before, frame
        chosen = _cheapest_subset(frame, edges)
        return before - sum(_cost(edge, chosen) for edge in edges), chosen


def _order(part: Part, slot: int, frame: Frame) -> object:
    return frame.get(part, part.mode).orders[slot]


def _cost(edge: Edge, frame: Frame) -> int:
    return edge.cost if _order(edge.producer, edge.out, frame) != _order(edge.user, edge.into, frame) else 0


def _cheapest_subset(frame: Frame, edges: Iterable[Edge]) -> Frame:
    """The minimum cut: parts on the source's side follow the frame, the others keep their mode."""
    network = Network()
    numbers = {part: network.add_node() for part in frame}
    for edge in edges:
        a, b = edge.producer, edge.user
        keep = {part: part.mode for part in (a, b)}
        costs = {
            (x, y): _cost(edge, {a: (frame if x else keep).get(a, a.mode), b: (frame if y else keep).get(b, b.mode)})
            for x in (False, True) for y in (False, True)
        }  # fmt: skip
        if a in numbers and b in numbers and a is not b:
            _add_pair(network, numbers[a], numbers[b], costs)
        else:
            inside = a if a in numbers else b
            _add_single(network, numbers[inside], costs[True, True] - costs[False, False])
    follow = network.source_side()
    return {part: mode for part, mode in frame.items() if numbers[part] in follow}


def _add_single(network: Network, node: int, extra_to_follow: int) -> None:
    if extra_to_follow > 0:
        network.add_edge(node, Network.SINK, extra_to_follow)
    elif extra_to_follow < 0:
        network.add_edge(Network.SOURCE, node, -extra_to_follow)


def _add_pair(network: Network, a: int, b: int, costs: dict[tuple[bool, bool], int]) -> None:
    """Cost of two nodes' choices as capacities; exact where the costs are submodular, else cautious.

    With c(x, y) for following: c = c00 + (c10 - c00) x + (c11 - c10) y + (c10 + c01 - c00 - c11) (1 - x) y.
    """
    both = costs[True, False] + costs[False, True] - costs[False, False] - costs[True, True]
    _add_single(network, a, costs[True, False] - costs[False, False])
    _add_single(network, b, costs[True, True] - costs[True, False])
    if both > 0:
        network.add_edge(b, a, both)
