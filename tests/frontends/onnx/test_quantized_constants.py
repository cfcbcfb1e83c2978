from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgec.errors import EdgecError
from edgec.frontends.onnx import read_onnx
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.quantized_constants import dequantized
from edgec.ir.graph import Graph
from edgec.ops import build

Array = np.ndarray
RNG = np.random.default_rng(0)


def constant_node(operands: list[Array], opset: int, **attributes: Any) -> Node:
    builder = build(Graph("constants"))
    proto = helper.make_node("DequantizeLinear", ["x", "s", "z"][: len(operands)], ["y"], **attributes)
    return Node(proto, [builder.constant(a) for a in operands], opset)


FORMS = [
    (np.array(0.1, np.float32), np.array(-4, np.int8), {}), (np.array([0.1], np.float32), np.array([3], np.int8), {}),
    (np.array([0.1, 0.2, 0.5], np.float32), np.array([1, -2, 0], np.int8), {"axis": 0}),
    (np.array([0.1, 0.2, 0.5, 1], np.float32), np.array([1, -2, 0, 7], np.int8), {}),
]  # fmt: skip


@pytest.mark.parametrize(("scale", "zero_point", "attributes"), FORMS, ids=str)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_as_onnxruntime(compare: Any, scale: Array, zero_point: Array, attributes: Any, dtype: str) -> None:
    x = RNG.integers(0, 127, (3, 4)).astype(dtype)
    zero_point = np.abs(zero_point).astype(dtype)
    operands = [x, np.asarray(scale), np.asarray(zero_point)]
    model, feeds = compare.node_model("DequantizeLinear", operands, constants=[1, 2], opset=13, **attributes)
    (expected,) = compare.expected_outputs(model, feeds)
    found = dequantized(constant_node(operands, 13, **attributes))
    np.testing.assert_array_equal(found, expected)


def test_biases_and_blocks(compare: Any) -> None:
    bias = RNG.integers(-(2**20), 2**20, 5).astype(np.int32)
    scale = np.array([0.001, 0.002, 0.003, 0.004, 0.005], np.float32)
    model, feeds = compare.node_model("DequantizeLinear", [bias, scale], constants=[1], opset=13, axis=0)
    found = dequantized(constant_node([bias, scale], 13, axis=0))
    np.testing.assert_array_equal(found, compare.expected_outputs(model, feeds)[0])

    x, scales = RNG.integers(-9, 9, (2, 5)).astype(np.int8), np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    found = dequantized(constant_node([x, scales], 21, axis=1, block_size=2))
    np.testing.assert_array_equal(found, x * scales[:, [0, 0, 1, 1, 2]])


def test_scales_that_do_not_fit() -> None:
    node = constant_node([np.ones((2, 3), np.int8), np.ones(2, np.float32)], 13)
    with pytest.raises(Refusal, match=r"^scales \[2\] do not fit \[2, 3\] along axis 1$"):
        dequantized(node)


@pytest.mark.parametrize("opset", [19, 21])
def test_folded_when_read(compare: Any, opset: int) -> None:
    weights, x = np.array([[1, -2], [3, 4]], np.int8), np.ones((2, 2), np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=0), helper.make_node("Mul", ["x", "w"], ["y"])
    ]  # fmt: skip
    constants = {"q": weights, "s": np.array([0.5, 0.25], np.float32)}
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants, opset=opset)
    try:
        module = read_onnx(model.SerializeToString())
    except EdgecError as error:
        pytest.fail(str(error))
    assert [op.opcode for op in module.main.ops] == ["mul"]
