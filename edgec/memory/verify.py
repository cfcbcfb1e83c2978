"""Prove that a memory plan is safe, by a sweep over time that shares no code with the allocator."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from edgec.errors import AllocationError
from edgec.memory.plan import LiveRange, MemoryPlan


def verify_plan(ranges: Sequence[LiveRange], plan: MemoryPlan) -> None:
    """Raise AllocationError unless every range has an aligned place inside the peak that no live range shares.

    The ranges alive at the current step are kept sorted by offset. As long as they are disjoint, a range that
    begins can only collide with its neighbours in that order, so the check takes O(n log n) comparisons.
    Ranges of 0 bytes occupy nothing and collide with nothing.
    """
    if len(ranges) != len(plan.offsets):
        raise AllocationError(
            f"memory plan: {len(plan.offsets)} offsets for {len(ranges)} tensors; plan the same tensors again"
        )
    for tensor, offset in zip(ranges, plan.offsets):
        _check_place(tensor, offset, plan)
    _check_disjoint(ranges, plan.offsets)


def _check_place(tensor: LiveRange, offset: int, plan: MemoryPlan) -> None:
    if offset < 0:
        raise AllocationError(f"memory plan: tensor '{tensor.name}' has the negative offset {offset}; plan it again")
    if offset % plan.alignment:
        raise AllocationError(
            f"memory plan: tensor '{tensor.name}' has offset {offset}, which is no multiple of {plan.alignment}; "
            "plan it again with this alignment"
        )
    end = offset + tensor.bytes + -tensor.bytes % plan.alignment
    if tensor.bytes and end > plan.peak_bytes:
        raise AllocationError(
            f"memory plan: tensor '{tensor.name}' ends at byte {end}, beyond the claimed peak of {plan.peak_bytes} "
            "bytes; claim at least that much"
        )


def _check_disjoint(ranges: Sequence[LiveRange], offsets: Sequence[int]) -> None:
    used = [index for index, tensor in enumerate(ranges) if tensor.bytes]
    starts = sorted(used, key=lambda index: ranges[index].first)
    ends = sorted(used, key=lambda index: ranges[index].last)
    alive: list[tuple[int, int]] = []  # (offset, index), sorted
    expired = 0
    for index in starts:
        while ranges[ends[expired]].last < ranges[index].first:
            gone = ends[expired]
            del alive[bisect_left(alive, (offsets[gone], gone))]
            expired += 1
        position = bisect_left(alive, (offsets[index], index))
        for _, other in alive[max(position - 1, 0) : position + 1]:
            low, high = sorted((index, other), key=lambda which: offsets[which])
            if offsets[low] + ranges[low].bytes > offsets[high]:
                raise AllocationError(_collision(ranges, offsets, other, index))
        insort(alive, (offsets[index], index))


def _collision(ranges: Sequence[LiveRange], offsets: Sequence[int], earlier: int, later: int) -> str:
    def place(index: int) -> str:
        tensor = ranges[index]
        return (
            f"'{tensor.name}' (steps {tensor.first} to {tensor.last}, bytes {offsets[index]} to "
            f"{offsets[index] + tensor.bytes - 1})"
        )

    return f"memory plan: tensors {place(earlier)} and {place(later)} overlap in time and space; plan them again"
