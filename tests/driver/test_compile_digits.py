"""The bundled network through the whole compiler, on the real runtimes."""

from pathlib import Path

import numpy as np
import pytest

from edgec.driver import CompileOptions, CompileResult, compile_model, fit_model
from edgec.frontends.tflite import read_tflite
from edgec.report.model import load_report
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.onnx_source import OnnxSession
from edgec.runtime.tflm import TFLMSession
from edgec.target.budget import parse_budget

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits.onnx"
CALIBRATION = ROOT / "calibration" / "digits.toml"
EVAL = ROOT / "calibration" / "digits_eval.toml"


@pytest.fixture(scope="module")
def float_result() -> CompileResult:
    return compile_model(DIGITS, CompileOptions(device="rpi4", scheme="fp32", calibration=CALIBRATION))


@pytest.fixture(scope="module")
def mcu_result() -> CompileResult:
    pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")
    options = CompileOptions(
        device="stm32l4r5", budget=parse_budget("ram=64KiB,accuracy-drop=1%"), calibration=CALIBRATION, eval=EVAL
    )
    return compile_model(DIGITS, options)


def _pictures(count: int) -> np.ndarray:
    with np.load(ROOT / "calibration" / "digits_eval.npz") as archive:
        return np.asarray(archive["x"][:count], np.float32).reshape(count, 8, 8, 1)


def test_float_artifact_gives_what_onnxruntime_gives(float_result: CompileResult) -> None:
    ours, source = LiteRTSession(float_result.artifact), OnnxSession(DIGITS)
    for picture in _pictures(20):
        (want,) = source.run({source.inputs[0].name: picture.reshape(1, 1, 8, 8)})
        (have,) = ours.run([picture[None]])
        np.testing.assert_allclose(have, want, atol=1e-4 * np.ptp(want))  # sums in another order


def test_float_artifact_is_fused_and_has_no_transpose(float_result: CompileResult) -> None:
    opcodes = {op.opcode for op in float_result.module.main.ops}
    assert not opcodes & {"transpose", "relu6", "mul"}
    pads = [op.operand(1).array().tolist() for op in float_result.module.main.ops if op.opcode == "pad"]
    assert pads == [[[0, 0], [1, 0], [1, 0], [0, 0]]]  # at the top left, where SAME never pads
    assert float_result.report.transposes.count == 0


def test_float_report_compares_with_the_source(float_result: CompileResult) -> None:
    check = float_result.report.checks.float_vs_source
    assert check is not None
    assert check.passed
    assert check.samples == 8
    assert check.reference is not None
    assert check.reference.startswith("onnxruntime")
    assert check.max_rel_to_range is not None
    assert 0 <= check.max_rel_to_range < 1e-5


def test_layers_add_up_to_the_whole(float_result: CompileResult) -> None:
    report = float_result.report
    assert sum(layer.macs or 0 for layer in report.layers) == report.compression.macs_after  # type: ignore[union-attr]
    assert sum(layer.latency_ms or 0 for layer in report.layers) == pytest.approx(report.latency.ms)
    assert report.latency.low_ms < report.latency.ms < report.latency.high_ms  # type: ignore[operator]
    assert max(layer.live_bytes or 0 for layer in report.layers) == report.memory.lower_bound_bytes


@pytest.mark.mcu
def test_microcontroller_artifact_runs_in_exactly_the_claimed_arena(mcu_result: CompileResult) -> None:
    arena = mcu_result.report.memory.arena_bytes
    assert arena is not None
    session = TFLMSession(mcu_result.artifact, arena)
    assert session.run([np.zeros((1, 8, 8, 1), np.int8)])[0].shape == (1, 10)
    assert mcu_result.report.memory.smaller_arena_fails
    assert mcu_result.report.memory.evidence == "executed"


@pytest.mark.mcu
def test_microcontroller_artifact_is_int8_throughout(mcu_result: CompileResult) -> None:
    report = mcu_result.report
    assert [t.dtype for t in (*report.artifact.inputs, *report.artifact.outputs)] == ["int8", "int8"]
    floats = [v for v in read_tflite(mcu_result.artifact).main.values() if v.dtype.is_float]
    assert not floats


@pytest.mark.mcu
def test_microcontroller_accuracy_is_measured_and_holds(mcu_result: CompileResult) -> None:
    accuracy = mcu_result.report.accuracy
    assert accuracy is not None
    assert accuracy.samples == 600
    assert accuracy.float_ is not None
    assert accuracy.float_ > 0.97
    assert accuracy.drop is not None
    assert accuracy.drop <= 0.01
    assert {line.name: line.verdict for line in mcu_result.report.budget}["accuracy-drop"] == "fits"


@pytest.mark.mcu
def test_fit_of_an_artifact_agrees_with_its_report(mcu_result: CompileResult, tmp_path: Path) -> None:
    mcu_result.write(tmp_path)
    fitted = fit_model(tmp_path / "model.tflite", CompileOptions(device="stm32l4r5"))
    assert fitted.artifact == mcu_result.artifact
    assert fitted.report.memory.arena_bytes == mcu_result.report.memory.arena_bytes
    assert fitted.report.latency.ms == pytest.approx(mcu_result.report.latency.ms)


def test_same_inputs_same_bytes(float_result: CompileResult) -> None:
    again = compile_model(DIGITS, CompileOptions(device="rpi4", scheme="fp32", calibration=CALIBRATION))
    assert again.artifact == float_result.artifact
    assert again.report.canonical_json() == float_result.report.canonical_json()


def test_everything_is_written(float_result: CompileResult, tmp_path: Path) -> None:
    float_result.write(tmp_path / "new" / "folder")
    written = {p.name for p in (tmp_path / "new" / "folder").iterdir()}
    assert written == {"model.tflite", "report.json", "report.html", "model.ir.txt"}
    assert load_report(tmp_path / "new" / "folder" / "report.json") == float_result.report


@pytest.mark.parametrize("scheme", ["fp16", "w8"])
def test_weight_only_schemes_shrink_the_file_and_stay_close(float_result: CompileResult, scheme: str) -> None:
    result = compile_model(DIGITS, CompileOptions(device="pixel4", scheme=scheme, calibration=CALIBRATION))
    assert result.report.artifact.scheme == scheme
    assert len(result.artifact) < len(float_result.artifact)
    check = result.report.checks.artifact_vs_float
    assert check is not None
    assert check.sqnr_db is not None
    assert check.sqnr_db > {"fp16": 50, "w8": 20}[scheme]


def test_auto_takes_the_most_faithful_scheme_that_holds_the_budget() -> None:
    size = len(compile_model(DIGITS, CompileOptions(device="pixel4", scheme="fp32")).artifact)
    options = CompileOptions(device="pixel4", budget=parse_budget(f"flash={size - 1}B"), calibration=CALIBRATION)
    result = compile_model(DIGITS, options)
    assert result.report.artifact.scheme == "fp16"
    assert result.report.verdict == "fits"


def test_pruning_by_a_ratio_removes_work_for_real(float_result: CompileResult) -> None:
    result = compile_model(DIGITS, CompileOptions(device="rpi4", scheme="fp32", prune=0.3, calibration=CALIBRATION))
    before, after = float_result.report, result.report
    assert after.compression is not None
    assert after.compression.pruned_channels > 0
    assert after.compression.macs_after < before.compression.macs_after  # type: ignore[union-attr, operator]
    assert after.artifact.bytes < before.artifact.bytes
    assert after.latency.ms < before.latency.ms  # type: ignore[operator]
    assert after.compression.latency_ms_before == pytest.approx(before.latency.ms)
    assert after.compression.latency_ms_after == pytest.approx(after.latency.ms)


@pytest.mark.mcu
def test_pruning_auto_removes_just_what_the_budget_needs(mcu_result: CompileResult) -> None:
    flash = int(mcu_result.report.memory.flash_bytes or 0)
    high = next(line.high for line in mcu_result.report.budget if line.name == "flash")
    assert high is not None
    budget = parse_budget(f"flash={int(high) - 4000}B")
    options = CompileOptions(device="stm32l4r5", budget=budget, prune="auto", calibration=CALIBRATION)
    report = compile_model(DIGITS, options).report
    assert report.verdict == "fits"
    assert int(report.memory.flash_bytes or 0) < flash
    assert report.compression is not None
    assert report.compression.prune == "auto"
    assert report.compression.pruned_channels > 0


def test_only_the_artifact_that_is_given_leaves_a_trace() -> None:
    one = compile_model(DIGITS, CompileOptions(device="rpi4", scheme="w8", explain=True, print_after="all"))
    size = one.report.artifact.bytes
    tried = CompileOptions(
        device="rpi4", budget=parse_budget(f"flash={size - 2000}B"), prune="auto", explain=True, print_after="all"
    )  # every scheme but the last misses the budget or is pruned until it holds, and each trial is lowered
    result = compile_model(DIGITS, tried)
    headings = [line for line in result.listing.splitlines() if line.startswith("// after ")]
    assert headings == [line for line in one.listing.splitlines() if line.startswith("// after ")]
    assert len(result.refusals) == len(set(result.refusals)) == len(one.refusals)


def test_an_artifact_far_from_its_float_model_is_warned_of() -> None:
    report = compile_model(DIGITS, CompileOptions(device="rpi4", scheme="fp32", prune=0.7)).report
    check = report.checks.artifact_vs_float
    assert check is not None
    assert check.sqnr_db is not None
    assert check.sqnr_db < 10
    assert [d.op for d in report.diagnostics if d.severity == "warning"] == ["accuracy"]
