"""Place the tensors of a model in one arena, as tightly as a bounded search can."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from edgec.errors import AllocationError
from edgec.memory.branch_and_bound import RANKS, maximal_cliques, search_packing
from edgec.memory.first_fit import (
    UNPLACED,
    Buffers,
    count_neighbours,
    height,
    linear_scan,
    neighbours_of,
    place_in_order,
)
from edgec.memory.hill_climb import hill_climb
from edgec.memory.plan import ALIGNMENT, LiveRange, MemoryPlan, round_up

PAIR_LIMIT = 2_000_000
"""Pairs of buffers alive together above which only the linear scans run, which need no list of neighbours."""
CELLS_PER_NODE = 40_000
"""Buffers times cliques up to which the whole node limit is spent; a node costs about that many byte operations."""

GREEDY_ORDERS: dict[str, Callable[[Buffers, int], tuple[int, ...]]] = {
    "greedy by size": lambda b, i: (-b.sizes[i], b.first[i], i),
    "greedy by length": lambda b, i: (b.first[i] - b.last[i], -b.sizes[i], i),
    "greedy by area": lambda b, i: (-b.sizes[i] * (b.last[i] - b.first[i] + 1), i),
    "greedy by start": lambda b, i: (b.first[i], -b.sizes[i], i),
    "greedy by end": lambda b, i: (-b.last[i], -b.sizes[i], i),
}


@dataclass(frozen=True, slots=True)
class _Packing:
    """Offsets in bytes, what found them, and whether nothing lower exists."""

    offsets: tuple[int, ...]
    method: str
    proven: bool = False


def lower_bound(ranges: Sequence[LiveRange], alignment: int = ALIGNMENT) -> tuple[int, int]:
    """The largest sum of aligned sizes alive at one step, in bytes, and the first step that has it."""
    changes: dict[int, int] = {}
    for tensor in ranges:
        size = round_up(tensor.bytes, alignment)
        changes[tensor.first] = changes.get(tensor.first, 0) + size
        changes[tensor.last + 1] = changes.get(tensor.last + 1, 0) - size
    peak, peak_step, live = 0, min((tensor.first for tensor in ranges), default=0), 0
    for step in sorted(changes):
        live += changes[step]
        if live > peak:
            peak, peak_step = live, step
    return peak, peak_step


def greedy_by_size(ranges: Sequence[LiveRange], alignment: int = ALIGNMENT) -> MemoryPlan:
    """The plan that stock TFLM makes (its GreedyMemoryPlanner): largest first, each at the lowest gap that holds it.

    Of equal sizes the one given last is placed first, as TFLM does; for its exact result give the ranges in the
    order of the file's tensors. Kernel scratch buffers, which TFLM plans along, are known to the kernels only.
    """
    used, buffers = _aligned(ranges, alignment)
    order = sorted(range(len(buffers)), key=lambda i: (-buffers.sizes[i], -i))
    if count_neighbours(buffers) > PAIR_LIMIT:
        offsets = _place_by_scanning(buffers, order)
    else:
        offsets = place_in_order(buffers, neighbours_of(buffers), order)
    return _finished(ranges, used, buffers, _Packing(tuple(offsets), "TFLM greedy by size"), alignment)


def plan_memory(ranges: Sequence[LiveRange], alignment: int = ALIGNMENT, node_limit: int = 20_000) -> MemoryPlan:
    """Offsets such that no two tensors share a byte while both live, in as few bytes as the search finds.

    1. The lower bound is the largest sum of sizes alive at one step. Whatever reaches it is optimal and ends the work.
    2. Heuristics: replay allocation in time order (first fit, best fit), then first fit in several orders of which the
       first is TFLM's. Chains and most networks end here, in about O(n log n).
    3. Reduce: a buffer whose neighbours in time leave it a gap below the bound however they are placed is set aside,
       again and again. It goes back last, by first fit, without raising the peak. What remains is the core at the peak.
    4. The core falls into parts that share no step. Each part that the heuristics leave above the bound is searched:
       branch and bound (exact if it ends within `node_limit` placements), then hill climbing over first-fit orders.

    Limits count placements, not seconds: the same ranges give the same plan everywhere.

    Raises:
        AllocationError: `alignment` is not a positive power of two.
    """
    if alignment < 1 or alignment & (alignment - 1):
        raise AllocationError(f"memory plan: alignment {alignment} is no power of two; use {ALIGNMENT}")
    used, buffers = _aligned(ranges, alignment)
    bound, _ = lower_bound(ranges, alignment)
    packing = _best_of_heuristics(buffers, bound)
    if height(buffers, packing.offsets) > bound and count_neighbours(buffers) <= PAIR_LIMIT:
        packing = _search_core(buffers, packing, bound, alignment, node_limit)
    return _finished(ranges, used, buffers, packing, alignment)


def _aligned(ranges: Sequence[LiveRange], alignment: int) -> tuple[list[int], Buffers]:
    """Indices of the ranges that need memory, and these as buffers with aligned sizes."""
    used = [index for index, tensor in enumerate(ranges) if tensor.bytes]
    return used, Buffers(
        tuple(round_up(ranges[i].bytes, alignment) for i in used),
        tuple(ranges[i].first for i in used),
        tuple(ranges[i].last for i in used),
    )


def _finished(
    ranges: Sequence[LiveRange], used: Sequence[int], buffers: Buffers, packing: _Packing, alignment: int
) -> MemoryPlan:
    offsets = [0] * len(ranges)
    for index, offset in zip(used, packing.offsets):
        offsets[index] = offset
    bound, peak_step = lower_bound(ranges, alignment)
    peak = height(buffers, packing.offsets)
    return MemoryPlan(
        tuple(offsets), peak, bound, alignment, packing.method, packing.proven or peak == bound, peak_step
    )


def _best_of_heuristics(buffers: Buffers, target: int) -> _Packing:
    """The lowest packing that the heuristics find; they stop at `target` bytes."""
    best = _Packing(tuple(linear_scan(buffers, best_fit=False)), "first fit in time order")
    if height(buffers, best.offsets) > target:
        best = _lower(buffers, best, _Packing(tuple(linear_scan(buffers, best_fit=True)), "best fit in time order"))
    if count_neighbours(buffers) > PAIR_LIMIT:
        return best
    neighbours: list[list[int]] = []
    for method, key in GREEDY_ORDERS.items():
        if height(buffers, best.offsets) <= target:
            break
        neighbours = neighbours or neighbours_of(buffers)
        order = sorted(range(len(buffers)), key=partial(key, buffers))
        best = _lower(buffers, best, _Packing(tuple(place_in_order(buffers, neighbours, order)), method))
    return best


def _lower(buffers: Buffers, present: _Packing, other: _Packing) -> _Packing:
    return other if height(buffers, other.offsets) < height(buffers, present.offsets) else present


def _place_by_scanning(buffers: Buffers, order: Sequence[int]) -> list[int]:
    """First fit in `order` without neighbour lists, for sets too dense to list all pairs."""
    offsets = [UNPLACED] * len(buffers)
    by_offset: list[int] = []
    for index in order:
        size, first, last = buffers.sizes[index], buffers.first[index], buffers.last[index]
        offset, position = 0, len(by_offset)
        for rank, other in enumerate(by_offset):
            if buffers.first[other] > last or buffers.last[other] < first:
                continue
            if offsets[other] - offset >= size:
                position = rank
                break
            offset = max(offset, offsets[other] + buffers.sizes[other])
        offsets[index] = offset
        while position and offsets[by_offset[position - 1]] > offset:
            position -= 1
        by_offset.insert(position, index)
    return offsets


def _search_core(buffers: Buffers, found: _Packing, bound: int, alignment: int, node_limit: int) -> _Packing:
    """Pack the core parts one by one, then put back what was set aside; `found` where that is no better."""
    neighbours = neighbours_of(buffers)
    aside = _set_aside(buffers, neighbours, bound, alignment)
    placed = [UNPLACED] * len(buffers)
    parts = _parts(buffers, sorted(set(range(len(buffers))) - set(aside)))
    target, proven, methods = bound, True, set()
    for part in parts:
        core = buffers.subset(part)
        packing = _pack_part(core, target, node_limit)
        methods.add(packing.method)
        for index, offset in zip(part, packing.offsets):
            placed[index] = offset
        part_height = height(core, packing.offsets)
        if part_height > target:
            target, proven = part_height, packing.proven
    offsets = place_in_order(buffers, neighbours, reversed(aside), placed)
    if height(buffers, offsets) >= height(buffers, found.offsets):
        return _Packing(found.offsets, found.method, proven and height(buffers, offsets) == target)
    return _Packing(tuple(offsets), " + ".join(sorted(methods)), proven)


def _set_aside(buffers: Buffers, neighbours: Sequence[Sequence[int]], bound: int, alignment: int) -> list[int]:
    """Buffers that always find a gap below `bound` bytes, in the order of removal.

    k neighbours of N bytes leave at most k + 1 gaps of together at least bound - N bytes. If each gap were too small
    for s bytes, each had at most s - alignment, so (k + 1) * (s - alignment) < bound - N guarantees a gap.
    """
    around = [sum(buffers.sizes[j] for j in near) for near in neighbours]
    count = [len(near) for near in neighbours]

    def fits(index: int) -> bool:
        return (count[index] + 1) * (buffers.sizes[index] - alignment) < bound - around[index]

    aside = [index for index in range(len(buffers)) if fits(index)]
    removed = set(aside)
    for index in aside:  # grows while it runs
        for other in neighbours[index]:
            around[other] -= buffers.sizes[index]
            count[other] -= 1
            if other not in removed and fits(other):
                removed.add(other)
                aside.append(other)
    return aside


def _parts(buffers: Buffers, indices: Sequence[int]) -> list[list[int]]:
    """The buffers at `indices`, cut wherever none is alive from one step to the next."""
    parts: list[list[int]] = []
    end = -1
    for index in sorted(indices, key=lambda i: (buffers.first[i], i)):
        if not parts or buffers.first[index] > end:
            parts.append([])
        parts[-1].append(index)
        end = max(end, buffers.last[index])
    return parts


def _pack_part(buffers: Buffers, target: int, node_limit: int) -> _Packing:
    """The lowest packing of one part of the core that is found within the limits, down to `target` bytes."""
    best = _best_of_heuristics(buffers, target)
    if height(buffers, best.offsets) <= target:
        return best
    best = _branch_and_bound(buffers, best, target, node_limit)
    if best.proven or height(buffers, best.offsets) <= target:
        return best
    neighbours = neighbours_of(buffers)
    order = sorted(range(len(buffers)), key=lambda i: (best.offsets[i], i))
    tries = min(2_000, 50 * node_limit // (1 + sum(map(len, neighbours))))
    climbed = hill_climb(buffers, neighbours, order, target, tries)
    return _lower(buffers, best, _Packing(tuple(climbed), "hill climbing"))


def _branch_and_bound(buffers: Buffers, best: _Packing, target: int, node_limit: int) -> _Packing:
    """Search with each branching order for a share of `node_limit`; the first that ends proves the optimum.

    Large parts get fewer nodes, and fewer orders so that each still reaches the bottom of the tree; the largest none.
    """
    cells = len(buffers) * len(maximal_cliques(buffers))
    nodes = min(node_limit, node_limit * CELLS_PER_NODE // cells)
    orders = min(len(RANKS), nodes // len(buffers))
    for rank in RANKS[:orders]:
        incumbent = height(buffers, best.offsets)
        result = search_packing(buffers, incumbent, target, nodes // orders, rank)
        if result.offsets is not None:
            best = _Packing(result.offsets, "branch and bound")
        if result.exhausted:
            return _Packing(best.offsets, best.method, proven=True)
    return best
