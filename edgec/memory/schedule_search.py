"""Order the tasks of one segment of a task graph for the lowest peak of live bytes."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgec.memory.task_graph import Relations

TRANSITION_LIMIT = 600_000
"""Steps from one set of executed tasks to the next that the search of one segment may take."""
READY_LIMIT = 5_000_000
"""Tasks times the most tasks ready at once above which a segment is scheduled greedily only."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Tasks first..last (positions), with `live` bytes alive before them; nothing can move in or out."""

    first: int
    last: int
    live: int


@dataclass(frozen=True, slots=True)
class Found:
    """An order of a segment's tasks with its peak in bytes; `exact` where nothing lower exists."""

    order: tuple[int, ...]
    peak: int
    method: str
    exact: bool


def schedule_segment(relations: Relations, segment: Segment, given_peak: int, target: int) -> Found:
    """The best order found for one segment; peaks at or below `target` bytes are equally good."""
    given = tuple(range(segment.first, segment.last + 1))
    best = Found(given, given_peak, "as given", False)
    greedy, most_ready = _greedy_order(relations, segment)
    greedy_peak = _segment_peak(relations, segment, greedy)
    if greedy_peak < best.peak:
        best = Found(greedy, greedy_peak, "greedy", False)
    if best.peak <= target or len(given) * most_ready > READY_LIMIT:
        return best
    return _SegmentSearch(relations, segment).run(best, target)


def _segment_peak(relations: Relations, segment: Segment, order: Sequence[int]) -> int:
    inside = _LocalWalk(relations, segment)
    return max(inside.step(position) for position in order)


class _LocalWalk:
    """Executes a segment's tasks one by one, counting live bytes and consumers that remain."""

    def __init__(self, relations: Relations, segment: Segment) -> None:
        self.relations = relations
        self.live = segment.live
        self.waiting: dict[int, int] = {}
        self.segment = segment

    def remaining(self, value: int) -> int:
        """Consumers of the value that have not run; those before the segment have."""
        if value not in self.waiting:
            later = sum(1 for position in self.relations.consumers[value] if position >= self.segment.first)
            self.waiting[value] = later
        return self.waiting[value]

    def growth(self, position: int) -> int:
        """Bytes by which memory grows over the task if it runs next."""
        relations = self.relations
        freed = sum(
            relations.sizes[value]
            for value in relations.inputs[position]
            if self.remaining(value) == 1 and value not in relations.outputs
        )
        return relations.written(position) - relations.dropped(position) - freed

    def step(self, position: int) -> int:
        """Run the task; returns the bytes alive during it."""
        during = self.live + self.relations.written(position)
        self.live += self.growth(position)
        for value in self.relations.inputs[position]:
            self.waiting[value] = self.remaining(value) - 1
        return during


def _greedy_order(relations: Relations, segment: Segment) -> tuple[tuple[int, ...], int]:
    """Always the ready task that grows memory least, the earlier of equals; and the most tasks ready at once.

    A task's growth only shrinks as time passes, when it becomes the last reader of a value; it is queued again then.
    """
    walk = _LocalWalk(relations, segment)
    open_predecessors = {
        position: sum(1 for before in relations.predecessors[position] if before >= segment.first)
        for position in range(segment.first, segment.last + 1)
    }
    ready = {position for position, count in open_predecessors.items() if not count}
    queue = [(walk.growth(position), position) for position in ready]
    heapq.heapify(queue)
    order: list[int] = []
    most_ready = len(ready)
    while queue:
        _, position = heapq.heappop(queue)
        if position not in ready:
            continue
        ready.remove(position)
        order.append(position)
        walk.step(position)
        for value in relations.inputs[position]:
            if walk.remaining(value) == 1:
                for reader in (p for p in relations.consumers[value] if p in ready):
                    heapq.heappush(queue, (walk.growth(reader), reader))
        for following in relations.successors[position]:
            if following > segment.last:
                continue
            open_predecessors[following] -= 1
            if not open_predecessors[following]:
                ready.add(following)
                heapq.heappush(queue, (walk.growth(following), following))
        most_ready = max(most_ready, len(ready))
    return tuple(order), most_ready


@dataclass(frozen=True, slots=True)
class _Trail:
    """The last task executed, and what came before it."""

    position: int
    before: "_Trail | None"


@dataclass(frozen=True, slots=True)
class _State:
    """A set of executed tasks: peak and live bytes so far, the tasks ready next, and the best way here."""

    peak: int
    live: int
    ready: tuple[int, ...]
    trail: _Trail | None


class _SegmentSearch:
    """Level-by-level search over the sets of executed tasks of one segment; bit p of a set is task first + p."""

    def __init__(self, relations: Relations, segment: Segment) -> None:
        self.relations = relations
        self.segment = segment
        self.positions = range(segment.first, segment.last + 1)
        self.written = {p: relations.written(p) for p in self.positions}
        self.dropped = {p: relations.dropped(p) for p in self.positions}
        self.needs = {p: self._bits(relations.predecessors[p]) for p in self.positions}
        self.frees = {p: list(self._readers(p)) for p in self.positions}

    def run(self, best: Found, target: int) -> Found:
        """The best order below `best`, or `best` again, said to be exact where no set had to be dropped."""
        ready = tuple(p for p in self.positions if not self.needs[p])
        states = {0: _State(target, self.segment.live, ready, None)}
        budget = TRANSITION_LIMIT // 2
        exact = True
        for _ in self.positions:
            states, spent = self._advance(states, best.peak)
            budget += TRANSITION_LIMIT // (2 * len(self.positions)) - spent
            if not states:
                return Found(best.order, best.peak, best.method, exact)
            states, complete = _keep_best(states, budget)
            exact = exact and complete
        (final,) = states.values()
        return Found(_order_of(final.trail), final.peak, "search over executed sets", exact)

    def _advance(self, states: dict[int, _State], limit: int) -> tuple[dict[int, _State], int]:
        """All sets one task larger whose peak stays below `limit` bytes, and how many transitions were tried."""
        reached: dict[int, _State] = {}
        spent = 0
        for executed, state in states.items():
            spent += len(state.ready)
            for position in state.ready:
                during = state.live + self.written[position]
                peak = max(state.peak, during)
                if peak >= limit:
                    continue
                after = executed | 1 << (position - self.segment.first)
                known = reached.get(after)
                if known is not None and known.peak <= peak:
                    continue
                freed = sum(size for readers, size in self.frees[position] if not readers & ~after)
                live = during - self.dropped[position] - freed
                ready = known.ready if known else self._ready_after(state.ready, position, after)
                reached[after] = _State(peak, live, ready, _Trail(position, state.trail))
        return reached, spent

    def _ready_after(self, ready: tuple[int, ...], position: int, executed: int) -> tuple[int, ...]:
        new = (
            p for p in self.relations.successors[position] if p <= self.segment.last and not self.needs[p] & ~executed
        )
        return (*(p for p in ready if p != position), *new)

    def _bits(self, positions: Iterable[int]) -> int:
        first, last = self.segment.first, self.segment.last
        return sum(1 << (p - first) for p in set(positions) if first <= p <= last)

    def _readers(self, position: int) -> Iterator[tuple[int, int]]:
        """(readers in this segment as bits, bytes) of each input of the task that dies in the segment."""
        relations = self.relations
        for value in relations.inputs[position]:
            readers = relations.consumers[value]
            if value not in relations.outputs and readers[-1] <= self.segment.last:
                yield self._bits(readers), relations.sizes[value]


def _keep_best(states: dict[int, _State], budget: int) -> tuple[dict[int, _State], bool]:
    """The states whose next transitions fit into `budget`, at least one, best first; and whether all did."""
    if sum(len(state.ready) for state in states.values()) <= budget:
        return states, True
    kept: dict[int, _State] = {}
    for executed, state in sorted(states.items(), key=lambda item: (item[1].peak, item[1].live)):
        budget -= len(state.ready)
        if kept and budget < 0:
            break
        kept[executed] = state
    return kept, False


def _order_of(trail: _Trail | None) -> tuple[int, ...]:
    order: list[int] = []
    while trail is not None:
        order.append(trail.position)
        trail = trail.before
    return tuple(reversed(order))
