import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.errors import MissingExtra, RuntimeFailure
from edgec.runtime import tflm
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.sample_inputs import sample_inputs
from edgec.runtime.smallest_arena import smallest_arena
from edgec.runtime.tflm import ArenaAllocation, TFLMSession, parse_allocations

ModelReader = Callable[[str], bytes]


@pytest.fixture
def _tflm() -> None:
    pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")


needs_tflm = pytest.mark.usefixtures("_tflm")


def test_report_is_parsed() -> None:
    text = (
        "[RecordingMicroAllocator] Arena allocation total 24272 bytes\n"
        "[RecordingMicroAllocator] Arena allocation head 16000 bytes\n"
        "[RecordingMicroAllocator] Arena allocation tail 8272 bytes\n"
        "[RecordingMicroAllocator] 'NodeAndRegistration struct' used 832 bytes with alignment overhead\n"
    )
    assert parse_allocations(text) == ArenaAllocation(24272, 16000, 8272)


def test_incomplete_report_is_refused() -> None:
    with pytest.raises(RuntimeFailure, match="no line for head, tail in"):
        parse_allocations("Arena allocation total 24272 bytes")


def test_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro.python.tflite_micro.runtime", None)
    tflm._runtime_module.cache_clear()
    try:
        with pytest.raises(MissingExtra, match=r"pip install 'edgec\[mcu\]'"):
            smallest_arena(b"")
    finally:
        tflm._runtime_module.cache_clear()


@needs_tflm
@pytest.mark.mcu
def test_int8_add_is_exact(tiny_models: Any) -> None:
    session = TFLMSession(tiny_models.add_int8(), 4096)
    assert [info.index for info in session.input_details] == [0, 1]
    assert session.output_details[0].zero_point == (1,)
    x, y = np.array([[1, -2, 100, -128]], np.int8), np.array([[2, -3, 100, -128]], np.int8)
    assert session.run([x, y])[0].tolist() == [[4, -4, 127, -128]]


@needs_tflm
@pytest.mark.mcu
def test_float_model_with_three_outputs(tiny_models: Any) -> None:
    outputs = TFLMSession(tiny_models.add_float(), 4096).run([np.array([[1, 2, 3]], np.float32)])
    assert [output.tolist() for output in outputs] == [[[2, 4, 6]], [[1, 2, 3]], [[2, 4, 6]]]


@needs_tflm
@pytest.mark.mcu
def test_convs_equal_litert_reference_kernels_inner_tensors_too(tiny_models: Any) -> None:
    model = tiny_models.two_convs_int8()
    session = TFLMSession(model, 1 << 16, keep_intermediates=True)
    reference = LiteRTSession(model, reference_kernels=True, keep_intermediates=True)
    inputs = sample_inputs(session.input_details)
    got, want = session.intermediates(inputs, [3, 6]), reference.intermediates(inputs, [3, 6])
    assert [np.array_equal(left, right) for left, right in zip(got, want)] == [True, True]
    assert np.array_equal(TFLMSession(model, 1 << 16).run(inputs)[0], want[1])
    with pytest.raises(RuntimeFailure, match=r"there are 7, asked for was \[7, -1\]"):
        session.intermediates(inputs, [0, 7, -1])


@needs_tflm
@pytest.mark.mcu
def test_wrong_input_is_refused_before_tflm_sees_it(tiny_models: Any) -> None:
    session = TFLMSession(tiny_models.add_int8(), 4096)
    x = np.zeros((1, 4), np.int8)
    with pytest.raises(RuntimeFailure, match=r"input 1 .* takes int8, float32 was given"):
        session.run([x, x.astype(np.float32)])
    with pytest.raises(RuntimeFailure, match=r"takes shape \[1, 4\], \[4\] was given"):
        session.run([x, x[0]])


@needs_tflm
@pytest.mark.mcu
def test_small_arena_carries_tflm_s_reason(tiny_models: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeFailure, match="does not load with an arena of 512 bytes: Failed to resize buffer"):
        TFLMSession(tiny_models.two_convs_int8(), 512)
    assert capfd.readouterr().err == ""


@needs_tflm
@pytest.mark.mcu
@pytest.mark.parametrize("arena_bytes", [-16, 0, 1 << 32])
def test_arena_size_on_which_the_wheel_would_crash_is_refused(tiny_models: Any, arena_bytes: int) -> None:
    with pytest.raises(RuntimeFailure, match=r"the arena must have 16 to 1,073,741,824 bytes"):
        TFLMSession(tiny_models.add_int8(), arena_bytes)


@needs_tflm
@pytest.mark.mcu
@pytest.mark.parametrize("model", [b"", b"hello", bytes(4) + b"TFL2" + bytes(40)])
def test_file_that_is_no_model_is_refused(model: bytes) -> None:
    with pytest.raises(RuntimeFailure, match=r"is not a \.tflite file"):
        TFLMSession(model, 4096)


@needs_tflm
@pytest.mark.mcu
def test_state_is_kept_and_reset(shared_model: ModelReader) -> None:
    session = TFLMSession(shared_model("micro_wake_word/okay_nabu_v2.tflite"), 1 << 16)
    inputs = sample_inputs(session.input_details, seed=1)
    first = [session.run(inputs)[0].item() for _ in range(3)]
    session.reset_variables()
    assert [session.run(inputs)[0].item() for _ in range(3)] == first
    assert len(set(first)) > 1


@needs_tflm
@pytest.mark.mcu
def test_smallest_arena_of_a_tiny_model_is_smallest(tiny_models: Any) -> None:
    model = tiny_models.two_convs_int8()
    measured = smallest_arena(model)
    assert measured.one_step_less_fails
    assert measured.head_bytes == 8 * 8 * 4 + 8 * 8 * 8  # either conv: one operand of 4 and one of 8 channels
    inputs = sample_inputs(TFLMSession(model, 1 << 16).input_details, seed=7)
    at_smallest = TFLMSession(model, measured.arena_bytes)
    assert np.array_equal(at_smallest.run(inputs)[0], TFLMSession(model, 1 << 16).run(inputs)[0])
    with pytest.raises(RuntimeFailure, match="Failed to"):
        TFLMSession(model, measured.arena_bytes - 16)


@needs_tflm
@pytest.mark.mcu
@pytest.mark.parametrize(
    ("name", "arena_bytes", "head_bytes"),
    [
        ("mlperf_tiny/ad01_int8.tflite", 4_640, 768),  # more than the reported 3,984: the planner's temporary memory
        ("mlperf_tiny/kws_ref_model.tflite", 24_272, 16_000),
        ("mlperf_tiny/pretrainedResnet_quant.tflite", 55_984, 49_152),
        ("mlperf_tiny/vww_96_int8.tflite", 103_680, 73_728),
        ("mlperf_tiny/str_ww_ref_model.tflite", 16_640, 6_656),
        ("tflm/person_detect.tflite", 85_264, 55_296),
        ("tflm/keyword_scrambled_8bit.tflite", 12_944, 672),  # TFLM crashes in some smaller arenas
    ],
)
def test_smallest_arena_of_real_models(shared_model: ModelReader, name: str, arena_bytes: int, head_bytes: int) -> None:
    measured = smallest_arena(shared_model(name))
    assert (measured.arena_bytes, measured.head_bytes) == (arena_bytes, head_bytes)
    assert measured.one_step_less_fails
    assert measured.constructions <= 25


@needs_tflm
@pytest.mark.mcu
def test_refused_model_says_why(shared_model: ModelReader) -> None:
    with pytest.raises(RuntimeFailure, match="Hybrid models are not supported on TFLite Micro"):
        smallest_arena(shared_model("mlperf_tiny/kws_ref_model_float32.tflite"))
