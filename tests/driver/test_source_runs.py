"""Runs of a source model: those of a large one are made ahead, each set once and from the initial state."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.driver.kept_outputs import KeptOutputs
from edgec.driver.source import SourceModel, load_source
from edgec.driver.source_runs import SourceRuns
from edgec.errors import RuntimeFailure
from edgec.runtime.litert import LiteRTSession


def _model(path: Path) -> Path:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The word `runtime` for each runtime of a source that is opened; a test may add what else it counts."""
    opened: list[str] = []
    runtime = SourceModel.runtime
    monkeypatch.setattr(SourceModel, "runtime", lambda self: opened.append("runtime") or runtime(self))  # type: ignore[func-returns-value]
    return opened


def _feeds() -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(1)
    return [{"x": generator.standard_normal((1, 3, 8, 8), np.float32)} for _ in range(2)]


@pytest.mark.parametrize("large", [False, True])
def test_outputs_are_the_same_however_the_runs_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[str], large: bool
) -> None:
    monkeypatch.setattr("edgec.driver.source.LARGE_BYTES", 1 if large else 1 << 30)
    source, feeds = load_source(_model(tmp_path / "net.onnx")), _feeds()
    runs = SourceRuns(source, source.module)
    runs.make_ahead(feeds)
    assert len(counted) == large
    made = runs.on(feeds)
    found = [made.run(feed)[0] for feed in feeds]
    assert len(counted) == 1
    again = [runs.on(feeds).run(feed)[0] for feed in feeds[:1]]  # what was made ahead serves once
    assert len(counted) == 2
    assert found[0].shape == (1, 4, 8, 8)
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], again[0])


def test_a_failure_ahead_is_told_where_the_outputs_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgec.driver.source.LARGE_BYTES", 1)
    source = load_source(_model(tmp_path / "net.onnx"))
    runs, feeds = SourceRuns(source, source.module), [{"x": np.zeros((1, 3, 9, 9), np.float32)}]
    runs.make_ahead(feeds)
    with pytest.raises(RuntimeFailure, match="takes shape"):
        runs.on(feeds)


def test_a_large_source_runs_before_it_is_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    monkeypatch.setattr("edgec.driver.source.LARGE_BYTES", 1)
    options = CompileOptions(device="rpi4", scheme="fp16", progress=lambda stage, _: counted.append(stage))
    report = compile_model(_model(tmp_path / "net.onnx"), options).report
    assert counted.count("runtime") == 1
    assert counted.index("running the source") < counted.index("runtime") < counted.index("quantizing to fp16")
    check = report.checks.float_vs_source
    assert check is not None
    assert check.passed


@pytest.mark.parametrize(("limit", "runs"), [(64 << 20, 1), (2 * 4 * 8 * 8 * 4, 2)])
def test_the_float_module_runs_once_on_the_feeds_of_both_checks_where_its_outputs_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, runs: int
) -> None:
    ran: list[str] = []
    original = LiteRTSession.run

    def run(self: LiteRTSession, *given: Any) -> list[np.ndarray]:
        ran.append(self.kernels)
        return original(self, *given)

    monkeypatch.setattr("edgec.driver.kept_outputs.MAX_KEPT_BYTES", limit)
    monkeypatch.setattr(LiteRTSession, "run", run)
    checks = compile_model(_model(tmp_path / "net.onnx"), CompileOptions("rpi4", scheme="fp32")).report.checks
    assert checks.float_vs_source is not None
    assert checks.artifact_vs_float is not None
    samples = checks.float_vs_source.samples
    assert samples is not None
    assert samples > 2  # beyond the limit in bytes, that of the second case
    assert checks.artifact_vs_float.samples == samples
    assert (ran.count("builtin"), ran.count("xnnpack")) == (runs * samples, samples)


def test_kept_outputs_are_those_of_the_same_feeds_in_the_same_order() -> None:
    kept, feeds = KeptOutputs(), _feeds()
    for number, feed in enumerate(feeds):
        kept.keep(feed, [np.array(number)])
    assert kept.of(feeds[:1]) is None
    assert kept.of(feeds[::-1]) is None
    assert kept.of(_feeds()) is None
    run = kept.of(feeds)
    assert run is not None
    assert [run(feed)[0].item() for feed in feeds] == [0, 1]
