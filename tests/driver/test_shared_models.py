"""Published models through the compiler: the figures that were measured for them elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from edgec.compress.dead_channels import EliminateDeadChannels
from edgec.driver import CompileOptions, compile_model, fit_model
from edgec.errors import LoweringError, RuntimeFailure, TranslationFault
from edgec.ir.graph import Module
from edgec.passes.base import PassContext, PassResult

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
    assert [r.note for r in report.passes if r.note and r.note.startswith(f"{compression.dead_channels} dead channels")]
    assert (checks.bit_exact_runs, checks.bit_exact_of) == (8, 8)
    assert report.artifact.bytes < model.stat().st_size - 100_000


def test_a_model_litert_refuses_compiles_for_a_microcontroller(shared_data: Path) -> None:
    model = shared_data / "models" / "tflm" / "person_detect.tflite"
    report = compile_model(model, CompileOptions(device="esp32s3")).report
    assert report.checks.bit_exact_runs == report.checks.bit_exact_of == 8
    assert report.memory.arena_bytes is not None
    assert report.memory.arena_bytes <= 85_264


def test_a_quantized_source_is_compared_as_it_came_and_not_as_the_passes_left_it(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_a_bias(self: EliminateDeadChannels, module: Module, context: PassContext) -> PassResult:
        op = next(op for op in reversed(list(module.main.ops)) if op.opcode == "conv_2d")
        bias = op.operand(2)
        assert bias.data is not None
        bias.data = np.asarray(bias.data) + np.int32(5000)
        return PassResult(True, "0 channels")

    monkeypatch.setattr(EliminateDeadChannels, "run", break_a_bias)
    model = shared_data / "models" / "mlperf_tiny" / "vww_96_int8.tflite"
    with pytest.raises(TranslationFault, match=r"agrees until pass 'eliminate_dead_channels'.* is conv_2d "):
        compile_model(model, CompileOptions(device="stm32l4r5"))


def test_pruning_a_quantized_model_promises_no_identity(shared_data: Path) -> None:
    model = shared_data / "models" / "mlperf_tiny" / "vww_96_int8.tflite"
    checks = compile_model(model, CompileOptions(device="stm32l4r5", prune=0.3)).report.checks
    assert checks.artifact_vs_float is not None
    assert checks.artifact_vs_float.passed is None
    assert checks.bit_exact_of is None
    assert "channels were pruned" in checks.notes[0]


def test_a_streaming_model_with_variables_compiles_for_a_microcontroller(shared_data: Path) -> None:
    model = shared_data / "models" / "micro_wake_word" / "okay_nabu_v2.tflite"
    checks = compile_model(model, CompileOptions(device="esp32s3")).report.checks
    assert checks.bit_exact_runs == checks.bit_exact_of == 8


@pytest.mark.parametrize("name", ["person_detect", "dtln_noise_suppression"])
def test_quantized_models_are_compared_in_the_kernels_that_users_run(shared_data: Path, name: str) -> None:
    checks = compile_model(
        shared_data / "models" / "tflm" / f"{name}.tflite", CompileOptions(device="rpi4")
    ).report.checks
    assert checks.bit_exact_runs == checks.bit_exact_of == 8


def test_a_model_on_which_litert_crashes_is_one_sentence(shared_data: Path) -> None:
    model = shared_data / "models" / "tflm" / "keyword_scrambled_8bit.tflite"
    with pytest.raises(RuntimeFailure, match=r"^running a model of .* in LiteRT: .* crashed with signal (6|11)"):
        compile_model(model, CompileOptions(device="rpi4"))


def test_state_is_kept_on_both_sides_of_the_source_check(shared_data: Path) -> None:
    model = shared_data / "models" / "tflm" / "mnist_trained_lstm.tflite"
    check = compile_model(model, CompileOptions(device="rpi4", scheme="fp32")).report.checks.float_vs_source
    assert check is not None
    assert check.passed


def test_departures_of_the_size_of_rounding_pass(shared_data: Path) -> None:
    model = shared_data / "models" / "face" / "yunet_n_320_320.onnx"
    check = compile_model(model, CompileOptions(device="rpi4", scheme="fp32")).report.checks.float_vs_source
    assert check is not None
    assert check.passed


def test_fit_names_what_the_target_refuses_where_the_runtime_will_not_load_it(shared_data: Path) -> None:
    model = shared_data / "models" / "coral" / "mobilenet_v1_0.25_128_quant.tflite"
    with pytest.raises(LoweringError) as caught:
        fit_model(model, CompileOptions(device="stm32l4r5"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "Lowering the model for target mcu-int8: 30 ops cannot run there:"
    assert lines[1].endswith("refuse the old unsigned scheme; edgec compile turns the model into int8")
