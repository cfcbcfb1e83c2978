from typing import Any

import numpy as np
import pytest

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def regions(count: int, size: float) -> Array:
    low, extent = RNG.uniform(-2, size / 2, (count, 2)), RNG.uniform(0.2, size, (count, 2))
    return np.concatenate([low, low + extent], axis=1).astype(np.float32)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("samples", [1, 3])
def test_aligned(compare: Any, mode: str, coordinates: str, samples: int) -> None:
    inputs = [real(2, 5, 12, 9), regions(7, 20), np.array([0, 1, 1, 0, 0, 1, 0])]
    compare.check_node(
        "RoiAlign", inputs, opset=16, mode=mode, coordinate_transformation_mode=coordinates, output_height=4,
        output_width=3, sampling_ratio=samples, spatial_scale=0.5, atol=1e-4,
    )  # fmt: skip


def test_before_opset_16_no_half_pixel_is_taken_off(compare: Any) -> None:
    inputs = [real(1, 2, 8, 8), regions(3, 7), np.array([0, 0, 0])]
    compare.check_node("RoiAlign", inputs, opset=10, output_height=2, output_width=2, sampling_ratio=2, atol=1e-4)


def test_aligned_with_an_open_number_of_samples_is_refused(compare: Any) -> None:
    inputs = [real(1, 2, 8, 8), regions(3, 7), np.array([0, 0, 0])]
    reason = compare.refusal("RoiAlign", inputs, opset=16)
    assert reason == ("sampling_ratio 0 lets each region decide on the number of its samples; export it with a number")


def test_pooled(compare: Any) -> None:
    rois = np.array([[0, 1, 2, 7, 6], [1, 0, 0, 11, 8], [1, 5.5, 3.4, 6, 20], [0, -3, 2, 4, 4]], np.float32)
    inputs = [real(2, 3, 9, 12), rois]
    compare.check_node("MaxRoiPool", inputs, constants=[1], opset=13, pooled_shape=[3, 2])
    compare.check_node("MaxRoiPool", inputs, constants=[1], opset=13, pooled_shape=[2, 4], spatial_scale=0.5)
