"""`edgec bench` runs an artifact on inputs that its ops take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.driver.bench import bench_artifact
from edgec.driver.feeds import trial_inputs
from edgec.driver.original import try_out
from edgec.errors import RuntimeFailure
from edgec.frontends.tflite import load_tflite
from edgec.runtime.isolated import run_isolated
from edgec.runtime.litert import LiteRTSession
from edgec.target.load import load_target

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shares(tmp_path: Path) -> Path:
    """A `.tflite` that divides by its integer input, which LiteRT refuses to do by 0."""
    graph = helper.make_graph(
        [helper.make_node("Div", ["whole", "number"], ["y"])],
        "g",
        [helper.make_tensor_value_info("number", TensorProto.INT32, [4])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [4])],
        [numpy_helper.from_array(np.asarray([60, 61, 62, 63], np.int32), "whole")],
    )
    path = tmp_path / "shares.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    compile_model(path, CompileOptions(device="rpi4", scheme="fp32")).write(tmp_path)
    return tmp_path / "model.tflite"


def test_a_divisor_is_not_zero(shares: Path) -> None:
    model, module = shares.read_bytes(), load_tflite(shares)
    with pytest.raises(RuntimeFailure):
        run_isolated("litert", model, [])  # by what the runtime says of the input alone
    (number,) = trial_inputs(module)
    assert number.all()
    found = bench_artifact(shares, "builtin", threads=1, runs=1)
    assert found["outputs"][0]["shape"] == [4]
    try_out(model, module, load_target("mobile-cpu"))


def test_inputs_are_what_the_artifact_takes() -> None:
    pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")
    calibration = ROOT / "calibration" / "digits.toml"
    options = CompileOptions(device="stm32l4r5", calibration=calibration)
    result = compile_model(ROOT / "examples" / "digits.onnx", options)
    (array,) = trial_inputs(result.module)
    (info,) = LiteRTSession(result.artifact).input_details
    assert array.dtype == info.dtype == np.int8
    assert array.shape == info.shape
    assert len(np.unique(array)) > 32
