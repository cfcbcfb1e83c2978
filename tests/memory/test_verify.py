import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.errors import AllocationError
from edgec.memory.plan import LiveRange, MemoryPlan
from edgec.memory.verify import verify_plan

A = LiveRange("a", 32, 0, 2)
B = LiveRange("b", 40, 2, 5)
C = LiveRange("c", 16, 3, 3)


def plan_of(offsets: tuple[int, ...], peak: int = 128) -> MemoryPlan:
    return MemoryPlan(offsets, peak, 0, 16, "by hand", False, 0)


def test_accepts_a_tight_plan() -> None:
    verify_plan((A, B, C), plan_of((0, 32, 0), 80))


def test_empty_tensors_collide_with_nothing() -> None:
    verify_plan((A, LiveRange("empty", 0, 0, 9)), plan_of((0, 0), 32))


@pytest.mark.parametrize(
    ("offsets", "peak", "message"),
    [
        (
            (0, 16, 64),
            128,
            "memory plan: tensors 'a' (steps 0 to 2, bytes 0 to 31) and 'b' (steps 2 to 5, bytes 16 to 55) overlap in "
            "time and space; plan them again",
        ),
        ((0, 32), 128, "memory plan: 2 offsets for 3 tensors; plan the same tensors again"),
        ((0, 32, -16), 128, "memory plan: tensor 'c' has the negative offset -16; plan it again"),
        (
            (0, 32, 8),
            128,
            "memory plan: tensor 'c' has offset 8, which is no multiple of 16; plan it again with this alignment",
        ),
        (
            (0, 32, 0),
            72,
            "memory plan: tensor 'b' ends at byte 80, beyond the claimed peak of 72 bytes; claim at least that much",
        ),
    ],
)
def test_refuses(offsets: tuple[int, ...], peak: int, message: str) -> None:
    with pytest.raises(AllocationError, match=f"^{re.escape(message)}$"):
        verify_plan((A, B, C), plan_of(offsets, peak))


def test_finds_a_small_tensor_inside_a_large_one_behind_another() -> None:
    ranges = (LiveRange("large", 160, 0, 9), LiveRange("above", 16, 0, 9), LiveRange("inside", 16, 4, 5))
    with pytest.raises(AllocationError, match=r"'large' .* and 'inside'"):
        verify_plan(ranges, plan_of((0, 160, 64), 176))


tensors = st.builds(
    lambda size, first, length: LiveRange("t", size, first, first + length),
    st.integers(0, 80),
    st.integers(0, 6),
    st.integers(0, 4),
)


@given(st.lists(st.tuples(tensors, st.integers(0, 12)), max_size=8))
def test_agrees_with_all_pairs(placed: list[tuple[LiveRange, int]]) -> None:
    ranges = tuple(tensor for tensor, _ in placed)
    offsets = tuple(16 * unit for _, unit in placed)
    cells = [
        {(step, byte) for step in range(t.first, t.last + 1) for byte in range(offset, offset + t.bytes)}
        for t, offset in zip(ranges, offsets)
    ]
    collide = any(cells[i] & cells[j] for i in range(len(cells)) for j in range(i))
    if not collide:
        verify_plan(ranges, plan_of(offsets, 1000 * 16))
        return
    with pytest.raises(AllocationError, match="overlap in time and space"):
        verify_plan(ranges, plan_of(offsets, 1000 * 16))
