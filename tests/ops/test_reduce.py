"""Shapes and refusals of reductions, worked out by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]


@pytest.mark.parametrize("opcode", ["mean", "sum", "reduce_max", "reduce_min", "reduce_prod"])
def test_axes_go_or_become_one(shape: Shape, opcode: str) -> None:
    assert shape(opcode, (2, 3, 4), [-1, 0]) == (3,)
    assert shape(opcode, (2, 3, 4), [-1, 0, 0], keep_dims=True) == (1, 3, 1)
    assert shape(opcode, (2, 3, 4), np.zeros(0, np.int32)) == (2, 3, 4)


def test_moving_and_unknown_axes(make: Make) -> None:
    x = TensorType((1, 3, 4), DType.FLOAT32, None, (-1, 3, 4))
    assert make("mean", x, [1]).result.type.signature == (-1, 4)
    assert make("mean", x, [0], keep_dims=True).result.type.signature is None
    axes = TensorType((2,), DType.INT32)
    assert make("mean", (2, 3, 4), axes).result.type == TensorType((1,), DType.FLOAT32, None, (-1,))


def test_positions(make: Make) -> None:
    assert make("arg_max", (2, 3, 4), [1], output_type="INT64").result.type == TensorType((2, 4), DType.INT64)


def test_refusals(refusal: Refusal) -> None:
    assert refusal("mean", (2, 3), [2]) == "axis 2 is outside rank 2"
    assert refusal("reduce_any", (2, 3), [0]) == "takes bool, found float32"
    assert refusal("arg_max", (2, 3), [0]) == "output_type is FLOAT32, must be INT32 or INT64"
    assert refusal("arg_max", (2, 3), [0, 1], output_type="INT32").endswith("must have one element, its shape is [2]")
