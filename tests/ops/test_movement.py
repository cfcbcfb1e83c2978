"""Shapes and refusals of ops that move elements, worked out by hand."""

from collections.abc import Callable

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]
Infer = Callable[..., list[TensorType]]
MOVING = TensorType((1, 2, 3), DType.FLOAT32, None, (-1, 2, 3))
AT_RUN_TIME = TensorType((2,), DType.INT32)


def test_shapes(shape: Shape) -> None:
    assert shape("transpose", (2, 3, 4), [2, 0, 1]) == (4, 2, 3)
    assert shape("concatenation", (2, 3), (2, 4), (2, 1), axis=-1) == (2, 8)
    assert shape("slice", (4, 5), [1, 2], [-1, 2]) == (3, 2)
    assert shape("pad", (2, 3), [[1, 2], [0, 4]]) == (5, 7)
    assert shape("mirror_pad", (3, 4), [[2, 2], [3, 0]], mode="REFLECT") == (7, 7)
    assert shape("tile", (2, 3), [2, 0]) == (4, 0)
    assert shape("broadcast_to", (3, 1), [2, 3, 4]) == (2, 3, 4)
    assert shape("broadcast_args", [1, 2], [3, 1, 1]) == (3,)
    assert shape("pack", (2, 3), (2, 3), values_count=2, axis=-1) == (2, 3, 2)
    assert shape("reverse_v2", (2, 3), [-1]) == (2, 3)
    assert shape("dynamic_update_slice", (4, 5), (2, 2), [9, -9]) == (4, 5)
    assert shape("dilate", (2, 0), [3, 3], np.float32(0)) == (4, 0)


def test_splits(infer: Infer) -> None:
    assert [t.shape for t in infer("split", [1], (2, 6), num_splits=3)] == [(2, 2)] * 3
    assert [t.shape for t in infer("split_v", (2, 6), [1, -1, 2], [1], num_splits=3)] == [(2, 1), (2, 3), (2, 2)]
    assert [t.shape for t in infer("unpack", (2, 3), num=3, axis=-1)] == [(2,)] * 3


def test_what_moves_keeps_moving(make: Make) -> None:
    def signature(opcode: str, *operands: object, **attributes: object) -> tuple[int, ...] | None:
        return make(opcode, *operands, **attributes).results[0].type.signature

    assert signature("transpose", MOVING, [1, 0, 2]) == (2, -1, 3)
    assert signature("concatenation", MOVING, (1, 2, 3), axis=0) == (-1, 2, 3)
    assert signature("concatenation", MOVING, (1, 2, 5), axis=2) == (-1, 2, 8)
    assert signature("pad", MOVING, [[0, 0], [1, 1], [0, 0]]) == (-1, 4, 3)
    assert signature("pack", MOVING, (1, 2, 3), values_count=2, axis=0) == (2, -1, 2, 3)
    assert signature("unpack", MOVING, num=2, axis=1) == (-1, 3)
    assert signature("slice", MOVING, [0, 0, 0], [-1, 2, 2]) == (-1, 2, 2)
    assert signature("slice", MOVING, [0, 0, 0], [1, 2, 2]) is None


def test_operands_known_at_run_time_only(make: Make) -> None:
    assert make("tile", (2, 3), AT_RUN_TIME).result.type.signature == (-1, -1)
    assert make("slice", (4, 5), AT_RUN_TIME, [2, -1]).result.type == TensorType((2, 5), DType.FLOAT32, None, (2, -1))
    assert make("broadcast_to", (3,), AT_RUN_TIME).result.type.signature == (-1, -1)


def test_parts_of_unknown_sizes_join_those_of_known_ones(make: Make) -> None:
    unknown = TensorType((1, 1), DType.FLOAT32, None, (-1, -1))
    joined = make("concatenation", unknown, (1, 8), unknown, axis=0).result.type
    assert (joined.shape[1], joined.signature) == (8, (-1, -1))


def test_refusals(refusal: Refusal) -> None:
    assert refusal("transpose", (2, 3), [0, 0]).startswith("[0, 0] is no permutation of the 2 axes of ")
    assert refusal("concatenation", (2, 3), (3, 3), axis=1) == "[3, 3] does not join [2, 3] along axis 1"
    assert refusal("concatenation", (2, 3), (2, 3), axis=2) == "axis 2 is outside rank 2"
    assert refusal("split", [1], (2, 6), num_splits=4) == "axis 1 of [2, 6] does not split into 4 equal parts"
    assert refusal("split", [1], (2, 6), num_splits=0) == "num_splits is 0, must lie between 1 and 65536"
    assert refusal("split_v", (6,), [4, 4], [0], num_splits=2) == "sizes [4, 4] do not cut axis 0 of [6] into 2 parts"
    assert refusal("split_v", (6,), [4, 1], [0], num_splits=2) == "sizes [4, 1] add up to 5, axis 0 of [6] differs"
    assert refusal("split_v", (6,), np.zeros(0, np.int32), [0], num_splits=1).startswith("sizes [] do not cut")
    assert refusal("slice", (4, 5), [1, 2], [-1, 4]) == "begin [1, 2] and size [-1, 4] reach outside [4, 5]"
    assert refusal("pad", (2, 3), [[1, -2], [0, 4]]) == "paddings [1, -2, 0, 4] must not be negative"
    assert refusal("pad", (2, 3), [[1, 2]]) == "paddings [1, 2] must be [2, 2]"
    assert refusal("mirror_pad", (3, 4), [[3, 0], [0, 0]], mode="REFLECT") == (
        "paddings [3, 0] mirror more than a size of 3 holds in mode REFLECT"
    )
    assert refusal("tile", (2, 3), [2, -1]) == "multiples [2, -1] must not be negative"
    assert refusal("broadcast_to", (3,), [2, 4]) == "shapes [3] and [2, 4] do not broadcast"
    assert refusal("broadcast_to", (3, 1), [1]) == "[3, 1] does not broadcast to [1]"
    assert refusal("pack", (2,), (2,), values_count=3) == "values_count is 3, there are 2 operands"
    assert refusal("unpack", (2,), num=3) == "num is 3, axis 0 of [2] has size 2"
    assert refusal("reverse_sequence", (2, 3), [1, 1], seq_dim=0, batch_dim=0) == "seq_dim and batch_dim are both 0"
    assert refusal("dynamic_update_slice", (2,), (3,), [0]) == "an update of [3] does not fit into [2]"
