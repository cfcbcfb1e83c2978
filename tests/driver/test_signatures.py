"""Inputs and outputs keep the source's names and order, in the report and in the signature that LiteRT reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from edgec.driver import CompileOptions, CompileResult, compile_model

SIGNATURE = "serving_default"


def runner_of(artifact: bytes) -> tuple[dict[str, list[str]], Any]:
    """What LiteRT's own interpreter says of the signature, and its runner."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=artifact)
    interpreter.allocate_tensors()
    return interpreter.get_signature_list()[SIGNATURE], interpreter.get_signature_runner(SIGNATURE)


def odd_borders(path: Path) -> Path:
    """Three inputs against the alphabet, one unused by any op; outputs repeated, constant, and an input as it is."""
    inputs = ["zebra:0", "a b/c", "über"]
    outputs = ["second", "first", "again", "constant", "as it is", "first/2"]
    nodes = [
        helper.make_node("Add", ["zebra:0", "a b/c"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["first"]),
        helper.make_node("Sub", ["zebra:0", "a b/c"], ["second"]),
        helper.make_node("Identity", ["first"], ["again"]),
        helper.make_node("Identity", ["über"], ["as it is"]),
        helper.make_node("Neg", ["first"], ["first/2"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in outputs],
        [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "constant")],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CompileResult]:
    path = odd_borders(tmp_path_factory.mktemp("odd") / "odd.onnx")
    return path, compile_model(path, CompileOptions("rpi4", scheme="fp32"))


def test_names_and_order_are_the_sources(odd: tuple[Path, CompileResult]) -> None:
    result = odd[1]
    assert [t.name for t in result.report.artifact.inputs] == ["zebra:0", "a b/c", "über"]
    assert [t.name for t in result.report.artifact.outputs] == [
        "second", "first", "again", "constant", "as it is", "first/2"
    ]  # fmt: skip
    found, _ = runner_of(result.artifact)
    assert sorted(found["inputs"]) == sorted(["zebra:0", "a b/c", "über"])
    assert sorted(found["outputs"]) == sorted(["second", "first", "again", "constant", "as it is", "first/2"])


def test_the_signature_runs_as_the_source(odd: tuple[Path, CompileResult]) -> None:
    path, result = odd
    generator = np.random.default_rng(0)
    feeds = {n: generator.standard_normal((2, 3)).astype(np.float32) for n in ("zebra:0", "a b/c", "über")}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
    found = runner_of(result.artifact)[1](**feeds)
    assert set(found) == set(wanted)
    for name, want in wanted.items():
        np.testing.assert_allclose(found[name], want, rtol=1e-6, err_msg=name)


def test_an_output_listed_twice_has_two_names(tmp_path: Path) -> None:
    info = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [info, info],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    result = compile_model(tmp_path / "net.onnx", CompileOptions("rpi4", scheme="fp32", check=False))
    found = runner_of(result.artifact)[1](x=np.array([1, -2], np.float32))
    assert {name: list(array) for name, array in found.items()} == {"y": [-1, 2], "y_1": [-1, 2]}
    assert [t.name for t in result.report.artifact.outputs] == ["y", "y_1"]


def test_signatures_survive_quantization_and_the_way_through_tflite(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("Gemm", ["x2", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["last"]),
        helper.make_node("Mul", ["last", "x1"], ["first"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("x2", "x1")],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("last", "first")],
        [numpy_helper.from_array(generator.standard_normal((8, 8)).astype(np.float32), "w")],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx")
    x1, x2 = generator.standard_normal((2, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x1=x1, x2=x2)
    options = CompileOptions("rpi4", scheme="w8a8", calibration=tmp_path / "samples.npz")
    quantized = compile_model(tmp_path / "net.onnx", options)
    (tmp_path / "again.tflite").write_bytes(quantized.artifact)
    again = compile_model(tmp_path / "again.tflite", CompileOptions("rpi4"))
    for result in (quantized, again):
        assert [t.name for t in result.report.artifact.inputs] == ["x2", "x1"]
        assert [t.name for t in result.report.artifact.outputs] == ["last", "first"]
        signature = result.module.signatures[0]
        assert [name for name, _ in signature.inputs] == ["x2", "x1"]
        assert [name for name, _ in signature.outputs] == ["last", "first"]
        assert set(runner_of(result.artifact)[0]["outputs"]) == {"last", "first"}
