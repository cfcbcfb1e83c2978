"""Which layout a sample stands in, and how it becomes a feed."""

import numpy as np
import pytest

from edgec.data.layout import InputSpec, arrangement, fitted, typed
from edgec.errors import DataError

FROM_NCHW = InputSpec("x", (1, 4, 5, 3), source_shape=(1, 3, 4, 5))


@pytest.mark.parametrize(
    ("shape", "spec", "known_hwc", "expected"),
    [
        ((4, 5, 3), FROM_NCHW, False, "artifact"),
        ((1, 4, 5, 3), FROM_NCHW, False, "artifact"),
        ((3, 4, 5), FROM_NCHW, False, "source"),
        ((1, 3, 4, 5), FROM_NCHW, False, "source"),
        ((3, 3, 3), InputSpec("x", (1, 3, 3, 3), source_shape=(1, 3, 3, 3)), False, "ambiguous"),
        ((3, 3, 3), InputSpec("x", (1, 3, 3, 3), source_shape=(1, 3, 3, 3)), True, "artifact"),
        ((3, 3, 3), InputSpec("x", (1, 3, 3, 3)), False, "artifact"),
        ((4, 5), InputSpec("x", (1, 4, 5, 1)), False, "artifact"),
        ((1, 4, 5), InputSpec("x", (1, 4, 5, 1), source_shape=(1, 1, 4, 5)), False, "source"),
        ((640,), InputSpec("x", (1, 640)), False, "artifact"),
        ((9, 5, 3), InputSpec("x", (-1, -1, 5, 3)), False, "artifact"),
        ((2, 7), InputSpec("x", (2, 7)), False, "artifact"),
        ((4, 5, 3), InputSpec("x", (1, 3, 4, 5), source_shape=(1, 3, 4, 5)), True, "hwc_to_chw"),
        ((20, 8), InputSpec("x", (1, 20, 8), source_shape=(1, 8, 20)), False, "artifact"),
        ((8, 20), InputSpec("x", (1, 20, 8), source_shape=(1, 8, 20)), False, "source"),
    ],
)
def test_arrangement(shape: tuple[int, ...], spec: InputSpec, known_hwc: bool, expected: str) -> None:
    assert arrangement(shape, spec, known_hwc, "sample 0") == expected


@pytest.mark.parametrize(
    ("shape", "spec", "tail"),
    [
        ((3, 4, 5), InputSpec("x", (1, 4, 5, 3)), "found shape (3, 4, 5), wanted (4, 5, 3); "),
        ((5, 4, 3), FROM_NCHW, "found shape (5, 4, 3), wanted (4, 5, 3), or (3, 4, 5) as in the source model; "),
        ((7,), InputSpec("x", (2, 7)), "found shape (7,), wanted (2, 7); "),
    ],
)
def test_mismatch(shape: tuple[int, ...], spec: InputSpec, tail: str) -> None:
    with pytest.raises(DataError) as caught:
        arrangement(shape, spec, False, "sample 0 of 'a.npz'")
    assert str(caught.value) == (
        f"matching sample 0 of 'a.npz' to input 'x': {tail}"
        "store samples in that shape, or give resize, crop, layout or reshape in a manifest"
    )


def test_source_samples_are_transposed() -> None:
    sample = np.arange(60).reshape(3, 4, 5)
    feed = fitted(sample, FROM_NCHW, "source")
    assert feed.shape == (1, 4, 5, 3)
    assert feed[0, 2, 4].tolist() == [14, 34, 54]
    np.testing.assert_array_equal(fitted(sample[None], FROM_NCHW, "source"), feed)


def test_gray_sample_gets_batch_and_channel() -> None:
    assert fitted(np.zeros((4, 5)), InputSpec("x", (1, 4, 5, 1)), "artifact").shape == (1, 4, 5, 1)


def test_float_input_takes_integers_unscaled() -> None:
    feed = typed(np.array([0, 255], dtype=np.uint8), InputSpec("x", (1, 2)), "sample 0")
    assert feed.dtype == np.float32
    assert feed.tolist() == [0.0, 255.0]


def test_integer_input_keeps_its_own_dtype_and_quantizes_real_values() -> None:
    spec = InputSpec("x", (1, 3), dtype="int8", scale=0.5, zero_point=-1)
    assert typed(np.array([-128, 0, 7], dtype=np.int8), spec, "s").tolist() == [-128, 0, 7]
    assert typed(np.array([1.0, 0.0, 900.0]), spec, "s").tolist() == [1, -1, 127]
    assert typed(np.array([0, 2, 4], dtype=np.uint8), spec, "s").tolist() == [-1, 3, 7]


def test_integer_input_without_scale() -> None:
    spec = InputSpec("ids", (1, 2), dtype="int32")
    assert typed(np.array([3, 5], dtype=np.int64), spec, "s").dtype == np.int32
    with pytest.raises(DataError) as caught:
        typed(np.array([0.25, 5.0]), spec, "sample 4")
    assert str(caught.value) == (
        "preparing sample 4 for input 'ids': values from 0.25 to 5.0 of type float64 are not whole numbers within "
        "int32; give whole numbers from -2147483648 to 2147483647"
    )


def test_values_beyond_float32_count_as_infinite() -> None:
    with pytest.raises(DataError) as caught:
        typed(np.array([1e300, 1.0]), InputSpec("x", (1, 2)), "sample 7")
    assert str(caught.value) == (
        "preparing sample 7: 1 of its 2 values are not finite (infinite values); repair it or leave it out"
    )
