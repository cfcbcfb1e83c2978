"""Shapes and refusals of reshapes, worked out by hand."""

from collections.abc import Callable

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]


def test_reshape_takes_operand_or_attribute(shape: Shape) -> None:
    assert shape("reshape", (2, 3, 4), [4, -1]) == (4, 6)
    assert shape("reshape", (2, 3, 4), new_shape=(-1,)) == (24,)
    assert shape("reshape", (2, 3, 4), [4, 6], new_shape=(1, 1)) == (4, 6)
    assert shape("reshape", (1, 1), np.zeros(0, np.int32)) == ()
    assert shape("reshape", (0, 3), [0, 7]) == (0, 7)


def test_a_shape_computed_at_run_time_gives_the_rank(make: Make) -> None:
    op = make("reshape", (2, 3, 4), TensorType((2,), DType.INT32))
    assert op.result.type == TensorType((1, 24), DType.FLOAT32, None, (-1, -1))


def test_reshape_of_a_moving_batch(make: Make) -> None:
    x = TensorType((1, 2, 3), DType.FLOAT32, None, (-1, 2, 3))
    assert make("reshape", x, [-1, 6]).result.type.signature == (-1, 6)
    assert make("reshape", x, [1, 6]).result.type.signature is None


def test_squeeze_and_expand_dims(shape: Shape) -> None:
    assert shape("squeeze", (1, 3, 1)) == (3,)
    assert shape("squeeze", (1, 3, 1), squeeze_dims=(-1,)) == (1, 3)
    assert shape("expand_dims", (2, 3), [0]) == (1, 2, 3)
    assert shape("expand_dims", (2, 3), [-1]) == (2, 3, 1)
    assert shape("expand_dims", (), [0]) == (1,)


def test_shape_and_rank(make: Make) -> None:
    assert make("shape", (2, 3, 4), out_type="INT64").result.type == TensorType((3,), DType.INT64)
    assert make("rank", (2, 3, 4)).result.type == TensorType((), DType.INT32)


def test_refusals(refusal: Refusal) -> None:
    assert refusal("reshape", (2, 3), [4, -1]) == "6 elements of [2, 3] do not divide into [4, -1]"
    assert refusal("reshape", (2, 3), [0, -1]) == "6 elements of [2, 3] do not divide into [0, -1]"
    assert refusal("reshape", (2, 3), [4, 2]) == "6 elements of [2, 3] do not fit into [4, 2]"
    assert refusal("reshape", (2, 3), [-1, -1]) == "new shape [-1, -1] has negative sizes other than a single -1"
    assert refusal("reshape", (2, 3), np.ones(33, np.int32)).endswith("has 33 elements, at most 32 can be meant")
    assert refusal("reshape", (2, 3), np.ones(1, np.float32)).endswith("must hold integers, found float32")
    assert refusal("squeeze", (2, 1), squeeze_dims=(0,)) == "axis 0 of [2, 1] has not size 1"
    assert refusal("squeeze", (2, 1), squeeze_dims=(2,)) == "axis 2 is outside rank 2"
    assert refusal("expand_dims", (2, 1), [4]) == "axis 4 is outside rank 3"
    assert refusal("shape", (2,)) == "out_type is FLOAT32, must be INT32 or INT64"
