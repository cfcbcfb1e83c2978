from typing import Any

import numpy as np
import pytest

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("aligned", [0, 1])
def test_images(compare: Any, mode: str, padding: str, aligned: int) -> None:
    grid = RNG.uniform(-1.3, 1.3, (2, 3, 5, 2)).astype(np.float32)
    compare.check_node(
        "GridSample", [real(2, 3, 4, 6), grid], opset=20, mode=mode, padding_mode=padding, align_corners=aligned,
        atol=1e-4,
    )  # fmt: skip


def test_volumes(compare: Any) -> None:
    grid = RNG.uniform(-1.3, 1.3, (1, 2, 3, 4, 3)).astype(np.float32)
    compare.check_node("GridSample", [real(1, 2, 3, 4, 5), grid], opset=20, mode="linear")


@pytest.mark.parametrize("aligned", [0, 1])
def test_affine_grid(compare: Any, aligned: int) -> None:
    flat, deep = np.array([2, 3, 4, 5]), np.array([1, 3, 2, 4, 5])
    more = {"opset": 20, "constants": [1], "align_corners": aligned, "oracle": "reference"}
    compare.check_node("AffineGrid", [real(2, 2, 3), flat], **more)
    compare.check_node("AffineGrid", [real(1, 3, 4), deep], **more)
