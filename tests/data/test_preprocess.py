"""The preprocessing steps and their order, worked out by hand."""

from typing import Any

import numpy as np
import pytest

from edgec.data.manifest import InputSource
from edgec.data.preprocess import Preprocessor
from edgec.errors import DataError


def prepared(stored: np.ndarray, is_image: bool = False, gray: bool = False, **table: Any) -> list[np.ndarray]:
    source = InputSource.model_validate({"path": "a.npz", **table})
    return Preprocessor(source, is_image, gray).apply(stored, "sample 0")


def refusal(stored: np.ndarray, **table: Any) -> str:
    with pytest.raises(DataError) as caught:
        prepared(stored, **table)
    return str(caught.value)


def test_without_steps_nothing_changes() -> None:
    stored = np.array([1, 2, 255], dtype=np.uint8)
    (sample,) = prepared(stored)
    assert sample.dtype == np.uint8
    assert sample.tolist() == [1, 2, 255]


def test_scale_comes_before_mean_and_std() -> None:
    (sample,) = prepared(np.array([0, 10], dtype=np.uint8), preprocess={"scale": 0.5, "mean": 1, "std": 2})
    assert sample.dtype == np.float32
    assert sample.tolist() == [-0.5, 2.0]  # (10 * 0.5 - 1) / 2


def test_mean_and_std_follow_the_channels_after_color() -> None:
    red = np.array([[[9, 0, 0]]], dtype=np.uint8)
    (sample,) = prepared(red, is_image=True, preprocess={"color": "bgr", "mean": [0, 0, 1], "std": [1, 1, 4]})
    assert sample.tolist() == [[[0.0, 0.0, 2.0]]]


def test_resize_comes_before_crop() -> None:
    image = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4), 2, 0), 2, 1)[:, :, None]  # 8x8
    (sample,) = prepared(image, preprocess={"resize": [4, 4], "resize_filter": "area", "crop": 2})
    assert sample[:, :, 0].tolist() == [[5, 6], [9, 10]]


def test_stored_shape_and_channels_first() -> None:
    (sample,) = prepared(np.arange(12), stored_shape=[3, 2, 2], layout="chw")
    assert sample.shape == (2, 2, 3)
    assert sample[0, 1].tolist() == [1, 5, 9]


def test_windows() -> None:
    """5 frames of 2 bins, windows of 3 frames: 3 windows of 6 values; every second one starts at frames 0 and 2."""
    clip = np.arange(10).reshape(5, 2)
    assert [w.tolist() for w in prepared(clip, preprocess={"window": {"length": 3}})] == [
        [0, 1, 2, 3, 4, 5],
        [2, 3, 4, 5, 6, 7],
        [4, 5, 6, 7, 8, 9],
    ]
    assert [w[0] for w in prepared(clip, preprocess={"window": {"length": 3, "hop": 2}})] == [0, 4]
    assert prepared(clip, preprocess={"window": {"length": 3, "flatten": False}})[0].shape == (3, 2)


def test_anomaly_detection_clip_has_196_windows_of_640() -> None:
    windows = prepared(np.zeros((200, 128)), preprocess={"window": {"length": 5}})
    assert (len(windows), windows[0].shape) == (196, (640,))


def test_window_longer_than_the_sample() -> None:
    assert refusal(np.zeros((4, 2)), preprocess={"window": {"length": 5}}) == (
        "preparing sample 0: window.length is 5 frames, a sample of shape (4, 2) has 4"
    )


def test_dtype_rounds_half_to_even_and_refuses_what_does_not_fit() -> None:
    (sample,) = prepared(np.array([0.5, 1.5, -2.4]), preprocess={"dtype": "int8"})
    assert sample.dtype == np.int8
    assert sample.tolist() == [0, 2, -2]
    assert refusal(np.array([0.0, 200.0]), preprocess={"dtype": "int8"}) == (
        "preparing sample 0: values from 0.0 to 200.0 do not fit dtype int8 (-128 to 127); "
        "change scale, mean and std, or the dtype"
    )


def test_reshape() -> None:
    (sample,) = prepared(np.arange(6), preprocess={"reshape": [2, 3]})
    assert sample.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert refusal(np.arange(6), preprocess={"reshape": [2, 2]}) == (
        "preparing sample 0: reshape [2, 2] asks for 4 values, a sample of shape (6,) has 6"
    )


def test_image_steps_need_to_know_the_layout() -> None:
    assert refusal(np.zeros((3, 32, 32)), preprocess={"crop": 8}) == (
        "preparing sample 0: a sample of shape (3, 32, 32) looks like channels first; "
        'say layout = "chw" or layout = "hwc" in the manifest'
    )
    assert refusal(np.zeros(9), preprocess={"crop": 8}) == (
        "preparing sample 0: resize, crop and color need a sample of shape (height, width, channel), "
        "found (9,); give stored_shape or leave these steps out"
    )


def test_per_channel_values_must_match_the_last_axis() -> None:
    assert refusal(np.zeros((3, 32, 32)), preprocess={"mean": [1, 2, 3]}) == (
        "preparing sample 0: mean has 3 values, but the last axis of a sample of shape (3, 32, 32) is its channel; "
        'give one value, or one per channel, or say layout = "chw" where channels come first'
    )


def test_picture_for_a_one_channel_input_becomes_gray() -> None:
    (sample,) = prepared(np.full((2, 2, 3), 9, dtype=np.uint8), is_image=True, gray=True)
    assert sample.shape == (2, 2, 1)
    assert sample.max() == 9
