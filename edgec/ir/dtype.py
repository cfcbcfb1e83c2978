"""Element types, one for each TFLite `TensorType`."""

from __future__ import annotations

from enum import Enum

import numpy as np


class DType(Enum):
    """An element type; the value is its name in text, TOML and reports."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"
    INT2 = "int2"
    INT4 = "int4"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT4 = "uint4"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    BOOL = "bool"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    STRING = "string"
    RESOURCE = "resource"
    VARIANT = "variant"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"

    @property
    def bits(self) -> int:
        """Bits an element takes in a file; 0 where elements have no fixed size."""
        return _BITS[self]

    @property
    def is_float(self) -> bool:
        """True for real floating-point types."""
        return self in _FLOATS

    @property
    def is_integer(self) -> bool:
        """True for signed and unsigned integers (not bool)."""
        return self in _INTEGERS

    @property
    def numpy(self) -> np.dtype:
        """The numpy type constants of this type are held in.

        Sub-byte integers are held unpacked as int8/uint8, bfloat16 as its uint16 bit pattern, 8-bit floats, strings
        and other opaque types as raw uint8 bytes.
        """
        return _NUMPY[self]

    @property
    def is_opaque(self) -> bool:
        """True where constants are raw bytes without one element per position."""
        return self in (DType.STRING, DType.RESOURCE, DType.VARIANT)

    @classmethod
    def from_numpy(cls, dtype: np.dtype | type) -> DType:
        """The element type for a numpy type.

        Raises:
            ValueError: numpy type has no TFLite counterpart.
        """
        name = np.dtype(dtype).name
        if name == "bool_":
            return cls.BOOL
        try:
            return cls(name)
        except ValueError:
            raise ValueError(f"numpy type {name} has no TFLite counterpart") from None


_FLOATS = {DType.FLOAT32, DType.FLOAT16, DType.FLOAT64, DType.BFLOAT16, DType.FLOAT8_E4M3FN, DType.FLOAT8_E5M2}
_INTEGERS = {d for d in DType if d.value.startswith(("int", "uint"))}
_BITS = {
    DType.FLOAT32: 32, DType.FLOAT16: 16, DType.FLOAT64: 64, DType.BFLOAT16: 16,
    DType.INT2: 2, DType.INT4: 4, DType.INT8: 8, DType.INT16: 16, DType.INT32: 32, DType.INT64: 64,
    DType.UINT4: 4, DType.UINT8: 8, DType.UINT16: 16, DType.UINT32: 32, DType.UINT64: 64,
    DType.BOOL: 8, DType.COMPLEX64: 64, DType.COMPLEX128: 128,
    DType.STRING: 0, DType.RESOURCE: 0, DType.VARIANT: 0,
    DType.FLOAT8_E4M3FN: 8, DType.FLOAT8_E5M2: 8,
}  # fmt: skip
_HELD_AS = {
    DType.BFLOAT16: np.uint16, DType.INT2: np.int8, DType.INT4: np.int8, DType.UINT4: np.uint8,
    DType.STRING: np.uint8, DType.RESOURCE: np.uint8, DType.VARIANT: np.uint8,
    DType.FLOAT8_E4M3FN: np.uint8, DType.FLOAT8_E5M2: np.uint8,
}  # fmt: skip
_NUMPY = {d: np.dtype(_HELD_AS.get(d, d.value)) for d in DType}
