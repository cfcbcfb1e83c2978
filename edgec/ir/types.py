"""Tensor types: shape, element type and quantization in one frozen value that refuses nonsense."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edgec.ir.dtype import DType

MAX_DIMENSION = 2**31 - 1
MAX_RANK = 32  # what every supported numpy can hold; kernels stop at 8


@dataclass(frozen=True, slots=True)
class QuantParams:
    """Affine quantization: real = scale * (q - zero_point), one pair per tensor or one per channel along `axis`.

    `minimum`/`maximum` are the recorded float ranges some files carry; they are kept, not used.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None
    minimum: tuple[float, ...] = ()
    maximum: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.scale) != len(self.zero_point):
            raise ValueError(f"{len(self.scale)} scales but {len(self.zero_point)} zero points")
        if not self.scale:
            raise ValueError("quantization without a scale")
        if len(self.scale) > 1 and self.axis is None:
            raise ValueError(f"{len(self.scale)} scales but no axis")
        if not all(math.isfinite(s) and s >= 0 for s in self.scale):
            raise ValueError("scales must be finite and not negative")
        if not all(-(2**63) <= z < 2**63 for z in self.zero_point):
            raise ValueError("zero points must fit into 64 bits")

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int = 0) -> QuantParams:
        """One scale and zero point for the whole tensor."""
        return cls((float(scale),), (int(zero_point),))

    @property
    def is_per_channel(self) -> bool:
        """True where scales run along an axis."""
        return self.axis is not None

    def same_mapping(self, other: QuantParams | None) -> bool:
        """True where both map the same integers to the same reals."""
        return (
            other is not None
            and self.scale == other.scale
            and self.zero_point == other.zero_point
            and (self.axis == other.axis or len(self.scale) == 1)
        )


@dataclass(frozen=True, slots=True)
class TensorType:
    """Shape, element type and quantization of a value.

    `shape` holds the sizes a static plan uses; `signature`, where given, holds -1 for the dimensions that may change
    at run time (TFLite's shape_signature).
    """

    shape: tuple[int, ...]
    dtype: DType
    quant: QuantParams | None = None
    signature: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.shape) > MAX_RANK:
            raise ValueError(f"a shape of {len(self.shape)} dimensions, at most {MAX_RANK} are possible")
        for size in self.shape:
            if not 0 <= size <= MAX_DIMENSION:
                raise ValueError(f"dimension {size} of shape {list(self.shape)} is outside 0..{MAX_DIMENSION}")
        if self.signature is not None and len(self.signature) != len(self.shape):
            raise ValueError(f"shape signature {list(self.signature)} does not fit shape {list(self.shape)}")
        if self.signature is not None and not all(-1 <= size <= MAX_DIMENSION for size in self.signature):
            raise ValueError(f"shape signature {list(self.signature)} holds sizes outside -1..{MAX_DIMENSION}")
        quant = self.quant
        if quant is None or quant.axis is None:
            return
        if not 0 <= quant.axis < len(self.shape):
            raise ValueError(f"quantization axis {quant.axis} is outside rank {len(self.shape)}")
        if len(quant.scale) not in (1, self.shape[quant.axis]):
            raise ValueError(f"{len(quant.scale)} scales for {self.shape[quant.axis]} channels on axis {quant.axis}")

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes the tensor takes, sub-byte elements packed; 0 for types without a fixed size."""
        return (self.elements * self.dtype.bits + 7) // 8

    @property
    def is_dynamic(self) -> bool:
        """True where some dimension may change at run time."""
        return self.signature is not None and -1 in self.signature

    def with_shape(self, shape: tuple[int, ...]) -> TensorType:
        """The same type with another static shape."""
        return replace(self, shape=tuple(int(d) for d in shape), signature=None)

    def with_quant(self, quant: QuantParams | None) -> TensorType:
        """The same type with other quantization."""
        return replace(self, quant=quant)

    def with_dtype(self, dtype: DType, quant: QuantParams | None = None) -> TensorType:
        """The same shape with another element type and quantization."""
        return replace(self, dtype=dtype, quant=quant)

    def __str__(self) -> str:
        return f"{self.dtype.value}[{','.join(str(d) for d in self.shape)}]"
