"""Shapes and refusals of pooling, worked out by hand."""

from collections.abc import Callable

import pytest

Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]
POOLS = ("average_pool_2d", "max_pool_2d", "l2_pool_2d")


@pytest.mark.parametrize("opcode", POOLS)
def test_windows(shape: Shape, opcode: str) -> None:
    window = {"filter_height": 3, "filter_width": 2, "stride_h": 2, "stride_w": 3}
    assert shape(opcode, (2, 9, 8, 5), padding="VALID", **window) == (2, 4, 3, 5)
    assert shape(opcode, (2, 9, 8, 5), padding="SAME", **window) == (2, 5, 3, 5)


def test_refusals(refusal: Refusal) -> None:
    assert refusal("max_pool_2d", (2, 9, 8, 5)) == "window 0, stride 0 and dilation 1 must be positive"
    window = {"filter_height": 3, "filter_width": 3, "stride_h": 1, "stride_w": 1}
    assert refusal("max_pool_2d", (9, 8, 5), **window).endswith("must have rank 4, its shape is [9, 8, 5]")
    assert refusal("max_pool_2d", (1, 2, 8, 5), padding="VALID", **window) == (
        "a window of 3 does not fit into 2 positions"
    )
    assert refusal("max_pool_2d", (1, 2, 8, 5), padding=7, **window) == "padding must be SAME or VALID, found 7"
