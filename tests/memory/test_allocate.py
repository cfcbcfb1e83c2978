from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.errors import AllocationError
from edgec.memory.allocate import greedy_by_size, lower_bound, plan_memory
from edgec.memory.first_fit import Buffers, neighbours_of, place_in_order
from edgec.memory.hill_climb import hill_climb
from edgec.memory.plan import LiveRange, MemoryPlan
from edgec.memory.verify import verify_plan


def ranges_of(*spans: tuple[int, int, int]) -> tuple[LiveRange, ...]:
    return tuple(LiveRange(f"t{i}", size, first, last) for i, (size, first, last) in enumerate(spans))


@st.composite
def live_range_sets(draw: st.DrawFn, most: int = 40) -> tuple[LiveRange, ...]:
    spans = draw(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 12), st.integers(0, 8)), max_size=most))
    return ranges_of(*((size, first, first + length) for size, first, length in spans))


def overlaps(ranges: tuple[LiveRange, ...], plan: MemoryPlan) -> bool:
    """All pairs, byte by byte: nothing of the allocator or the verifier."""
    for i, a in enumerate(ranges):
        for j in range(i):
            b = ranges[j]
            steps = range(max(a.first, b.first), min(a.last, b.last) + 1)
            used_a = range(plan.offsets[i], plan.offsets[i] + a.bytes)
            used_b = range(plan.offsets[j], plan.offsets[j] + b.bytes)
            if steps and range(max(used_a.start, used_b.start), min(used_a.stop, used_b.stop)):
                return True
    return False


def exhaustive_peak(ranges: tuple[LiveRange, ...]) -> int:
    """The lowest peak over all orders of stacking each tensor on the earlier ones that live at the same time."""
    best = 10**9
    for order in permutations(range(len(ranges))):
        tops: dict[int, int] = {}
        for index in order:
            tensor = ranges[index]
            below = (tops[o] for o in tops if ranges[o].first <= tensor.last and tensor.first <= ranges[o].last)
            tops[index] = max(below, default=0) + -(-tensor.bytes // 16) * 16
        best = min(best, max(tops.values(), default=0))
    return best


def test_by_hand() -> None:
    # step 0: a 100 -> 112, b 32; step 1: b 32, c 64 at step 1 in the room of a; the peak is 112 + 32 at step 0
    plan = plan_memory(ranges_of((100, 0, 0), (32, 0, 1), (64, 1, 1)))
    assert (plan.peak_bytes, plan.lower_bound_bytes, plan.peak_step) == (144, 144, 0)
    assert plan.offsets == (0, 112, 0)
    assert plan.proven_optimal


def test_nothing_to_plan() -> None:
    plan = plan_memory(())
    assert (plan.offsets, plan.peak_bytes, plan.lower_bound_bytes, plan.proven_optimal) == ((), 0, 0, True)
    assert plan_memory(ranges_of((0, 0, 3))).peak_bytes == 0


def test_greedy_by_size_leaves_a_hole_that_the_planner_fills() -> None:
    # A chain of 32, 16, 16, 32 bytes. TFLM puts both 32s at 0; the third tensor must clear the fourth (32..48), then
    # the second clears the first and the third (48..64). One 32 at 16 instead leaves room below: 48 bytes.
    ranges = ranges_of((32, 0, 1), (16, 1, 2), (16, 2, 3), (32, 3, 4))
    greedy, plan = greedy_by_size(ranges), plan_memory(ranges)
    assert (greedy.offsets, greedy.peak_bytes, greedy.proven_optimal) == ((0, 48, 32, 0), 64, False)
    assert plan.peak_bytes == plan.lower_bound_bytes == 48


def test_greedy_by_size_breaks_ties_like_tflm() -> None:
    # Equal sizes: TFLM fills its list from the tail, so the tensor added last is placed first, at 0.
    assert greedy_by_size(ranges_of((32, 0, 0), (32, 0, 0), (64, 0, 0))).offsets == (96, 64, 0)


def test_bad_alignment() -> None:
    with pytest.raises(AllocationError, match=r"^memory plan: alignment 12 is no power of two; use 16$"):
        plan_memory(ranges_of((1, 0, 0)), alignment=12)


@pytest.mark.parametrize(("size", "first", "last"), [(-1, 0, 0), (4, -1, 0), (4, 2, 1)])
def test_live_range_refuses_nonsense(size: int, first: int, last: int) -> None:
    with pytest.raises(ValueError, match="live range 't'"):
        LiveRange("t", size, first, last)


@given(live_range_sets(), st.sampled_from([1, 16, 64]))
def test_plan_is_safe_and_between_the_bound_and_greedy(ranges: tuple[LiveRange, ...], alignment: int) -> None:
    plan, greedy = plan_memory(ranges, alignment), greedy_by_size(ranges, alignment)
    for candidate in (plan, greedy):
        assert not overlaps(ranges, candidate)
        verify_plan(ranges, candidate)
    assert plan.lower_bound_bytes <= plan.peak_bytes <= greedy.peak_bytes
    assert plan_memory(ranges, alignment) == plan


@settings(max_examples=60)
@given(live_range_sets(most=6))
def test_small_plans_are_optimal(ranges: tuple[LiveRange, ...]) -> None:
    plan = plan_memory(ranges)
    assert plan.proven_optimal
    assert plan.peak_bytes == exhaustive_peak(ranges)


def test_optimum_above_the_bound_is_proven() -> None:
    """Never more than 80 bytes are alive, yet nothing packs into 80: only exhausting the search shows 96 is best."""
    ranges = ranges_of((16, 1, 4), (32, 4, 5), (48, 5, 5), (32, 2, 4), (48, 0, 1), (16, 1, 3), (32, 0, 0))
    plan = plan_memory(ranges)
    assert (plan.lower_bound_bytes, plan.peak_bytes, plan.proven_optimal) == (80, 96, True)
    assert exhaustive_peak(ranges) == 96


def test_without_search_the_optimum_is_not_claimed() -> None:
    ranges = ranges_of((16, 1, 4), (32, 4, 5), (48, 5, 5), (32, 2, 4), (48, 0, 1), (16, 1, 3), (32, 0, 0))
    plan = plan_memory(ranges, node_limit=3)
    verify_plan(ranges, plan)
    assert not plan.proven_optimal


def random_ranges(seed: int, count: int, steps: int) -> tuple[LiveRange, ...]:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, steps, count)
    last = np.minimum(first + rng.integers(0, 10, count), steps - 1)
    return ranges_of(*((int(s), int(f), int(e)) for s, f, e in zip(rng.integers(1, 1600, count), first, last)))


def test_random_instances_come_within_two_percent_of_the_bound() -> None:
    gaps = []
    for seed in range(20):
        ranges = random_ranges(seed, 60, 30)
        plan = plan_memory(ranges)
        verify_plan(ranges, plan)
        gaps.append(plan.peak_bytes / plan.lower_bound_bytes - 1)
    assert sum(gap <= 0.02 for gap in gaps) >= 19


def test_hill_climbing_improves_and_stays_valid() -> None:
    ranges = random_ranges(3, 60, 30)
    buffers = Buffers(
        tuple(-(-r.bytes // 16) * 16 for r in ranges), tuple(r.first for r in ranges), tuple(r.last for r in ranges)
    )
    neighbours = neighbours_of(buffers)
    order = range(len(ranges))
    before = place_in_order(buffers, neighbours, order)
    after = hill_climb(buffers, neighbours, order, target=0, iteration_limit=300)

    def plan(offsets: list[int]) -> MemoryPlan:
        peak = max(o + s for o, s in zip(offsets, buffers.sizes))
        return MemoryPlan(tuple(offsets), peak, *lower_bound(ranges)[:1], 16, "", False, 0)

    verify_plan(ranges, plan(after))
    assert plan(after).peak_bytes < plan(before).peak_bytes


def test_dense_sets_need_no_list_of_pairs() -> None:
    ranges = tuple(LiveRange(f"t{i}", 16 + i % 7, i % 3, 10 + i % 5) for i in range(2_100))
    plan, greedy = plan_memory(ranges), greedy_by_size(ranges)
    verify_plan(ranges, plan)
    verify_plan(ranges, greedy)
    assert plan.peak_bytes == plan.lower_bound_bytes


def test_long_chain() -> None:
    sizes = np.random.default_rng(1).choice([1_000, 5_000, 20_000], 10_000)
    ranges = ranges_of(*((int(size), step, step + 1) for step, size in enumerate(sizes)))
    plan = plan_memory(ranges)
    verify_plan(ranges, plan)
    assert plan.peak_bytes == plan.lower_bound_bytes
