from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("image", "block", "attributes"),
    [
        ([5, 6], [2, 3], {}),
        ([7, 6], [3, 2], {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
        ([9, 9], [2, 2], {"dilations": [3, 2], "strides": [2, 2]}),
        ([8, 8], [2, 2], {"strides": [2, 2]}),
        ([8], [3], {"strides": [3]}),
        ([3, 4, 5], [1, 2, 3], {}),
    ],
)
def test_blocks(compare: Any, image: list[int], block: list[int], attributes: dict[str, list[int]]) -> None:
    rank = len(image)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    counts = [
        (image[i] + pads[i] + pads[rank + i] - (block[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i in range(rank)
    ]  # fmt: skip
    x = RNG.standard_normal((2, 3 * int(np.prod(block)), int(np.prod(counts)))).astype(np.float32)
    inputs = [x, np.array(image), np.array(block)]
    compare.check_node("Col2Im", inputs, constants=[1, 2], opset=18, **attributes)


def test_refusals(compare: Any) -> None:
    x = np.zeros((1, 4, 5), np.float32)
    reason = compare.refusal("Col2Im", [x, np.array([5, 5]), np.array([2, 2])], constants=[1, 2], opset=18)
    assert reason == "columns [1, 4, 5] do not fit 16 blocks [2, 2] in an image of [5, 5]"
