"""How far arrays depart, for every kind of number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgec.driver.agreement import comparable, departure
from edgec.driver.checks import compare_runs

COMPLEX = np.array([[1 + 2j, 3 - 4j, -1j]], np.complex64)


def test_imaginary_parts_count() -> None:
    assert departure(COMPLEX, COMPLEX, 0.0) == 0
    assert departure(COMPLEX, COMPLEX.conj(), 1e-3) == pytest.approx(8 / 7)  # parts lie from -4 to 3, one is 8 off
    assert departure(COMPLEX, COMPLEX.real, 1e-3) == pytest.approx(4 / 7)


def test_complex_outputs_are_checked_in_both_parts() -> None:
    check = compare_runs(
        lambda feed: [COMPLEX], lambda feed: [COMPLEX.conj()], [{}], ["y"], name="source", tolerance=1e-3
    )
    assert check.passed is False
    assert check.max_abs_error == 8
    same = compare_runs(lambda feed: [COMPLEX], lambda feed: [COMPLEX], [{}], ["y"], name="source", tolerance=1e-3)
    assert same.passed
    assert same.identical


def test_a_missing_number_in_one_part_departs() -> None:
    want, have = COMPLEX.copy(), COMPLEX.copy()
    want[0, 1] = complex(3, math.nan)
    assert departure(want, want, 0.0) == 0
    assert departure(want, have, 1.0) == math.inf


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_the_same_odd_number_on_both_sides_is_no_departure(odd: float) -> None:
    want = np.array([1, odd, 3], np.float32)
    assert departure(want, want, 0.0) == 0
    assert departure(want, np.array([1, 2, 3], np.float32), 1.0) == math.inf
    first, second = comparable(want, want)
    assert first[1] == second[1] == 0


def test_an_output_that_one_side_lacks_is_not_passed_over() -> None:
    ones = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="shorter"):
        compare_runs(lambda feed: [ones], lambda feed: [ones, ones], [{}], ["y", "z"], name="source", tolerance=1e-3)
