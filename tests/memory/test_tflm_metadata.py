import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.errors import AllocationError
from edgec.memory.tflm_metadata import decode_offline_plan, encode_offline_plan


def test_layout() -> None:
    assert encode_offline_plan([0, -1, 4096]) == struct.pack("<6i", 1, 0, 3, 0, -1, 4096)


@given(st.lists(st.one_of(st.just(-1), st.integers(0, 2**27 - 1).map(lambda unit: 16 * unit))))
def test_round_trip(offsets: list[int]) -> None:
    assert decode_offline_plan(encode_offline_plan(offsets)) == tuple(offsets)


@pytest.mark.parametrize("offset", [-2, -16, 8, 2**31])
def test_refuses_offsets(offset: int) -> None:
    with pytest.raises(AllocationError, match=f"^offline memory plan: tensor 1 has offset {offset}; give -1 or a mult"):
        encode_offline_plan([0, offset])


@pytest.mark.parametrize("buffer", [b"", b"\1\0", struct.pack("<3i", 2, 0, 0), struct.pack("<4i", 1, 0, 2, 0)])
def test_refuses_buffers(buffer: bytes) -> None:
    with pytest.raises(AllocationError, match=r"^offline memory plan: metadata of"):
        decode_offline_plan(buffer)


def test_refuses_a_negative_count() -> None:
    with pytest.raises(AllocationError, match="too short for the -1 offsets"):
        decode_offline_plan(struct.pack("<3i", 1, 0, -1))
