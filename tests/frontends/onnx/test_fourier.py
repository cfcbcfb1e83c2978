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
