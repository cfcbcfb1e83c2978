from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    "shape", [(6, 4), (-1,), (2, -1), (0, 12), (0, 0, -1), (1, 0, 8, -1), (2, 3, 4), (2, 1, 3, 1, 4, 1)], ids=str
)
@pytest.mark.parametrize("opset", [7, 13, 19])
def test_reshape(compare: Any, shape: tuple[int, ...], opset: int) -> None:
    if shape == (1, 0, 8, -1):
        shape = (1, 0, 4, -1)
    compare.check_node("Reshape", [real(2, 3, 4), ints(*shape)], constants=[1], opset=opset)


def test_reshape_to_a_scalar_and_with_allowzero(compare: Any) -> None:
    compare.check_node("Reshape", [real(1, 1), ints()], constants=[1])
    compare.check_node("Reshape", [real(2, 3), ints(3, 2)], constants=[1], opset=14, allowzero=1)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2])
def test_flatten(compare: Any, axis: int) -> None:
    compare.check_node("Flatten", [real(2, 3, 4)], axis=axis, opset=13)


def test_squeeze_and_unsqueeze_by_attribute(compare: Any) -> None:
    compare.check_node("Squeeze", [real(1, 3, 1, 4)], opset=7)
    compare.check_node("Squeeze", [real(1, 3, 1, 4)], opset=11, axes=[-2])
    compare.check_node("Unsqueeze", [real(3, 4)], opset=7, axes=[0, 3])
    compare.check_node("Unsqueeze", [real(3, 4)], opset=11, axes=[-1, 1])


def test_squeeze_and_unsqueeze_by_operand(compare: Any) -> None:
    compare.check_node("Squeeze", [real(1, 3, 1, 4)], opset=13)
    compare.check_node("Squeeze", [real(1, 3, 1, 4), ints(0, -2)], constants=[1], opset=21)
    compare.check_node("Unsqueeze", [real(3, 4), ints(-1, 0)], constants=[1], opset=13)


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 1), (5, 1, 1, 4), (1,)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_expand(compare: Any, shape: tuple[int, ...], dtype: str) -> None:
    compare.check_node("Expand", [(real(3, 1) * 3).astype(dtype), ints(*shape)], constants=[1])


@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 1, 3)], ids=str)
def test_tile(compare: Any, repeats: tuple[int, ...]) -> None:
    compare.check_node("Tile", [real(2, 3, 4), ints(*repeats)], constants=[1])


def test_identity_and_dropout_leave_nothing_behind(compare: Any) -> None:
    x = real(2, 3)
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Identity", ["a"], ["b"]),
        helper.make_node("Dropout", ["b"], ["c"]), helper.make_node("Neg", ["c"], ["y"]),
    ]  # fmt: skip
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"]), {"x": x})
    assert [op.opcode for op in module.main.ops] == ["relu", "neg"]


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout_keeps_everything(compare: Any, opset: int) -> None:
    compare.check_node("Dropout", [real(2, 3)], opset=opset)


def test_the_mask_of_dropout_is_all_true(compare: Any) -> None:
    compare.check_node("Dropout", [real(2, 3)], outputs=2, opset=13)


NUMBERS = np.array([[-1.7, -0.2, 0.0], [0.4, 1.9, 100.0]], np.float32)
TYPES = {
    "float16": TensorProto.FLOAT16, "int8": TensorProto.INT8, "int32": TensorProto.INT32, "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL, "float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int16": TensorProto.INT16,
}  # fmt: skip


@pytest.mark.parametrize("source", ["float32", "int32", "int64", "bool", "uint8", "float16"])
@pytest.mark.parametrize("target", TYPES)
def test_cast(compare: Any, source: str, target: str) -> None:
    x = np.abs(NUMBERS).astype(source) if source == "uint8" else NUMBERS.astype(source)
    compare.check_node("Cast", [x], to=TYPES[target])


@pytest.mark.parametrize("opset", [7, 9, 13, 19])
def test_cast_of_every_opset(compare: Any, opset: int) -> None:
    compare.check_node("Cast", [NUMBERS], to=TensorProto.INT32, opset=opset)


def test_cast_like(compare: Any) -> None:
    compare.check_node("CastLike", [NUMBERS, ints(0)], opset=15)


def test_shape_arithmetic_folds_away(compare: Any) -> None:
    x = real(2, 3, 4)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "axes": ints(0), "rest": ints(-1)}
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants), {"x": x})
    assert [op.opcode for op in module.main.ops] == ["reshape"]


def test_constants_made_by_nodes(compare: Any) -> None:
    x = real(2, 3)
    nodes = [
        helper.make_node("Size", ["x"], ["limit"]),
        helper.make_node("Range", ["zero", "limit", "one"], ["counted"]),
        helper.make_node("Cast", ["counted"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Reshape", ["floats", "shape"], ["table"]),
        helper.make_node("ConstantOfShape", ["shape"], ["twos"], value=helper.make_tensor("v", 1, [1], [2.0])),
        helper.make_node("Mul", ["table", "twos"], ["product"]),
        helper.make_node("Constant", [], ["three"], value_float=3.0),
        helper.make_node("Add", ["product", "three"], ["offset"]),
        helper.make_node("Add", ["x", "offset"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "one": np.int64(1)}
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants), {"x": x})
    assert [op.opcode for op in module.main.ops] == ["add"]


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
def test_one_hot(compare: Any, axis: int) -> None:
    indices = np.array([[0, 2, -1], [7, -5, 3]], np.int64)
    compare.check_node("OneHot", [indices, np.int64(4), np.array([0.5, 2], np.float32)], constants=[1, 2], axis=axis)


def test_one_hot_of_other_types(compare: Any) -> None:
    indices = np.array([0, 2, -1], np.float32)
    values = np.array([3, 9], np.int64)
    compare.check_node("OneHot", [indices.astype(np.int64), np.array([4]), values], constants=[1])
    compare.check_node("OneHot", [indices, np.float32(4), np.array([0, 1], np.float32)], constants=[1, 2])


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, -1, 0, 2])
def test_trilu(compare: Any, upper: int, k: int | None) -> None:
    operands = [real(2, 3, 4)] if k is None else [real(2, 3, 4), np.int64(k)]
    compare.check_node("Trilu", operands, constants=range(1, len(operands)), upper=upper)


@pytest.mark.parametrize("k", [-(2**62), -9, 9, 2**62])
def test_trilu_far_from_the_diagonal(compare: Any, k: int) -> None:
    for upper in (0, 1):
        compare.check_node("Trilu", [real(3, 4), np.int64(k)], constants=[1], upper=upper, oracle="reference")


def test_trilu_of_other_types(compare: Any) -> None:
    compare.check_node("Trilu", [RNG.integers(1, 9, (3, 3))])
    compare.check_node("Trilu", [np.ones((3, 3), np.bool_)])


def test_eye_like(compare: Any) -> None:
    compare.check_node("EyeLike", [real(3, 4)], k=1)
    compare.check_node("EyeLike", [real(3, 4)], dtype=TensorProto.INT64)


def test_refusals(compare: Any) -> None:
    x = real(2, 3)
    reason = "its shape follows from numbers that are only known at run time, and the model states none"
    assert compare.refusal("Reshape", [x, ints(6)]) == reason
    assert compare.refusal("Tile", [x, ints(1, 1)]) == reason
    assert compare.refusal("Tile", [x, real(2)], constants=[1]) == "its input 1 must be integers"
    assert compare.refusal("Trilu", [real(3)]) == "its operand [3] is no matrix"
    fits = "[2, 3] does not fit into the shape [4, -1]"
    assert compare.refusal("Reshape", [x, ints(4, -1)], constants=[1]) == fits
    assert compare.refusal("Squeeze", [x, ints(1)], constants=[1]) == "axes [1] of [2, 3] have not size 1"
    bfloat = "its result is bfloat16, which is not supported; export the model in float32 or float16"
    assert compare.refusal("Cast", [x], to=TensorProto.BFLOAT16) == bfloat
    training = "training_mode is set; export the model for inference"
    assert compare.refusal("Dropout", [x, None, np.bool_(True)], constants=[2]) == training
    assert compare.refusal("Range", [np.int64(0), np.int64(5), np.int64(1)]) == reason


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_the_mask_of_a_dropout(compare: Any, opset: int) -> None:
    """All false before opset 12, which left it open, all true since: what onnxruntime gives."""
    compare.check_node("Dropout", [np.ones((2, 3), np.float32)], outputs=2, opset=opset)
