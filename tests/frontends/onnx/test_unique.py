from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8])
@pytest.mark.parametrize("is_sorted", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_as_many_as_stated(compare: Any, dtype: Any, is_sorted: int, axis: int | None) -> None:
    x = RNG.integers(-2, 2, (6, 2, 3) if axis != 1 else (2, 6, 2)).astype(dtype)
    more = {} if axis is None else {"axis": axis}
    compare.check_stated("Unique", [x], outputs=4, opset=11, sorted=is_sorted, **more)


def test_constants_are_folded(compare: Any) -> None:
    module = compare.check_node("Unique", [np.array([3, 1, 3, 2])], constants=[0], outputs=4, opset=11)
    assert not list(module.main.ops)


def test_refusals(compare: Any) -> None:
    reason = compare.refusal("Unique", [np.ones((3, 2), np.float32)], opset=11)
    assert reason == "the number of its results depends on the values, and the model states none"
