from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("op_type", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("periodic", [0, 1])
def test_windows(compare: Any, op_type: str, periodic: int) -> None:
    compare.check_node(op_type, [np.array(10)], constants=[0], periodic=periodic)


@pytest.mark.parametrize("wanted", [[3, 4], [9, 5], [2, 11]])
def test_center_crop_pad(compare: Any, wanted: list[int]) -> None:
    x = RNG.standard_normal((2, 6, 7)).astype(np.float32)
    size = np.array(wanted)
    compare.check_node("CenterCropPad", [x, size], constants=[1], opset=18, oracle="reference", axes=[1, 2])


def test_tensor_scatter(compare: Any) -> None:
    cache, update = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 3, 6, 4), (2, 3, 2, 4)))
    for mode in ("linear", "circular"):
        first = np.array([1, 5 if mode == "circular" else 4])
        compare.check_node("TensorScatter", [cache, update, first], opset=24, oracle="reference", mode=mode)
