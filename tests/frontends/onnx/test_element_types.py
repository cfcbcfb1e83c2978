"""Models of float16 and float64 become float32, with a note; bfloat16 is refused."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec.diagnostics import Note, Severity
from edgec.errors import ImportFailure, UnsupportedOp
from edgec.frontends.onnx import read_onnx
from edgec.ir.dtype import DType

RNG = np.random.default_rng(0)


def network(compare: Any, dtype: str) -> onnx.ModelProto:
    """Conv, BatchNormalization, Relu, MatMul and a softmax, all of one element type."""

    def stored(*shape: int) -> np.ndarray:
        return (RNG.standard_normal(shape) * 0.3).astype(dtype)

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "b", "b", "scale"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "d"], ["m"]),
        helper.make_node("Softmax", ["m"], ["y"], axis=1),
    ]
    constants = {"w": stored(4, 3, 3, 3), "b": stored(4), "scale": np.full(4, 0.75, dtype), "d": stored(4, 5)}
    return compare.nodes_model(nodes, {"x": stored(1, 3, 6, 6)}, ["y"], constants=constants)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_networks_are_computed_in_float32(compare: Any, dtype: str) -> None:
    model = network(compare, dtype)
    x = RNG.standard_normal((1, 3, 6, 6)).astype(dtype)
    if dtype == "float16":
        module = compare.check_onnx(model, {"x": x}, atol=2e-3)
    else:  # onnxruntime has no Conv for it
        module = compare.check_onnx(model, {"x": x}, oracle="reference")
    assert {v.dtype for v in module.main.values() if v.dtype.is_float} == {DType.FLOAT32}
    assert "cast" not in [op.opcode for op in module.main.ops]
    message = (
        f"{dtype} tensors were converted to float32, which TFLite's kernels compute in, inputs and outputs included; "
        "results differ from the source's by its rounding"
    )
    assert module.notes == [Note(Severity.INFO, "model.onnx", message)]


def test_float32_has_no_note(compare: Any) -> None:
    assert read_onnx(network(compare, "float32").SerializeToString()).notes == []


def test_weights_of_float16_behind_casts(compare: Any) -> None:
    """float32 inputs and outputs around a float16 network, as converters write it with keep_io_types."""
    nodes = [
        helper.make_node("Cast", ["x"], ["xh"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", ["xh", "w"], ["m"]),
        helper.make_node("Add", ["m", "w"], ["a"]),
        helper.make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT),
    ]
    x, w = RNG.standard_normal((3, 3)).astype(np.float32), RNG.standard_normal((3, 3)).astype(np.float16)
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants={"w": w}), {"x": x}, atol=3e-3)
    assert [op.opcode for op in module.main.ops] == ["fully_connected", "add"]
    assert [note.message[:7] for note in module.notes] == ["float16"]


def test_shape_arithmetic_stays_in_float64(compare: Any) -> None:
    """floor(3 * 0.99999999) is 2, in float32 it would be 3 (onnxruntime takes the factor for 1)."""
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["sizes", "almost"], ["less"]),
        helper.make_node("Floor", ["less"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["ends"], to=TensorProto.INT64),
        helper.make_node("Slice", ["x", "starts", "ends"], ["y"]),
    ]
    constants = {"almost": np.float64(0.99999999), "starts": np.zeros(2, np.int64)}
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants)
    module = compare.check_onnx(model, {"x": x}, oracle="reference")
    assert module.main.outputs[0].shape == (1, 2)
    assert module.notes == []


def test_constant_outputs(compare: Any) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Identity", ["c"], ["z"])]
    x = np.ones((1, 2), np.float32)
    model = compare.nodes_model(nodes, {"x": x}, ["y", "z"], constants={"c": np.arange(3, dtype=np.float64)})
    assert compare.check_onnx(model, {"x": x}).main.outputs[1].dtype is DType.FLOAT32


def test_bfloat16_is_refused(compare: Any) -> None:
    model = compare.node_model("Relu", [np.ones((1, 2), np.float32)])[0]
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
    with pytest.raises(ImportFailure) as caught:
        read_onnx(model.SerializeToString(), "m.onnx")
    reason = "is bfloat16, which is not supported; export the model in float32 or float16"
    assert str(caught.value) == f"Reading 'm.onnx': input 'x0' {reason}."

    model = compare.node_model("Add", [np.ones((1, 2), np.float32), np.ones(2, np.float32)], constants=[1])[0]
    model.graph.initializer[0].CopyFrom(helper.make_tensor("x1", TensorProto.BFLOAT16, [2], [1.0, 2.0]))
    with pytest.raises(UnsupportedOp) as refused:
        read_onnx(model.SerializeToString(), "m.onnx")
    assert f"'node' (Add) cannot be translated: its input 1 ('x1') {reason}." in str(refused.value)


def test_a_size_of_0_is_unknown(compare: Any) -> None:
    model = compare.node_model("Relu", [np.ones((2, 3), np.float32)])[0]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_value = 0
    assert read_onnx(model.SerializeToString()).main.inputs[0].shape == (1, 3)
    dims[1].dim_value = 0
    with pytest.raises(ImportFailure, match=r"dimension 1 is unknown; fix it with --shape x0="):
        read_onnx(model.SerializeToString())
    assert read_onnx(model.SerializeToString(), shapes={"x0": (4, 5)}).main.inputs[0].shape == (4, 5)


@pytest.mark.parametrize(
    ("stored", "name"),
    [(TensorProto.FLOAT8E4M3FN, "float8_e4m3fn"), (TensorProto.FLOAT8E5M2, "float8_e5m2"), (TensorProto.INT4, "int4")],
)
def test_inputs_that_no_kernel_computes_with_are_refused(compare: Any, stored: int, name: str) -> None:
    model = compare.node_model("Relu", [np.ones((1, 2), np.float32)])[0]
    model.graph.input[0].type.tensor_type.elem_type = stored
    with pytest.raises(ImportFailure) as caught:
        read_onnx(model.SerializeToString(), "m.onnx")
    assert str(caught.value) == f"Reading 'm.onnx': input 'x0' is {name}, which no TFLite kernel computes with."


def test_uint64_is_not_cast(compare: Any) -> None:
    feeds = {"x": np.ones((1, 2), np.float32), "y": np.ones((1, 2), np.uint64)}
    model = compare.nodes_model([helper.make_node("Pow", ["x", "y"], ["z"])], feeds, ["z"])
    with pytest.raises(UnsupportedOp, match=r"it would cast 'y' from uint64, which TFLite's kernel does not"):
        read_onnx(model.SerializeToString(), "m.onnx")
