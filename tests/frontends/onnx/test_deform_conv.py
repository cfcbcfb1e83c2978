from typing import Any

import numpy as np
import pytest

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("constants", [(1, 3), ()])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("shared", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_groups(compare: Any, constants: tuple[int, ...], group: int, shared: int, masked: bool) -> None:
    x, weight, bias = real(2, 4, 7, 6), real(6, 4 // group, 3, 2), real(6)
    offsets = 2 * real(2, shared * 6 * 2, 5, 5)
    inputs = [x, weight, offsets, bias, *([RNG.random((2, shared * 6, 5, 5)).astype(np.float32)] if masked else [])]
    compare.check_node("DeformConv", inputs, constants=constants, opset=19, group=group, offset_group=shared, atol=1e-4)


def test_pads_strides_and_dilations(compare: Any) -> None:
    inputs = [real(1, 2, 9, 10), real(3, 2, 3, 3), real(1, 18, 5, 6)]
    more = {"pads": [1, 2, 3, 4], "strides": [2, 2], "dilations": [2, 2]}
    compare.check_node("DeformConv", inputs, constants=[1], opset=19, atol=1e-4, **more)


def test_refusals(compare: Any) -> None:
    reason = compare.refusal("DeformConv", [real(1, 2, 5, 5), real(3, 2, 3, 3), real(1, 16, 3, 3)], opset=19)
    assert reason == "offsets [1, 16, 3, 3] and weights [3, 2, 3, 3] do not fit [1, 2, 5, 5]"
