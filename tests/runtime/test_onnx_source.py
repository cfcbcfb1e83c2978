from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import RuntimeFailure
from edgec.runtime.onnx_source import OnnxSession

X = np.array([[-1, 0, 2]], np.float32)


def scaled_relu(opset: int = 17, ir_version: int = 8) -> Any:
    """y = relu(3 x), x float [batch, 3]; the inner value is "scaled"."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "three"], ["scaled"]), helper.make_node("Relu", ["scaled"], ["y"])],
        "scaled_relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.array([3, 3, 3], np.float32), "three")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def test_outputs_and_details(capfd: pytest.CaptureFixture[str]) -> None:
    session = OnnxSession(scaled_relu().SerializeToString())
    assert [output.tolist() for output in session.run({"x": X})] == [[[0, 0, 6]]]
    (info,) = session.inputs
    assert (info.name, info.shape, info.onnx_type) == ("x", ("batch", 3), "tensor(float)")
    assert info.dtype == np.dtype(np.float32)
    assert [info.name for info in session.outputs] == ["y"]
    assert capfd.readouterr().err == ""


def test_inner_values_by_name() -> None:
    session = OnnxSession(scaled_relu().SerializeToString())
    outputs, inner = session.run_with_intermediates({"x": X}, ["scaled", "y", "x", "three"])
    assert [output.tolist() for output in outputs] == [[[0, 0, 6]]]
    assert list(inner) == ["scaled", "y", "x", "three"]
    assert inner["scaled"].tolist() == [[-3, 0, 6]]
    assert inner["y"].tolist() == [[0, 0, 6]]
    assert inner["three"].tolist() == [3, 3, 3]


def test_unknown_inner_value_is_named() -> None:
    with pytest.raises(RuntimeFailure, match=r"its main graph has no value named \['absent'\]"):
        OnnxSession(scaled_relu().SerializeToString()).run_with_intermediates({"x": X}, ["absent"])


def test_external_weights_are_found_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "scaled.onnx"
    onnx.save_model(scaled_relu(), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 0
    session = OnnxSession(path)
    assert session.run({"x": X})[0].tolist() == [[0, 0, 6]]
    assert session.run_with_intermediates({"x": X}, ["scaled"])[1]["scaled"].tolist() == [[-3, 0, 6]]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (scaled_relu(ir_version=99), r"its IR version is too new, save it with IR version \d+ or lower: "),
        (scaled_relu(opset=99), r"its opset is too new, export it with opset \d+ or lower of domain ai.onnx: "),
    ],
    ids=["ir_version", "opset"],
)
def test_too_new_model_says_what_would_do(model: Any, reason: str) -> None:
    with pytest.raises(RuntimeFailure, match=reason) as failure:
        OnnxSession(model.SerializeToString())
    assert "\n" not in str(failure.value)


def test_garbage_and_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match=r"an ONNX model of 5 bytes in onnxruntime .*the runtime refuses it"):
        OnnxSession(b"hello")
    with pytest.raises(RuntimeFailure, match=r"absent\.onnx"):
        OnnxSession(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, r"its inputs are \['x'\], given were \[\]"),
        ({"x": X.astype(np.float64)}, "input 'x' takes float32, float64 was given"),
        ({"x": X[:, :2]}, r"input 'x' takes shape \['batch', 3\], \[1, 2\] was given"),
    ],
)
def test_input_that_does_not_fit_is_refused(inputs: dict[str, Any], reason: str) -> None:
    with pytest.raises(RuntimeFailure, match=reason):
        OnnxSession(scaled_relu().SerializeToString()).run(inputs)


def test_real_model_runs(shared_data: Path) -> None:
    session = OnnxSession(shared_data / "models" / "mlperf_tiny" / "pretrainedResnet.onnx", threads=2)
    (info,) = session.inputs
    shape = [size if isinstance(size, int) else 1 for size in info.shape]
    (probabilities,) = session.run({info.name: np.full(shape, 128, np.float32)})
    assert probabilities.shape == (1, 10)
    assert probabilities.sum() == pytest.approx(1, abs=1e-4)


def test_four_bit_weights_are_multiplied_as_onnx_defines_it() -> None:
    """Behind DequantizeLinear a MatMul takes reals: fused, onnxruntime would round its left operand to 8 bits."""
    rng = np.random.default_rng(0)
    steps, scale = rng.integers(-8, 8, (64, 16)), rng.uniform(0.01, 0.02, (2, 16)).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["real"], axis=0, block_size=32),
        helper.make_node("MatMul", ["x", "real"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 16])],
        [helper.make_tensor("w", TensorProto.INT4, [64, 16], steps.ravel()), numpy_helper.from_array(scale, "s")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    x = rng.normal(0, 1, (4, 64)).astype(np.float32)
    (y,) = OnnxSession(model.SerializeToString()).run({"x": x})
    np.testing.assert_allclose(y, x @ (steps * np.repeat(scale, 32, axis=0)), atol=1e-5)


def test_nodes_of_the_same_name_run(tmp_path: Path) -> None:
    model = scaled_relu()
    for node in model.graph.node:
        node.name = "same"
    assert len(model.graph.node) > 1
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "same.onnx"
    onnx.save_model(
        model, path, save_as_external_data=True, all_tensors_to_one_file=True, location="w.bin", size_threshold=0
    )
    want = OnnxSession(scaled_relu().SerializeToString()).run({"x": x})
    np.testing.assert_array_equal(OnnxSession(path).run({"x": x}), want)
    _, inner = OnnxSession(path).run_with_intermediates({"x": x}, [model.graph.node[0].output[0]])
    assert len(inner) == 1
