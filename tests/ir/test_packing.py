"""Sub-byte integers in files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.ir.dtype import DType
from edgec.ir.packing import pack, unpack

BOUNDS = {DType.INT2: (-2, 1), DType.INT4: (-8, 7), DType.UINT4: (0, 15)}


@pytest.mark.parametrize(
    ("dtype", "values", "packed"),
    [
        (DType.INT4, [1, -2, 7], [0xE1, 0x07]),  # low nibble first; -2 is 0b1110
        (DType.UINT4, [15, 0], [0x0F]),
        (DType.INT2, [1, -1, 0, -2, 1], [0b10_00_11_01, 0b01]),
    ],
)
def test_bits_by_hand(dtype: DType, values: list[int], packed: list[int]) -> None:
    assert pack(np.array(values, dtype.numpy), dtype).tolist() == packed
    assert unpack(np.array(packed, np.uint8), dtype, len(values)).tolist() == values


@pytest.mark.parametrize("dtype", BOUNDS)
@given(data=st.data())
def test_packing_and_back(dtype: DType, data: st.DataObject) -> None:
    low, high = BOUNDS[dtype]
    values = np.array(data.draw(st.lists(st.integers(low, high), max_size=40)), dtype.numpy)
    packed = pack(values, dtype)
    assert packed.dtype == np.uint8
    assert packed.nbytes == -(-values.size * dtype.bits // 8)
    back = unpack(packed, dtype, values.size)
    assert back.dtype == dtype.numpy
    assert back.tolist() == values.tolist()


@pytest.mark.parametrize("dtype", BOUNDS)
@given(raw=st.binary(max_size=20))
def test_unpacking_and_back_keeps_every_bit(dtype: DType, raw: bytes) -> None:
    packed = np.frombuffer(raw, np.uint8)
    assert pack(unpack(packed, dtype, packed.size * 8 // dtype.bits), dtype).tobytes() == raw
