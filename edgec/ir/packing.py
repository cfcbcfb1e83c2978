"""Sub-byte integers: packed two or four to a byte in files (low bits first), one to a byte in memory."""

from __future__ import annotations

import numpy as np

from edgec.ir.dtype import DType


def unpack(raw: np.ndarray, dtype: DType, elements: int) -> np.ndarray:
    """`elements` integers of a sub-byte type from packed bytes, as int8 (uint8 for UINT4), shape (elements,)."""
    bits = dtype.bits
    per_byte = 8 // bits
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    fields: np.ndarray = ((raw[:, None] >> shifts) & (2**bits - 1)).astype(np.uint8).reshape(-1)[:elements]
    if dtype is DType.UINT4:
        return fields
    sign = np.uint8(2 ** (bits - 1))
    signed: np.ndarray = ((fields ^ sign).astype(np.int16) - int(sign)).astype(np.int8)
    return signed


def pack(values: np.ndarray, dtype: DType) -> np.ndarray:
    """Packed bytes of sub-byte integers held one to a byte."""
    bits = dtype.bits
    per_byte = 8 // bits
    fields = (values.reshape(-1).astype(np.uint8)) & np.uint8(2**bits - 1)
    padded = np.zeros(-(-fields.size // per_byte) * per_byte, np.uint8)
    padded[: fields.size] = fields
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    packed: np.ndarray = np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1).astype(np.uint8)
    return packed
