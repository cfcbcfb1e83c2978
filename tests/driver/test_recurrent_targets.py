"""A recurrent layer becomes what the target runs: TFLite's one op where float runs, int8 steps where only int8 does."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.driver.first_departure import _read_again
from edgec.driver.source import ReadOptions, load_source

STEPS, INPUTS, HIDDEN = 4, 3, 5


@pytest.fixture
def lstm(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    shapes = {"w": (1, 4 * HIDDEN, INPUTS), "r": (1, 4 * HIDDEN, HIDDEN), "b": (1, 8 * HIDDEN)}
    constants = [
        numpy_helper.from_array((rng.standard_normal(shape) * 0.4).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=HIDDEN)], "lstm",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [STEPS, 1, INPUTS])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [STEPS, 1, 1, HIDDEN])], constants,
    )  # fmt: skip
    path = tmp_path / "lstm.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    np.savez(tmp_path / "samples.npz", x=rng.standard_normal((16, STEPS, 1, INPUTS)).astype(np.float32))
    return path


def test_one_op_where_float_runs(lstm: Path) -> None:
    result = compile_model(lstm, CompileOptions(device="rpi4", scheme="fp32"))
    assert "unidirectional_sequence_lstm" in [op.opcode for op in result.module.main.ops]
    check = result.report.checks.float_vs_source
    assert check is not None
    assert check.passed


def test_int8_steps_where_only_int8_runs(lstm: Path) -> None:
    pytest.importorskip("tflite_micro")
    options = CompileOptions(device="stm32f746", scheme="w8a8", calibration=lstm.parent / "samples.npz")
    result = compile_model(lstm, options)
    opcodes = [op.opcode for graph in result.module.graphs for op in graph.ops]
    assert "unidirectional_sequence_lstm" not in opcodes
    assert opcodes.count("logistic") == 3 * STEPS
    check = result.report.checks.artifact_vs_float
    assert check is not None
    assert check.sqnr_db is not None
    assert check.sqnr_db > 20  # 8 bits in each of some ten ops a step; a wrong gate gives about 0


@pytest.mark.parametrize("unroll", [False, True])
def test_a_departure_is_sought_in_what_was_compiled(lstm: Path, unroll: bool) -> None:
    source = load_source(lstm, options=ReadOptions(unroll=unroll))
    again = _read_again(source).module
    opcodes = [op.opcode for op in again.main.ops]
    assert opcodes == [op.opcode for op in source.module.main.ops]
    assert ("unidirectional_sequence_lstm" in opcodes) != unroll
