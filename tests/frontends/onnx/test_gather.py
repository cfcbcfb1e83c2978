from typing import Any

import numpy as np
import pytest
from onnx import helper

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


INDICES = [np.array(2), np.array(-1), np.array([1]), np.array([0, -1]), np.array([[1, 2], [0, 3]]), np.array([1, 2, 3])]


@pytest.mark.parametrize("indices", INDICES, ids=lambda a: str(a.tolist()))
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("opset", [7, 13])
def test_gather_by_constants(compare: Any, indices: Array, axis: int, opset: int) -> None:
    compare.check_node("Gather", [real(4, 4, 4), indices], constants=[1], axis=axis, opset=opset)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_gather_by_indices_of_run_time(compare: Any, dtype: str) -> None:
    compare.check_node("Gather", [real(5, 3), np.array([[4, 0], [2, 2]], dtype)])
    compare.check_node("Gather", [real(5, 3), np.array([[4, 0], [2, 2]], dtype)], constants=[0])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_negative_indices_of_run_time(compare: Any, dtype: str) -> None:
    compare.check_node("Gather", [real(5, 3), np.array([[-1, 0], [2, -5]], dtype)])
    compare.check_node("Gather", [real(2, 5), np.array([-2, 4], dtype)], axis=1)
    compare.check_node("GatherElements", [real(3, 3), np.array([[-1, 0, 2], [-3, 1, -2]], dtype)])
    compare.check_node("GatherND", [real(3, 4), np.array([[-1, -4], [2, 3], [-3, 0]], np.int64)])
    compare.check_node("ScatterND", [real(4, 3), np.array([[-1], [0]]), real(2, 3)])


def test_indices_that_are_never_negative_are_taken_as_they_are(compare: Any) -> None:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["i"], axis=0, keepdims=0), helper.make_node("Gather", ["table", "i"], ["y"])
    ]  # fmt: skip
    x = real(4, 3)
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants={"table": real(4, 2)})
    module = compare.check_onnx(model, {"x": x})
    assert not {"maximum", "minimum", "mul", "sub"} & {op.opcode for op in module.main.ops}


def test_neighbours_are_sliced(compare: Any) -> None:
    module = compare.check_node("Gather", [real(5, 3), np.array([1, 2, 3])], constants=[1])
    assert [op.opcode for op in module.main.ops] == ["slice"]
    module = compare.check_node("Gather", [real(5, 3), np.array(-2)], constants=[1], axis=1)
    assert [op.opcode for op in module.main.ops] == ["strided_slice"]


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("constants", [(), (1,)])
def test_gather_elements(compare: Any, axis: int, constants: tuple[int, ...]) -> None:
    indices = RNG.integers(-3 if constants else 0, 3, (2, 3, 2))
    compare.check_node("GatherElements", [real(3, 3, 3), indices], constants=constants, axis=axis)


@pytest.mark.parametrize("constants", [(), (1,)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gather_nd(compare: Any, depth: int, constants: tuple[int, ...]) -> None:
    indices = RNG.integers(-2 if constants else 0, 2, (4, depth))
    compare.check_node("GatherND", [real(2, 2, 2), indices], constants=constants)


@pytest.mark.parametrize("constants", [(), (1,)])
@pytest.mark.parametrize("batch", [1, 2])
def test_gather_nd_in_batches(compare: Any, batch: int, constants: tuple[int, ...]) -> None:
    indices = RNG.integers(0, 3, (2, 3, 4, 1))
    compare.check_node("GatherND", [real(2, 3, 3, 3), indices], constants=constants, batch_dims=batch)


@pytest.mark.parametrize("constants", [(), (1,)])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "int8"])
def test_scatter_nd(compare: Any, dtype: str, constants: tuple[int, ...]) -> None:
    x, updates = (real(4, 3) * 9).astype(dtype), (real(2, 3) * 9).astype(dtype)
    compare.check_node("ScatterND", [x, np.array([[2], [0]]), updates], constants=constants)


def test_scatter_nd_adds(compare: Any) -> None:
    indices = np.array([[2, 1], [0, 0], [2, 1]])
    compare.check_node("ScatterND", [real(4, 3), indices, real(3)], opset=18, reduction="add")
    compare.check_node("ScatterND", [real(4, 3), indices - 3, real(3)], constants=[1], opset=18, reduction="add")


@pytest.mark.parametrize("axis", [0, 1])
def test_scatter_elements(compare: Any, axis: int) -> None:
    indices = np.array([[0, 1], [1, -1]])
    compare.check_node("ScatterElements", [real(3, 3), indices, real(2, 2)], constants=[1], axis=axis)


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_top_k(compare: Any, axis: int, largest: int, dtype: str) -> None:
    x = RNG.permutation(24).reshape(4, 6).astype(dtype)
    compare.check_node(
        "TopK", [x, np.array([3])], constants=[1], outputs=2, axis=axis, largest=largest, opset=11
    )  # fmt: skip


def test_top_k_before_opset_11(compare: Any) -> None:
    compare.check_node("TopK", [real(2, 5)], outputs=2, k=2, opset=7)
    compare.check_node("TopK", [real(2, 5), np.array([2])], constants=[1], outputs=2, opset=10)


def test_top_k_takes_the_first_of_equals(compare: Any) -> None:
    x = np.array([[1, 3, 3, 2, 3, 1]], np.float32)
    for largest in (0, 1):
        compare.check_node("TopK", [x, np.array([4])], constants=[1], outputs=2, largest=largest)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_cumulative_sum(compare: Any, exclusive: int, reverse: int, dtype: str) -> None:
    x = RNG.integers(-9, 9, (3, 4)).astype(dtype)
    compare.check_node("CumSum", [x, np.array(-1)], constants=[1], exclusive=exclusive, reverse=reverse)


def test_a_cumulative_sum_along_an_axis_of_one_element_folds(compare: Any) -> None:
    """As torch writes `[axis]` for triu and tril; onnxruntime takes it, ONNX's reference evaluator does not."""
    x = RNG.integers(-9, 9, (3, 4)).astype(np.float32)
    nodes = [helper.make_node("CumSum", ["c", "axis"], ["s"]), helper.make_node("Add", ["x", "s"], ["y"])]
    constants = {"c": x, "axis": np.array([1])}
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants), {"x": x})
    assert [op.opcode for op in module.main.ops] == ["add"]


def test_refusals(compare: Any) -> None:
    x, rows = real(3, 2), np.array([[1], [1]])
    out = compare.refusal("Gather", [x, np.array([3, 0])], constants=[1])
    assert out == "indices from 0 to 3 do not fit a size of 3"
    assert compare.refusal("GatherND", [x, np.array([[5]])], constants=[1]) == "indices do not fit into [3]"
    twice = compare.refusal("ScatterND", [x, rows, real(2, 2)], constants=[1])
    assert twice == "indices name one place twice"
    absent = compare.refusal("ScatterElements", [x, None, real(2, 2)])
    assert absent == "its input 1 is missing"
    count = compare.refusal("TopK", [x, np.array([1])], outputs=2)
    assert count == "its shape follows from numbers that are only known at run time, and the model states none"
