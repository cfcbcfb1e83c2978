"""Shapes, MACs and refusals of matrix products, worked out by hand."""

from collections.abc import Callable

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]
WEIGHT = np.zeros((5, 4), np.float32)


def test_fully_connected_flattens_all_but_its_inputs(shape: Shape) -> None:
    assert shape("fully_connected", (2, 3, 4), WEIGHT) == (6, 5)
    assert shape("fully_connected", (2, 3, 4), WEIGHT, keep_num_dims=True) == (2, 3, 5)


def test_fully_connected_with_shuffled_weights_has_a_second_result(make: Make) -> None:
    op = make("fully_connected", (1, 4), WEIGHT, weights_format="SHUFFLED4x16INT8")
    assert [result.dtype for result in op.results] == [DType.FLOAT32, DType.UINT8]
    assert OP_DEFS[op.opcode].macs(op) == 20


def test_macs(make: Make) -> None:
    assert OP_DEFS["fully_connected"].macs(make("fully_connected", (2, 3, 4), WEIGHT)) == 6 * 5 * 4
    product = make("batch_matmul", (2, 7, 3), (1, 5, 3), adj_y=True)
    assert product.result.shape == (2, 7, 5)
    assert OP_DEFS["batch_matmul"].macs(product) == 2 * 7 * 5 * 3


def test_moving_batches(make: Make) -> None:
    x = TensorType((1, 4), DType.FLOAT32, None, (-1, 4))
    assert make("fully_connected", x, WEIGHT).result.type.signature == (-1, 5)
    y = TensorType((1, 3, 4), DType.FLOAT32, None, (-1, 3, 4))
    assert make("batch_matmul", y, (4, 2)).result.type.signature == (-1, 3, 2)


def test_sizes_known_at_run_time_only_fit_any_weights(make: Make) -> None:
    x = TensorType((1, 1), DType.FLOAT32, None, (-1, -1))
    for keep_num_dims in (False, True):
        result = make("fully_connected", x, WEIGHT, keep_num_dims=keep_num_dims).result.type
        assert (result.shape, result.is_dynamic) == ((1, 5), True)


def test_hybrid_and_integer_products(make: Make) -> None:
    int8 = TensorType((2, 3), DType.INT8)
    assert make("batch_matmul", (4, 2), int8).result.dtype is DType.FLOAT32
    wide = make("batch_matmul", int8, TensorType((3, 2), DType.INT8), results=[TensorType((2, 2), DType.INT32)])
    assert [t.dtype for t in OP_DEFS["batch_matmul"].infer(wide)] == [DType.INT32]


def test_embedding_rows(make: Make) -> None:
    assert make("embedding_lookup", [2, 0, 1], WEIGHT).result.type == TensorType((3, 4), DType.FLOAT32)
    assert make("embedding_lookup", [1], WEIGHT.astype(np.int8)).result.dtype is DType.FLOAT32


def test_refusals(refusal: Refusal) -> None:
    assert refusal("fully_connected", (2, 3), WEIGHT) == "6 input elements do not fit weights [5, 4]"
    assert refusal("fully_connected", (2, 3), WEIGHT, keep_num_dims=True) == "3 inputs do not fit weights [5, 4]"
    assert refusal("fully_connected", (2, 4), np.zeros((5, 0), np.float32)) == (
        "8 input elements do not fit weights [5, 0]"
    )
    assert refusal("batch_matmul", (2, 3), (2, 3)) == "[2, 3] and [2, 3] have inner sizes 3 and 2"
    assert refusal("batch_matmul", (2, 1, 3), (5, 3, 1)) == "shapes [2] and [5] do not broadcast"
    assert refusal("batch_matmul", (2, 3), TensorType((3, 2), DType.INT16)) == "float32 does not go with int16"
