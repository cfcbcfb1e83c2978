from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3, 3), (2, 3, 4, 4), (2, 1, 1)])
def test_small_matrices(compare: Any, shape: tuple[int, ...]) -> None:
    compare.check_node("Det", [RNG.standard_normal(shape).astype(np.float32)], opset=11, atol=1e-4)


def test_large_ones_are_refused(compare: Any) -> None:
    reason = compare.refusal("Det", [np.zeros((5, 5), np.float32)], opset=11)
    assert reason == "a determinant of 5 rows needs a pivot search; only up to 4 rows are written out"
