from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.errors import RuntimeFailure
from edgec.runtime.litert import LiteRTSession, runtime_version

ModelReader = Callable[[str], bytes]
KERNELS: list[dict[str, bool]] = [{}, {"xnnpack": False}, {"reference_kernels": True}]


def int8(*values: int) -> Any:
    return np.array([values], np.int8)


def test_runtime_version_names_an_installed_distribution() -> None:
    version = runtime_version()
    assert version.name in ("ai-edge-litert", "tflite-runtime", "tensorflow")
    assert str(version) == f"{version.name} {version.version}"


@pytest.mark.parametrize("options", KERNELS)
def test_int8_add_is_exact_with_every_kernel_set(tiny_models: Any, options: dict[str, bool]) -> None:
    session = LiteRTSession(tiny_models.add_int8(), **options)
    (total,) = session.run([int8(1, -2, 100, -128), int8(2, -3, 100, -128)])
    assert total.tolist() == [[4, -4, 127, -128]]  # zero point 1, saturated at both ends


def test_details_carry_names_and_quantization(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.add_int8())
    assert [info.name for info in session.input_details] == ["x", "y"]
    (total,) = session.output_details
    assert (total.name, total.shape, total.dtype) == ("sum", (1, 4), np.dtype(np.int8))
    assert (total.scale, total.zero_point, total.axis) == ((0.5,), (1,), None)


def test_outputs_may_repeat_and_may_be_an_input(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.add_float())
    x = np.array([[1, 2, 3]], np.float32)
    total, same_x, total_again = session.run([x])
    assert total.tolist() == total_again.tolist() == [[2, 4, 6]]
    assert same_x.tolist() == x.tolist()
    assert [info.name for info in session.output_details] == ["sum", "x", "sum"]


def test_outputs_are_copies(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.add_float())
    (first, *_) = session.run([np.ones((1, 3), np.float32)])
    session.run([np.zeros((1, 3), np.float32)])
    assert first.tolist() == [[2, 2, 2]]


def test_run_named(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.add_int8())
    outputs = session.run_named({"y": int8(0, 0, 0, 0), "x": int8(1, 2, 3, 4)})
    assert outputs["sum"].tolist() == [[2, 3, 4, 5]]
    with pytest.raises(RuntimeFailure, match=r"its inputs are \['x', 'y'\], given were \['x'\]"):
        session.run_named({"x": int8(1, 2, 3, 4)})


def test_free_dimension_is_resized_and_back(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.add_float(signature=(-1, 3)))
    for rows in (1, 5, 2, 1):
        x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        assert session.run([x])[0].tolist() == (2 * x).tolist()
        assert session.input_details[0].shape == (rows, 3)
        assert session.output_details[0].shape == (rows, 3)


def test_empty_batch_gives_empty_outputs(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.add_float(signature=(-1, 3)), xnnpack=False)
    outputs = session.run([np.zeros((0, 3), np.float32)])
    assert [output.shape for output in outputs] == [(0, 3)] * 3


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([np.zeros((1, 4), np.float32)] * 2, r"input 0 \('x'\) takes int8, float32 was given$"),
        ([np.zeros((2, 4), np.int8)] * 2, r"input 0 \('x'\) takes shape \[1, 4\], \[2, 4\] was given$"),
        ([np.zeros((1, 4), np.int8)], r"it takes 2 inputs, 1 were given$"),
    ],
)
def test_input_that_does_not_fit_is_refused(tiny_models: Any, inputs: list[Any], reason: str) -> None:
    with pytest.raises(RuntimeFailure, match=reason):
        LiteRTSession(tiny_models.add_int8()).run(inputs)


@pytest.mark.parametrize("model", [b"", b"hello", b"\0\0\0\0TFL3" + bytes(100)])
def test_file_that_is_no_model_is_refused(model: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeFailure, match=r"^(loading|running) a model"):
        LiteRTSession(model)
    assert capfd.readouterr().err == ""


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match=r"absent\.tflite"):
        LiteRTSession(tmp_path / "absent.tflite")


def test_path_and_bytes_agree_and_nothing_is_printed(
    tiny_models: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_models.two_convs_int8()
    path = tmp_path / "convs.tflite"
    path.write_bytes(model)
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 4)).astype(np.int8)
    assert np.array_equal(LiteRTSession(path).run([x])[0], LiteRTSession(model).run([x])[0])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", KERNELS)
def test_intermediates_are_what_the_next_op_reads(tiny_models: Any, options: dict[str, bool]) -> None:
    session = LiteRTSession(tiny_models.two_convs_int8(), keep_intermediates=True, **options)
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 4)).astype(np.int8)
    (output,) = session.run([x])
    middle, weights, last = session.intermediates([x], [3, 4, 6])  # tensors in the order tiny_models makes them
    assert middle.shape == (1, 8, 8, 8)
    assert len(np.unique(middle)) > 20
    assert weights.shape == (4, 3, 3, 8)
    assert np.array_equal(last, output)


def test_intermediates_need_to_be_kept(tiny_models: Any) -> None:
    with pytest.raises(RuntimeFailure, match="keep_intermediates=True"):
        LiteRTSession(tiny_models.add_float()).intermediates([np.ones((1, 3), np.float32)], [0])


def test_reset_clears_variable_tensors(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.accumulating_svdf_float())
    x = np.ones((1, 1), np.float32)
    assert [session.run([x])[0].item() for _ in range(3)] == [1.0, 2.0, 2.0]
    session.reset_variables()
    assert session.run([x])[0].item() == 1.0


def test_reset_clears_resource_variables(shared_model: ModelReader) -> None:
    session = LiteRTSession(shared_model("micro_wake_word/okay_nabu_v2.tflite"))
    x = np.random.default_rng(1).integers(-128, 127, (1, 3, 40)).astype(np.int8)
    first = [session.run([x])[0].item() for _ in range(3)]
    session.reset_variables()
    assert [session.run([x])[0].item() for _ in range(3)] == first
    assert len(set(first)) > 1


def test_refusal_carries_the_runtime_s_reason(shared_model: ModelReader) -> None:
    with pytest.raises(RuntimeFailure, match=r"the runtime refuses it: quantized_dimension must be in range \[0, 1\)"):
        LiteRTSession(shared_model("tflm/person_detect.tflite"))
