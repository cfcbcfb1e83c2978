"""Fidelity figures, worked out by hand."""

import math

import numpy as np
import pytest

from edgec.data.fidelity import PART, Fidelity, cosine, max_abs_error, sqnr_db


def test_by_hand() -> None:
    reference, actual = np.array([3.0, 4.0]), np.array([3.0, 3.5])
    assert sqnr_db(reference, actual) == pytest.approx(20.0)  # 25 / 0.25 = 100
    assert max_abs_error(reference, actual) == 0.5
    assert cosine(reference, actual) == pytest.approx(23 / (5 * math.sqrt(21.25)))


def test_batches_equal_one_long_vector() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(10, 7)).astype(np.float32)
    actual = reference + rng.normal(size=(10, 7)).astype(np.float32) * 0.01
    streamed = Fidelity()
    for row in range(10):
        streamed.add(reference[row], actual[row])
    assert streamed.elements == 70
    assert streamed.sqnr_db() == pytest.approx(sqnr_db(reference, actual))
    assert streamed.cosine() == pytest.approx(cosine(reference, actual))
    assert streamed.max_abs_error == max_abs_error(reference, actual)
    span = float(reference.max() - reference.min())
    assert streamed.relative_max_error() == pytest.approx(streamed.max_abs_error / span)


def test_parts_of_a_long_vector_add_up() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(size=2 * PART + 3)
    actual = reference.copy()
    actual[-1] -= 2.0
    reference[0] = actual[0] = np.inf
    rest = reference[1:]
    long = Fidelity()
    long.add(reference, actual)
    assert long.max_abs_error == pytest.approx(2.0)
    assert long.sqnr_db() == pytest.approx(10 * math.log10(float(rest @ rest) / 4.0))


def test_edges() -> None:
    zero, one = np.zeros(2), np.ones(2)
    assert sqnr_db(one, one) == math.inf
    assert sqnr_db(zero, zero) == math.inf
    assert sqnr_db(zero, one) == -math.inf
    assert (cosine(zero, zero), cosine(zero, one)) == (1.0, 0.0)
    constant = Fidelity()
    constant.add(one, one * 2)
    assert constant.relative_max_error() == 1.0  # of its magnitude, as its range is zero
    silent = Fidelity()
    silent.add(zero, one)
    assert silent.relative_max_error() == math.inf


def test_small_integers_do_not_wrap() -> None:
    assert max_abs_error(np.array([-128], dtype=np.int8), np.array([127], dtype=np.int8)) == 255.0


def test_nan_sticks() -> None:
    fidelity = Fidelity()
    fidelity.add(np.ones(2), np.array([1.0, np.nan]))
    fidelity.add(np.ones(2), np.ones(2))
    assert math.isnan(fidelity.max_abs_error)
    assert math.isnan(fidelity.sqnr_db())


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\) cannot be compared"):
        Fidelity().add(np.zeros(2), np.zeros(3))


def test_the_same_infinities_agree() -> None:
    """A causal mask gives minus infinity on both sides; only finite values can measure a departure."""
    fidelity = Fidelity()
    fidelity.add(np.array([1.0, -math.inf, math.nan]), np.array([1.0, -math.inf, math.nan]))
    assert fidelity.max_abs_error == 0
    assert fidelity.relative_max_error() == 0
    assert fidelity.elements == 3
    assert fidelity.sqnr_db() == math.inf


@pytest.mark.parametrize("other", [math.inf, 5.0, math.nan])
def test_an_infinity_that_only_one_side_has_is_an_error(other: float) -> None:
    fidelity = Fidelity()
    fidelity.add(np.array([1.0, -math.inf]), np.array([1.0, other]))
    assert not math.isfinite(fidelity.max_abs_error)
    assert math.isnan(fidelity.sqnr_db())
