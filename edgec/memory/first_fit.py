"""Placing buffers one after the other, each at the lowest gap that holds it: the base of every heuristic here."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

UNPLACED = -1


@dataclass(frozen=True, slots=True)
class Buffers:
    """Buffers to place: aligned sizes in bytes (all positive), and the inclusive steps of their lives."""

    sizes: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.sizes)

    def subset(self, indices: Sequence[int]) -> "Buffers":
        """The buffers at `indices`, in that order."""
        return Buffers(
            tuple(self.sizes[i] for i in indices),
            tuple(self.first[i] for i in indices),
            tuple(self.last[i] for i in indices),
        )


def height(buffers: Buffers, offsets: Sequence[int]) -> int:
    """The end of the highest buffer, in bytes."""
    return max((offset + size for offset, size in zip(offsets, buffers.sizes)), default=0)


def count_neighbours(buffers: Buffers) -> int:
    """How many pairs of buffers are alive at the same step, in O(n log n)."""
    starts = sorted(buffers.first)
    order = sorted(range(len(buffers)), key=lambda i: buffers.first[i])
    return sum(bisect_right(starts, buffers.last[i]) - rank - 1 for rank, i in enumerate(order))


def neighbours_of(buffers: Buffers) -> list[list[int]]:
    """For each buffer, the others that are alive at one of its steps."""
    neighbours: list[list[int]] = [[] for _ in range(len(buffers))]
    alive: list[int] = []
    for index in sorted(range(len(buffers)), key=lambda i: (buffers.first[i], i)):
        alive = [other for other in alive if buffers.last[other] >= buffers.first[index]]
        for other in alive:
            neighbours[other].append(index)
        neighbours[index].extend(alive)
        alive.append(index)
    return neighbours


def lowest_gap(size: int, occupied: Iterable[tuple[int, int]]) -> int:
    """The lowest offset with `size` free bytes beside the (begin, end) intervals, which may overlap each other."""
    offset = 0
    for begin, end in sorted(occupied):
        if begin - offset >= size:
            break
        offset = max(offset, end)
    return offset


def smallest_gap(size: int, occupied: Iterable[tuple[int, int]]) -> int:
    """The begin of the tightest gap of at least `size` bytes between the intervals, above them if there is none."""
    top = 0
    best: tuple[int, int] | None = None
    for begin, end in sorted(occupied):
        gap = begin - top
        if gap >= size and (best is None or gap < best[0]):
            best = (gap, top)
        top = max(top, end)
    return top if best is None else best[1]


def place_in_order(
    buffers: Buffers,
    neighbours: Sequence[Sequence[int]],
    order: Iterable[int],
    placed: Sequence[int] = (),
    best_fit: bool = False,
) -> list[int]:
    """Offsets after placing the buffers of `order` in turn, on top of `placed` offsets (UNPLACED where free)."""
    sizes = buffers.sizes
    offsets = list(placed) if placed else [UNPLACED] * len(buffers)
    choose = smallest_gap if best_fit else lowest_gap
    for index in order:
        occupied = [(offsets[j], offsets[j] + sizes[j]) for j in neighbours[index] if offsets[j] != UNPLACED]
        offsets[index] = choose(sizes[index], occupied)
    return offsets


def linear_scan(buffers: Buffers, best_fit: bool) -> list[int]:
    """Offsets after placing the buffers as they begin, in O(n log n + n * gaps).

    Ends and begins are replayed in time order against the list of free gaps, as an allocator at run time would.
    """
    offsets = [UNPLACED] * len(buffers)
    gaps: list[tuple[int, int]] = []  # (begin, end), sorted, never touching; above `top` everything is free
    top = 0
    ends = sorted(range(len(buffers)), key=lambda i: (buffers.last[i], i))
    expired = 0
    for index in sorted(range(len(buffers)), key=lambda i: (buffers.first[i], -buffers.sizes[i], i)):
        while buffers.last[ends[expired]] < buffers.first[index]:
            gone = ends[expired]
            top = _release(gaps, offsets[gone], offsets[gone] + buffers.sizes[gone], top)
            expired += 1
        offsets[index], top = _take(gaps, buffers.sizes[index], top, best_fit)
    return offsets


def _release(gaps: list[tuple[int, int]], begin: int, end: int, top: int) -> int:
    """Give [begin, end) back to the sorted `gaps`, joining touching ones; returns the new top of what is used."""
    position = bisect_right(gaps, (begin, end))
    if position < len(gaps) and gaps[position][0] == end:
        end = gaps.pop(position)[1]
    if position and gaps[position - 1][1] == begin:
        position -= 1
        begin = gaps.pop(position)[0]
    if end == top:
        return begin
    gaps.insert(position, (begin, end))
    return top


def _take(gaps: list[tuple[int, int]], size: int, top: int, best_fit: bool) -> tuple[int, int]:
    """Take `size` bytes from the first (or tightest) gap, else above `top`; returns the offset and the new top."""
    fitting = (rank for rank, (begin, end) in enumerate(gaps) if end - begin >= size)
    rank = min(fitting, key=lambda r: gaps[r][1] - gaps[r][0], default=None) if best_fit else next(fitting, None)
    if rank is None:
        return top, top + size
    begin, end = gaps[rank]
    if begin + size == end:
        del gaps[rank]
    else:
        gaps[rank] = (begin + size, end)
    return begin, top
