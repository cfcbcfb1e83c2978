"""Pooling against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

X = np.random.default_rng(4).standard_normal((2, 3, 9, 10)).astype(np.float32) - 2  # mostly negative: padding shows
PADS = [[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 1], [2, 1, 0, 0]]


def opcodes(module: Any) -> list[str]:
    return [op.opcode for op in module.main.ops]


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("strides", [[1, 1], [2, 2], [3, 1]], ids=str)
@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_max_pool(compare: Any, pads: list[int], strides: list[int], ceil_mode: int) -> None:
    attributes = {"kernel_shape": [3, 2], "pads": pads, "strides": strides, "ceil_mode": ceil_mode}
    compare.check_node("MaxPool", [X], opset=12, **attributes)


@pytest.mark.parametrize("pads", PADS, ids=str)
@pytest.mark.parametrize("strides", [[1, 1], [2, 2], [3, 1]], ids=str)
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("counts_pads", [0, 1])
def test_average_pool(compare: Any, pads: list[int], strides: list[int], ceil_mode: int, counts_pads: int) -> None:
    attributes = {"kernel_shape": [3, 2], "pads": pads, "strides": strides, "ceil_mode": ceil_mode}
    compare.check_node("AveragePool", [X], opset=19, count_include_pad=counts_pads, **attributes)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("opset", [7, 11, 22])
def test_auto_pad(compare: Any, op_type: str, mode: str, opset: int) -> None:
    module = compare.check_node(op_type, [X], opset=opset, kernel_shape=[3, 2], strides=[2, 2], auto_pad=mode)
    if mode != "SAME_LOWER":
        assert len(opcodes(module)) == 3  # transpose, pool, transpose


def test_padding_after_relu_is_zero(compare: Any) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    ]
    x = X[:, :, :8, :8]
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"]), {"x": x})
    assert opcodes(module) == ["relu", "transpose", "pad", "max_pool_2d", "transpose"]


@pytest.mark.parametrize("attributes", [
    {"dilations": [2, 3]}, {"dilations": [2, 2], "strides": [2, 1], "pads": [1, 1, 1, 1]},
    {"dilations": [1, 4], "ceil_mode": 1, "strides": [2, 2]},
])  # fmt: skip
@pytest.mark.parametrize(("op_type", "more"), [
    ("MaxPool", {}), ("AveragePool", {}), ("AveragePool", {"count_include_pad": 1}), ("LpPool", {"p": 3}),
])  # fmt: skip
def test_dilations(compare: Any, op_type: str, more: dict[str, int], attributes: dict[str, Any]) -> None:
    module = compare.check_node(op_type, [X], opset=19, kernel_shape=[3, 2], **attributes, **more)
    assert "transpose" not in opcodes(module)


@pytest.mark.parametrize("attributes", [{}, {"strides": [1, 2, 2], "pads": [1, 0, 1, 0, 0, 1]}])
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
def test_three_spatial_axes(compare: Any, op_type: str, attributes: dict[str, Any]) -> None:
    compare.check_node(op_type, [X.reshape(2, 3, 3, 3, 10)], opset=19, kernel_shape=[2, 1, 3], **attributes)


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("attributes", [{}, {"pads": [1, 1]}, {"pads": [0, 2], "strides": [2]}])
def test_one_spatial_axis(compare: Any, op_type: str, attributes: dict[str, Any]) -> None:
    compare.check_node(op_type, [X[0]], kernel_shape=[3], **attributes)


def test_max_pool_of_bytes(compare: Any) -> None:
    x = np.random.default_rng(5).integers(0, 255, (1, 2, 8, 8)).astype(np.uint8)
    for array in (x, (x.astype(np.int16) - 128).astype(np.int8)):
        compare.check_node("MaxPool", [array], opset=12, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 0])


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("pads", PADS[:3], ids=str)
def test_lp_pool(compare: Any, p: int, pads: list[int]) -> None:
    compare.check_node("LpPool", [X], kernel_shape=[3, 2], p=p, pads=pads)


@pytest.mark.parametrize("op_type", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 9, 10), (2, 3, 90), (2, 3, 3, 3, 10)], ids=str)
def test_global_pools(compare: Any, op_type: str, shape: tuple[int, ...]) -> None:
    module = compare.check_node(op_type, [X.reshape(shape)])
    assert "transpose" not in opcodes(module)


@pytest.mark.parametrize(
    ("op_type", "x", "attributes", "outputs", "reason"),
    [
        ("MaxPool", X.reshape(1, 1, 1, -1), {"kernel_shape": [1, 300]}, 2,
         "the places of maxima in windows of 300 elements are not supported"),
        ("MaxPool", X.reshape(2, 3, 3, 3, 2, 5), {"kernel_shape": [2, 2, 2, 2]}, 1,
         "pooling over 4 spatial axes is not supported"),
        ("MaxPool", X, {"kernel_shape": [2]}, 1, "kernel shape [2] does not fit 2 spatial axes"),
        ("MaxPool", X, {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, 1,
         "pads [(2, 0), (0, 0)] leave windows that touch no element"),
        ("AveragePool", X, {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, 1,
         "pads [(2, 0), (0, 0)] leave windows that touch no element"),
        ("LpPool", X, {"kernel_shape": [2, 2], "p": 0}, 1, "the norm p = 0 is not positive"),
        ("GlobalMaxPool", X[0, 0], {}, 1, "its operand [9, 10] has no spatial axis"),
    ],
)  # fmt: skip
def test_refusals(
    compare: Any, op_type: str, x: np.ndarray, attributes: dict[str, Any], outputs: int, reason: str
) -> None:
    assert compare.refusal(op_type, [x], outputs=outputs, opset=19, **attributes) == reason


@pytest.mark.parametrize("taps", [17, 31, 32, 40])
@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_long_dilated_windows_take_few_ops(compare: Any, op_type: str, taps: int) -> None:
    x = np.random.default_rng(1).standard_normal((1, 2, 300)).astype(np.float32)
    more = {"kernel_shape": [taps], "dilations": [3], "strides": [2], "pads": [10, 16]}
    module = compare.check_node(op_type, [x], opset=19, atol=1e-4, **more)
    assert len(list(module.main.ops)) < 28
