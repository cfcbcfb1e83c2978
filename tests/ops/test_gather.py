"""Shapes and refusals of picking and scattering, worked out by hand."""

from collections.abc import Callable

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]
Infer = Callable[..., list[TensorType]]
BOOLS = TensorType((2, 3), DType.BOOL)
ONE, ZERO = np.float32(1), np.float32(0)
INDEX = TensorType((), DType.INT32)


def test_shapes(shape: Shape) -> None:
    assert shape("gather", (3, 4, 5), [[2, 0]], axis=1) == (3, 1, 2, 5)
    assert shape("gather", (2, 3, 4), [[2], [1]], axis=2, batch_dims=1) == (2, 3, 1)
    assert shape("gather_nd", (3, 4, 5), [[2, 0], [1, 1]]) == (2, 5)
    assert shape("scatter_nd", [[1], [3]], (2, 4), [5, 4]) == (5, 4)
    assert shape("one_hot", [1, 2], [5], ONE, ZERO, axis=0) == (5, 2)
    assert shape("select_v2", TensorType((2, 1), DType.BOOL), (1, 3), ()) == (2, 3)
    assert shape("sparse_to_dense", [[0, 1]], [3, 4], (1,), ONE) == (3, 4)
    assert shape("segment_sum", (4, 3), [0, 0, 1, 2]) == (3, 3)
    assert shape("unsorted_segment_max", (4, 3), [0, 0, 1, 2], [7]) == (7, 3)


def test_several_results(infer: Infer) -> None:
    top = [TensorType((2, 3), DType.FLOAT32), TensorType((2, 3), DType.INT32)]
    assert infer("topk_v2", (2, 5), [3]) == top
    assert infer("unique", (5,), idx_out_type="INT64") == [
        TensorType((5,), DType.FLOAT32, None, (-1,)), TensorType((5,), DType.INT64),
    ]  # fmt: skip
    boxes = infer("non_max_suppression_v5", (9, 4), (9,), np.int32(3), ONE, ONE, ONE)
    assert [(t.shape, t.dtype.value) for t in boxes] == [((3,), "int32"), ((3,), "float32"), ((), "int32")]
    assert infer("hashtable_lookup", [1, 2], [1, 2, 3], (3, 4)) == [
        TensorType((2, 4), DType.FLOAT32), TensorType((2,), DType.UINT8),
    ]  # fmt: skip


def test_what_depends_on_values_is_dynamic_and_guessed_at_its_largest(make: Make) -> None:
    assert make("where", BOOLS).result.type == TensorType((6, 2), DType.INT64, None, (-1, 2))
    boxes = make("non_max_suppression_v4", (9, 4), (9,), INDEX, ONE, ONE).results[0]
    assert boxes.type == TensorType((9,), DType.INT32, None, (-1,))
    assert make("topk_v2", (2, 5), INDEX).results[0].type.signature == (2, -1)
    assert make("one_hot", [1, 2], INDEX, ONE, ZERO, axis=-1).result.type.signature == (2, -1)
    moving = TensorType((1, 3), DType.FLOAT32, None, (-1, 3))
    assert make("gather", moving, [0, 1], axis=1).result.type.signature == (-1, 2)


def test_refusals(refusal: Refusal) -> None:
    assert refusal("gather", (3, 4), (2,)).endswith("must hold indices, found float32")
    assert refusal("gather", (3, 4), [0], axis=-3) == "axis -3 is outside rank 2"
    assert refusal("gather", (3, 4), [0], axis=0, batch_dims=1).startswith("1 batch dimensions do not fit axis 0")
    assert refusal("gather_nd", (3, 4), [[0, 0, 0]]) == "indices [1, 3] do not point into [3, 4]"
    assert refusal("gather_nd", (3, 4), np.int32(0)) == "indices [] do not point into [3, 4]"
    assert refusal("scatter_nd", [[1], [3]], (2, 4), [5, 3]) == (
        "updates [2, 4] at indices [2, 1] do not fit into [5, 3]"
    )
    assert refusal("scatter_nd", [[1], [3]], (2, 4), [-5, 4]) == (
        "dimension -5 of shape [-5, 4] is outside 0..2147483647"
    )
    assert refusal("one_hot", [1], [-1], ONE, ZERO) == "depth -1 must not be negative"
    assert refusal("topk_v2", (2, 5), [6]) == "k is 6, the last dimension of [2, 5] has 5"
    assert refusal("select", (2, 3), (2, 3), (2, 3)) == "the condition must be bool, found float32"
    assert refusal("select", BOOLS, (3, 3), (3, 3)) == "a condition of [2, 3] does not fit [3, 3]"
    assert refusal("bucketize", (3,), boundaries=(1.0, 0.0)) == "boundaries must rise"
    assert refusal("segment_sum", (4, 3), [0, 1]) == "segment ids [2] do not fit [4, 3]"
    assert refusal("non_max_suppression_v4", (9, 4), (8,), INDEX, ONE, ONE) == (
        "boxes [9, 4] and scores [8] must be [n, 4] and [n]"
    )
