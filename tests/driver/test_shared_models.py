"""Published models through the compiler: the figures that were measured for them elsewhere."""

from pathlib import Path

import pytest

from edgec.driver import CompileOptions, compile_model, fit_model

pytestmark = [pytest.mark.mcu]


@pytest.fixture(scope="module", autouse=True)
def _tflm() -> None:
    pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")


def test_fit_plans_vww_in_its_lower_bound(shared_data: Path) -> None:
    model = shared_data / "models" / "mlperf_tiny" / "vww_96_int8.tflite"
    result = fit_model(model, CompileOptions(device="stm32l4r5"))
    assert result.artifact == model.read_bytes()
    memory = result.report.memory
    assert (memory.planned_activation_bytes, memory.tflm_greedy_bytes) == (55_296, 73_728)
    assert memory.arena_bytes == 103_680  # TFLM's own planner: the file is as it was


def test_compile_of_vww_drops_dead_channels_and_changes_no_output(shared_data: Path) -> None:
    model = shared_data / "models" / "mlperf_tiny" / "vww_96_int8.tflite"
    report = compile_model(model, CompileOptions(device="stm32l4r5")).report
    compression, checks = report.compression, report.checks
    assert compression is not None
    assert compression.macs_before == 7_489_664
    assert compression.macs_after is not None
    assert compression.macs_after <= 4_200_000
    assert (checks.bit_exact_runs, checks.bit_exact_of) == (8, 8)
    assert report.artifact.bytes < model.stat().st_size - 100_000


def test_a_model_litert_refuses_compiles_for_a_microcontroller(shared_data: Path) -> None:
    model = shared_data / "models" / "tflm" / "person_detect.tflite"
    report = compile_model(model, CompileOptions(device="esp32s3")).report
    assert report.checks.bit_exact_runs == report.checks.bit_exact_of == 8
    assert report.memory.arena_bytes is not None
    assert report.memory.arena_bytes <= 85_264
