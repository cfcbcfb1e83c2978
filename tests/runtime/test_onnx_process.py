"""onnxruntime in a process of its own: the same results, and crashes that are sentences."""

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec.errors import RuntimeFailure
from edgec.runtime.onnx_process import OnnxProcess
from edgec.runtime.onnx_source import OnnxSession


def write(folder: Path, node: onnx.NodeProto, inputs: dict[str, list[int]], outputs: list[str]) -> Path:
    graph = helper.make_graph(
        [node], "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )  # fmt: skip
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_results_and_borders_are_those_of_a_session(tmp_path: Path) -> None:
    path = write(tmp_path, helper.make_node("Split", ["x"], ["a", "b"], axis=1), {"x": [2, 6]}, ["a", "b"])
    process, session = OnnxProcess(path), OnnxSession(path)
    assert (tuple(process.inputs), tuple(process.outputs)) == (session.inputs, session.outputs)
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(2, 6)).astype(np.float32)
        for got, wanted in zip(process.run({"x": x}), session.run({"x": x}), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_modules_of_shared_folders_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may write into the system's folder for temporary files, and models lie in folders of their own."""
    path = write(tmp_path, helper.make_node("Relu", ["x"], ["y"]), {"x": [2]}, ["y"])
    (tmp_path / "json.py").write_text("raise SystemExit('planted')")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (found,) = OnnxProcess(path).run({"x": np.array([-1, 2], np.float32)})
    np.testing.assert_array_equal(found, [0, 2])


def test_a_refusal_is_the_sessions_own_sentence(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(RuntimeFailure) as expected:
        OnnxSession(path)
    with pytest.raises(RuntimeFailure) as found:
        OnnxProcess(path).run({})
    assert str(found.value) == str(expected.value)


def test_a_bad_input_leaves_it_usable(tmp_path: Path) -> None:
    process = OnnxProcess(write(tmp_path, helper.make_node("Relu", ["x"], ["y"]), {"x": [2]}, ["y"]))
    with pytest.raises(RuntimeFailure, match=r"input 'x' takes shape \[2\], \[3\] was given"):
        process.run({"x": np.zeros(3, np.float32)})
    assert process.run({"x": np.array([-1, 2], np.float32)})[0].tolist() == [0, 2]


def write_endless(folder: Path) -> Path:
    """A loop that goes on for as long as `on` says, which nothing changes."""
    scalar = [helper.make_tensor_value_info(name, TensorProto.FLOAT, []) for name in ("v", "w", "x", "y")]
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes_on"]), helper.make_node("Sin", ["v"], ["w"])], "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("going", TensorProto.BOOL, []), scalar[0]],
        [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []), scalar[1]],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "on", "x"], ["y"], body=body)], "net",
        [scalar[2], helper.make_tensor_value_info("on", TensorProto.BOOL, [])], [scalar[3]],
    )  # fmt: skip
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


ENDLESS = {"x": np.array(1, np.float32), "on": np.array(True)}
ENDING = {"x": np.array(1, np.float32), "on": np.array(False)}


def test_a_process_that_dies_is_a_sentence_and_is_started_anew(tmp_path: Path) -> None:
    process = OnnxProcess(write_endless(tmp_path))
    assert process.run(ENDING)[0] == 1
    crash = threading.Timer(0.3, process._process.kill)
    crash.start()
    with pytest.raises(RuntimeFailure, match=r"the runtime crashed with signal 9 \(SIGKILL\)"):
        process.run(ENDLESS)
    assert process.run(ENDING)[0] == 1


def test_a_run_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    process = OnnxProcess(write_endless(tmp_path), timeout_s=8.0)
    process.run(ENDING)
    process._timeout_s = 0.5
    with pytest.raises(RuntimeFailure, match=r"not finished after 0.5 s; it was ended"):
        process.run(ENDLESS)
