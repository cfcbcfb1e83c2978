from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("inverse", [0, 1])
@pytest.mark.parametrize("axis", [1, 2])
def test_axes(compare: Any, parts: int, inverse: int, axis: int) -> None:
    x = RNG.standard_normal((2, 6, 5, parts)).astype(np.float32)
    compare.check_node("DFT", [x], opset=17, axis=axis, inverse=inverse, oracle="reference")


@pytest.mark.parametrize("length", [4, 6, 9])
def test_lengths_and_one_side(compare: Any, length: int) -> None:
    x = RNG.standard_normal((2, 6, 1)).astype(np.float32)
    compare.check_node("DFT", [x, np.array(length)], constants=[1], opset=17, oracle="reference")
    compare.check_node("DFT", [x, np.array(length)], constants=[1], opset=17, onesided=1, oracle="reference")


@pytest.mark.parametrize("length", [None, 6, 9])
@pytest.mark.parametrize("parts", [1, 2])
def test_half_a_spectrum_back_to_a_real_signal(compare: Any, length: int | None, parts: int) -> None:
    from onnx import helper

    spectrum = RNG.standard_normal((2, 5, parts)).astype(np.float32)
    inputs = [spectrum, None if length is None else np.array(length)]
    constants = [] if length is None else [1]
    model, feeds = compare.node_model("DFT", inputs[: 1 + len(constants)], constants=constants, opset=20)
    model.graph.node[0].attribute.extend([helper.make_attribute("inverse", 1), helper.make_attribute("onesided", 1)])
    full = spectrum[..., 0] + 1j * (spectrum[..., 1] if parts == 2 else 0)
    from edgec.frontends.onnx import read_onnx
    from edgec.runtime.evaluate import evaluate

    (found,) = evaluate(read_onnx(model.SerializeToString()).main, feeds)
    np.testing.assert_allclose(found[..., 0], np.fft.irfft(full, length, axis=1), atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_an_axis_of_run_time(compare: Any, axis: int) -> None:
    x = RNG.standard_normal((4, 5, 6, 1)).astype(np.float32)
    compare.check_node("DFT", [x, None, np.array(axis)], opset=20, oracle="reference", atol=1e-4)
    assert compare.refusal("DFT", [x, None, np.array(axis)], opset=20, onesided=1) == (
        "its axis is only known at run time, and the shape of its result follows from it"
    )


@pytest.mark.parametrize(("step", "length"), [(160, 400), (128, 512), (7, 30), (64, 64), (100, 64)])
@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("windowed", [False, True])
def test_short_time_transform(compare: Any, step: int, length: int, onesided: int, windowed: bool) -> None:
    window = np.hanning(length).astype(np.float32) if windowed else None  # its ends are zero
    inputs = [RNG.standard_normal((2, 1000, 1)).astype(np.float32), np.array(step), window, np.array(length)]
    constants = [1, 2, 3] if windowed else [1, 3]
    module = compare.check_node("STFT", inputs, constants=constants, onesided=onesided, atol=1e-4)
    assert [op.opcode for op in module.main.ops if op.opcode not in ("slice", "reshape")] == ["conv_2d"]


def test_short_time_transform_of_complex_signals(compare: Any) -> None:
    inputs = [RNG.standard_normal((2, 200, 2)).astype(np.float32), np.array(20), None, np.array(50)]
    compare.check_node("STFT", inputs, constants=[1, 3], onesided=0, oracle="reference", atol=1e-4)
    window = np.hamming(50).astype(np.float32)
    compare.check_node("STFT", [inputs[0], inputs[1], window], constants=[1], onesided=0, atol=1e-4)


def test_frames_that_do_not_fit_are_refused(compare: Any) -> None:
    inputs = [np.zeros((1, 20, 1), np.float32), np.array(5), None, np.array(30)]
    reason = compare.refusal("STFT", inputs, constants=[1, 3])
    assert reason == "frames of 30 at steps of 5 do not fit a signal of 20 or are too long"


def test_mel_weights_are_folded(compare: Any) -> None:
    numbers = [np.int64(20), np.int64(256), np.int64(16000), np.float32(50), np.float32(7000)]
    module = compare.check_node("MelWeightMatrix", numbers, constants=range(5), atol=1e-4)
    assert not list(module.main.ops)
    reason = compare.refusal("MelWeightMatrix", numbers)
    assert reason == "its size follows from numbers that are only known at run time"


def test_zeros_around_a_window_are_left_out(compare: Any) -> None:
    window = np.pad(np.hanning(481)[:480], 16).astype(np.float32)  # as torch.stft pads a window shorter than the frame
    inputs = [RNG.standard_normal((1, 2000, 1)).astype(np.float32), np.array(320), window, np.array(512)]
    module = compare.check_node("STFT", inputs, constants=[1, 2, 3], atol=1e-4)
    (convolution,) = (op for op in module.main.ops if op.opcode == "conv_2d")
    assert convolution.operand(1).shape == (2 * 257, 1, 3, 160)
