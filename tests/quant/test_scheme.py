"""Ranges, scales, zero points and rounding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.ir import DType, QuantParams
from edgec.quant.observers import BINS, HistogramObserver, MinMaxObserver, Range, make_observer, mse_range
from edgec.quant.scheme import (
    BIAS_LIMIT,
    activation_params,
    bias_params,
    dequantize_array,
    quantize_array,
    represented_range,
    weight_params,
)

REALS = st.floats(-1e6, 1e6, width=32)


@given(REALS, REALS)
def test_zero_is_exact_and_the_range_is_covered(a: float, b: float) -> None:
    range_ = Range(min(a, b), max(a, b))
    quant = activation_params(range_)
    zero = quantize_array(np.zeros(1), DType.INT8, quant)
    assert dequantize_array(zero, quant)[0] == 0.0
    reached = represented_range(quant)
    step = quant.scale[0]
    assert reached.minimum <= min(range_.minimum, 0) + step
    assert reached.maximum >= max(range_.maximum, 0) - step


@given(REALS, st.floats(0, 1))
def test_rounding_error_is_at_most_half_a_step(width: float, place: float) -> None:
    range_ = Range(min(width, 0.0), max(width, 0.0))
    quant = activation_params(range_)
    real = np.array([range_.minimum + place * (range_.maximum - range_.minimum)], np.float32)
    error = abs(float(dequantize_array(quantize_array(real, DType.INT8, quant), quant)[0]) - float(real[0]))
    assert error <= quant.scale[0] * 0.51


def test_a_range_worked_by_hand() -> None:
    quant = activation_params(Range(-1.0, 4.1))  # 5.1 over 255 steps: 0.02 a step, zero 50 steps above -128
    assert quant.scale[0] == pytest.approx(0.02)
    assert quant.zero_point == (-78,)


@pytest.mark.parametrize(("low", "high", "zero_point"), [(0.0, 6.0, -128), (-3.0, 0.0, 127), (2.0, 6.0, -128)])
def test_one_sided_ranges_are_widened_to_zero(low: float, high: float, zero_point: int) -> None:
    assert activation_params(Range(low, high)).zero_point == (zero_point,)


def test_a_tensor_of_zeros_has_a_usable_scale() -> None:
    assert activation_params(Range(0.0, 0.0)) == QuantParams.per_tensor(1 / 128, 0)


def test_ranges_that_are_no_ranges_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^range nan to 1\.0 is not finite$"):
        Range(float("nan"), 1.0)
    with pytest.raises(ValueError, match=r"^range 2\.0 to 1\.0 is empty$"):
        Range(2.0, 1.0)


def test_weights_use_the_narrow_range_per_channel() -> None:
    weight = np.array([[1.0, -2.0], [0.5, 0.25]], np.float32)
    quant = weight_params(weight, 0)
    assert quant.scale == (float(np.float32(2 / 127)), float(np.float32(0.5 / 127)))
    integers = quantize_array(weight, DType.INT8, quant, narrow=True)
    assert integers.tolist() == [[64, -127], [127, 64]]


def test_a_channel_of_zeros_takes_the_others_scale() -> None:
    quant = weight_params(np.array([[0.0, 0.0], [1.27, 0.0]], np.float32), 0)
    assert quant.scale[0] == quant.scale[1]


def test_a_bias_beside_tiny_weights_still_fits() -> None:
    weight, bias = np.array([[1e-9], [1.0]], np.float32), np.array([5.0, 5.0], np.float32)
    input_quant = QuantParams.per_tensor(0.01)
    quant = weight_params(weight, 0, bias, 0.01)
    integers = quantize_array(bias, DType.INT32, bias_params(input_quant, quant))
    assert np.abs(integers).max() <= BIAS_LIMIT * 1.0001
    assert dequantize_array(integers, bias_params(input_quant, quant)) == pytest.approx(bias, rel=1e-3)


def test_minmax_keeps_nan() -> None:
    observer = MinMaxObserver()
    observer.update(np.array([1.0, np.nan], np.float32))
    observer.update(np.array([2.0], np.float32))
    assert not observer.is_finite


def test_histogram_grows_without_losing_counts() -> None:
    observer = make_observer("percentile", 99.0)
    assert isinstance(observer, HistogramObserver)
    for scale in (0.1, 1.0, 100.0):
        observer.update((scale * np.linspace(-1, 1, 1001)).astype(np.float32))
    assert observer._counts.sum() == 3003
    assert len(observer._counts) == BINS


def test_percentile_cuts_an_outlier_and_keeps_the_end_at_zero() -> None:
    values = np.concatenate([np.linspace(0, 1, 9999), [1000.0]]).astype(np.float32)
    observer = make_observer("percentile", 99.9)
    observer.update(values)
    found = observer.range()
    assert found.minimum == 0.0
    assert 0.99 < found.maximum <= 1.5  # a bin is 0.5 wide here


def histogram(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, Range]:
    counts, edges = np.histogram(values, BINS)
    extremes = Range(float(values.min()), float(values.max()))
    return counts.astype(float), (edges[1:] + edges[:-1]) / 2, extremes


def squared_error(values: np.ndarray, range_: Range) -> float:
    quant = activation_params(range_)
    return float(np.square(dequantize_array(quantize_array(values, DType.INT8, quant), quant) - values).mean())


def test_mse_clips_a_rare_outlier() -> None:
    values = np.concatenate([np.random.default_rng(0).standard_normal(1_000_000), [12.0]])
    counts, centers, extremes = histogram(values)
    found = mse_range(counts, centers, extremes)
    assert found.maximum < 8
    assert squared_error(values, found) < 0.6 * squared_error(values, extremes)


def test_mse_keeps_a_uniform_tensor_whole() -> None:
    observer = make_observer("mse", 99.99)
    observer.update(np.random.default_rng(0).uniform(-3, 3, 8000).astype(np.float32))
    assert observer.range().maximum > 2.9
    assert observer.range().minimum < -2.9


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_large_arrays_are_quantized_by_blocks_alike(axis: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.random.default_rng(0).standard_normal((7, 5, 3)).astype(np.float32)
    quant = weight_params(array, axis)
    whole = quantize_array(array, DType.INT8, quant, narrow=True)
    monkeypatch.setattr("edgec.quant.scheme.BLOCK_ELEMENTS", 30)
    assert np.array_equal(quantize_array(array, DType.INT8, quant, narrow=True), whole)
    assert np.array_equal(whole, np.rint(array.astype(np.float64) / scales_of(quant, axis)).clip(-127, 127))


def scales_of(quant: QuantParams, axis: int | None) -> np.ndarray:
    return np.array(quant.scale).reshape([-1 if i == axis else 1 for i in range(3)])
