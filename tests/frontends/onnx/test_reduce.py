from typing import Any

import numpy as np
import pytest

Array = np.ndarray
RNG = np.random.default_rng(0)
ALL = [
    "ReduceMean", "ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare",
]  # fmt: skip


def positive(*shape: int) -> Array:
    return (RNG.random(shape) + 0.5).astype(np.float32)


@pytest.mark.parametrize("axes", [None, [1], [-1], [2, 0], [1, 2, 3]], ids=str)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("op_type", ALL)
def test_axes_by_attribute(compare: Any, op_type: str, keepdims: int, axes: list[int] | None) -> None:
    attributes = {} if axes is None else {"axes": axes}
    compare.check_node(op_type, [positive(2, 3, 2, 2)], opset=11, keepdims=keepdims, **attributes)


@pytest.mark.parametrize("op_type", ALL)
def test_axes_by_operand(compare: Any, op_type: str) -> None:
    for axes in ([0, -1], [1]):
        compare.check_node(op_type, [positive(2, 3, 4), np.array(axes)], constants=[1], opset=18, keepdims=0)


@pytest.mark.parametrize("opset", [7, 12, 13, 18])
@pytest.mark.parametrize("op_type", ["ReduceMean", "ReduceSum"])
def test_every_opset(compare: Any, op_type: str, opset: int) -> None:
    if opset >= (13 if op_type == "ReduceSum" else 18):
        compare.check_node(op_type, [positive(2, 3, 4), np.array([1])], constants=[1], opset=opset)
    else:
        compare.check_node(op_type, [positive(2, 3, 4)], axes=[1], opset=opset)


@pytest.mark.parametrize("noop", [0, 1])
@pytest.mark.parametrize("op_type", ALL)
def test_no_axes_means_all_or_none(compare: Any, op_type: str, noop: int) -> None:
    module = compare.check_node(op_type, [positive(2, 3)], opset=18, noop_with_empty_axes=noop)
    if op_type in ALL[:5]:
        assert len(list(module.main.ops)) == 1 - noop


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceProd", "ReduceL1"])
def test_integers(compare: Any, op_type: str, dtype: str) -> None:
    x = RNG.integers(-4, 9, (3, 4)).astype(dtype)
    if op_type == "ReduceMean":
        x = np.abs(x)
    if op_type == "ReduceSum":
        compare.check_node(op_type, [x, np.array([1])], constants=[1], opset=13)
    else:
        compare.check_node(op_type, [x], axes=[1], opset=13)


def test_extremes_of_small_types_and_booleans(compare: Any) -> None:
    small = RNG.integers(-9, 9, (3, 4)).astype(np.int8)
    for op_type in ("ReduceMax", "ReduceMin"):
        compare.check_node(op_type, [small], axes=[1], opset=13)
        compare.check_node(op_type, [small > 3, np.array([1])], constants=[1], opset=20)


def test_log_sum_exp_does_not_overflow(compare: Any) -> None:
    x = np.array([[200, 201, 199], [-200, -300, -201]], np.float32)
    compare.check_node("ReduceLogSumExp", [x], axes=[1], keepdims=0, opset=13)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("opset", [7, 13])
def test_positions_of_extremes(compare: Any, op_type: str, axis: int, keepdims: int, opset: int) -> None:
    x = RNG.integers(0, 4, (3, 4, 5)).astype(np.float32)  # with ties: the first counts
    compare.check_node(op_type, [x], axis=axis, keepdims=keepdims, opset=opset)


@pytest.mark.parametrize("dtype", ["int32", "int8", "uint8"])
def test_positions_in_integers(compare: Any, dtype: str) -> None:
    compare.check_node("ArgMax", [RNG.integers(0, 9, (3, 4)).astype(dtype)], axis=1)


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_positions_in_wide_integers(compare: Any, op_type: str) -> None:
    x = RNG.integers(0, 3, (3, 4, 5)) + (1 << 40)  # with ties, and beyond what int32 and float32 tell apart
    compare.check_node(op_type, [x], axis=1, keepdims=0)
    compare.check_node(op_type, [x], axis=-1, select_last_index=1)


def test_refusals(compare: Any) -> None:
    axes = compare.refusal("ReduceSum", [positive(2, 3), np.array([1])], opset=13)
    assert axes == "its shape follows from numbers that are only known at run time, and the model states none"
