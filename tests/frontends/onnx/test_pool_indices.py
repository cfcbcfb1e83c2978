from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((2, 3, 9), {"kernel_shape": [3], "strides": [2]}),
        ((2, 3, 7, 8), {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 0, 1, 2]}),
        ((2, 3, 7, 8), {"kernel_shape": [2, 2], "dilations": [2, 3]}),
        ((1, 2, 7, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ((1, 2, 7, 8), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
        ((1, 2, 5, 6, 4), {"kernel_shape": [2, 2, 2], "strides": [2, 1, 2]}),
    ],
)
@pytest.mark.parametrize("order", [0, 1])
def test_places_of_maxima(compare: Any, shape: tuple[int, ...], attributes: dict[str, Any], order: int) -> None:
    x = RNG.integers(-9, 9, shape).astype(np.float32)  # with ties: the first one counts
    compare.check_node("MaxPool", [x], outputs=2, opset=12, storage_order=order, **attributes)


def test_unpooled(compare: Any) -> None:
    x = RNG.standard_normal((2, 3, 4, 4)).astype(np.float32)
    places = RNG.permutation(6 * 64)[:96].reshape(2, 3, 4, 4)
    compare.check_node("MaxUnpool", [x, places], opset=11, kernel_shape=[2, 2], strides=[2, 2])


def test_unpooled_to_a_given_shape(compare: Any) -> None:
    x = -RNG.random((1, 2, 3, 3)).astype(np.float32)
    places = RNG.permutation(2 * 7 * 7)[:18].reshape(1, 2, 3, 3)
    inputs = [x, places, np.array([1, 2, 7, 7])]
    compare.check_node("MaxUnpool", inputs, constants=[2], opset=11, kernel_shape=[2, 2], strides=[2, 2])


def test_overlapping_windows_name_a_place_twice(compare: Any) -> None:
    from onnx import helper

    x = RNG.standard_normal((1, 2, 7, 7)).astype(np.float32)
    more = {"kernel_shape": [3, 3], "strides": [2, 2]}
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p", "i"], **more),
        helper.make_node("MaxUnpool", ["p", "i"], ["y"], **more),
    ]
    compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], opset=12), {"x": x})
