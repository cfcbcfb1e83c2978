"""Types and refusals of Fourier transforms and complex numbers."""

from collections.abc import Callable

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType

Make = Callable[..., Op]
Refusal = Callable[..., str]


def test_half_of_the_spectrum_is_kept(make: Make) -> None:
    assert make("rfft2d", (3, 5, 9), [4, 8]).result.type == TensorType((3, 4, 5), DType.COMPLEX64)


def test_parts_are_real(make: Make) -> None:
    assert make("real", TensorType((2,), DType.COMPLEX128)).result.type == TensorType((2,), DType.FLOAT64)


def test_refusals(refusal: Refusal) -> None:
    assert refusal("rfft2d", (4, 4), [4, 6]) == "transform lengths [4, 6] must be powers of two"
    assert refusal("imag", (2,)) == "takes complex numbers, found float32"
