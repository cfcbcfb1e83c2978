"""Microcontrollers run ops in the order that needs the smaller arena, byte for byte the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, CompileResult, compile_model
from edgec.runtime.tflm import TFLMSession

pytestmark = pytest.mark.mcu


def branches(folder: Path, *, side_by_side: bool) -> Path:
    """Four branches that widen and narrow again: written layer by layer, or branch by branch."""
    generator = np.random.default_rng(0)
    nodes: list[Any] = []
    weights: list[Any] = []

    def convolution(branch: int, step: int, given: int, made: int) -> Any:
        name = f"conv{branch}{step}"
        weight = generator.standard_normal((made, given, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{branch}{step}"))
        source = "x" if step == 0 else f"conv{branch}{step - 1}"
        return helper.make_node("Conv", [source, f"w{branch}{step}"], [name])

    wide = [convolution(branch, 0, 4, 32) for branch in range(4)]
    narrow = [convolution(branch, 1, 32, 2) for branch in range(4)]
    nodes = [*wide, *narrow] if side_by_side else [node for pair in zip(wide, narrow) for node in pair]
    nodes.append(helper.make_node("Concat", [f"conv{branch}1" for branch in range(4)], ["y"], axis=1))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 16, 16])], weights,
    )  # fmt: skip
    path = folder / f"{'side_by_side' if side_by_side else 'one_by_one'}.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[CompileResult, CompileResult]:
    pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")
    folder = tmp_path_factory.mktemp("schedule")
    samples = np.random.default_rng(1).standard_normal((4, 4, 16, 16)).astype(np.float32)
    np.savez(folder / "samples.npz", x=samples)
    options = CompileOptions(device="stm32l4r5", calibration=folder / "samples.npz")
    first, second = (compile_model(branches(folder, side_by_side=s), options) for s in (True, False))
    return first, second


def test_branches_side_by_side_run_one_after_the_other(both: tuple[CompileResult, CompileResult]) -> None:
    side_by_side, one_by_one = both
    arena = side_by_side.report.memory.arena_bytes
    reference = one_by_one.report.memory.arena_bytes
    assert arena is not None
    assert reference is not None
    assert arena <= reference + 256  # the offline plan's own metadata
    note = next(d for d in side_by_side.report.diagnostics if d.op == "schedule")
    assert "the ops run in another order than in the source" in note.message
    assert not [d for d in one_by_one.report.diagnostics if d.op == "schedule"]


def test_the_order_changes_no_byte_of_the_outputs(both: tuple[CompileResult, CompileResult]) -> None:
    generator = np.random.default_rng(2)
    sessions = [TFLMSession(result.artifact, 1 << 20) for result in both]
    for _ in range(3):
        feed = generator.integers(-128, 128, (1, 16, 16, 4)).astype(np.int8)
        first, second = (session.run([feed])[0] for session in sessions)
        assert first.tobytes() == second.tobytes()
