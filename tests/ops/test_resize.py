"""Shapes, versions and refusals of resizing."""

from collections.abc import Callable

import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS

Make = Callable[..., Op]
Refusal = Callable[..., str]
RESIZES = ("resize_bilinear", "resize_nearest_neighbor")


@pytest.mark.parametrize("opcode", RESIZES)
def test_shapes(make: Make, opcode: str) -> None:
    assert make(opcode, (1, 4, 3, 2), [7, 5]).result.shape == (1, 7, 5, 2)
    at_run_time = make(opcode, (1, 4, 3, 2), TensorType((2,), DType.INT32)).result.type
    assert at_run_time == TensorType((1, 4, 3, 2), DType.FLOAT32, None, (1, -1, -1, 2))


@pytest.mark.parametrize("opcode", RESIZES)
def test_versions(make: Make, opcode: str) -> None:
    x = TensorType((1, 4, 3, 2), DType.INT8)
    versions = [
        OP_DEFS[opcode].write_version(make(opcode, x.with_dtype(dtype), [7, 5], half_pixel_centers=half))
        for dtype, half in ((DType.FLOAT32, False), (DType.INT8, False), (DType.INT8, True), (DType.INT16, False))
    ]
    assert versions == [1, 2, 3, 4]


def test_refusals(refusal: Refusal) -> None:
    assert refusal("resize_bilinear", (1, 4, 3, 2), [7, 0]) == "the size [7, 0] must be positive"
    assert refusal("resize_bilinear", (1, 4, 3, 2), [7]) == "the size must hold a height and a width, its shape is [1]"
    assert refusal("resize_bilinear", (1, 4, 3, 2), [7, 5], align_corners=True, half_pixel_centers=True) == (
        "align_corners and half_pixel_centers exclude each other"
    )
