import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.errors import MissingExtra, RuntimeFailure
from edgec.runtime import isolated
from edgec.runtime.isolated import call_isolated, run_isolated
from edgec.runtime.litert import LiteRTSession, runtime_version

ModelReader = Callable[[str], bytes]


def test_outputs_are_those_of_this_process(tiny_models: Any) -> None:
    model = tiny_models.two_convs_int8()
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 4)).astype(np.int8)
    for options in ({}, {"reference_kernels": True}):
        (got,) = run_isolated("litert", model, [x], **options)
        assert got.dtype == np.int8
        assert np.array_equal(got, LiteRTSession(model, **options).run([x])[0])


def test_refusal_is_the_same_sentence_as_in_this_process() -> None:
    with pytest.raises(RuntimeFailure) as here:
        LiteRTSession(b"hello")
    with pytest.raises(RuntimeFailure) as there:
        run_isolated("litert", b"hello", [])
    assert str(there.value) == str(here.value)


def test_timeout_ends_the_child(tiny_models: Any) -> None:
    start = time.perf_counter()
    with pytest.raises(RuntimeFailure, match=r"^running a model .*: not finished after 0.001 s; allow more time$"):
        run_isolated("litert", tiny_models.add_int8(), [], timeout_s=0.001)
    assert time.perf_counter() - start < 5


def test_memory_limit_holds(tiny_models: Any) -> None:
    pytest.importorskip("resource")
    huge = np.zeros((1 << 20, 3), np.float32)  # sum is another 12 MiB, copies aside
    model = tiny_models.add_float(signature=(-1, 3))
    assert run_isolated("litert", model, [huge])[0].shape == huge.shape
    with pytest.raises(RuntimeFailure, match=r"^running a model of"):
        run_isolated("litert", model, [huge], memory_limit_bytes=32 << 20)


def test_error_class_of_the_child_is_kept() -> None:
    assert type(isolated.raised_error({"error": "MissingExtra", "message": "m"})) is MissingExtra
    assert type(isolated.raised_error({"error": "os", "message": "m"})) is RuntimeFailure


def test_objects_do_not_cross() -> None:
    with pytest.raises(RuntimeFailure, match="array 0 holds Python objects"):
        run_isolated("litert", b"", [np.array([{}], dtype=object)])


def test_unknown_function_fails_with_the_reason() -> None:
    with pytest.raises(RuntimeFailure, match=r"^trying: the runtime's process ended with status 1: .*has no attribute"):
        call_isolated("edgec.runtime.isolated:absent", b"", doing="trying")


@pytest.mark.mcu
def test_crash_of_tflm_is_one_sentence(tiny_models: Any) -> None:
    pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")
    with pytest.raises(RuntimeFailure, match=r"in TFLM: the runtime crashed with signal 11 \(SIGSEGV\)"):
        run_isolated("tflm", tiny_models.unknown_tensor_int8(), [])


def test_crash_of_litert_is_one_sentence(shared_model: ModelReader) -> None:
    """LiteRT 2.3.0 corrupts its heap on this model, whatever the kernels."""
    if str(runtime_version()) != "ai-edge-litert 2.3.0":
        pytest.skip("known for ai-edge-litert 2.3.0 only")
    with pytest.raises(RuntimeFailure, match=r"^[^\n]*in LiteRT: the runtime crashed with signal \d+[^\n]*$"):
        run_isolated("litert", shared_model("tflm/keyword_scrambled_8bit.tflite"), [])
