from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgec.errors import EdgecError
from edgec.frontends.onnx import read_onnx
from edgec.frontends.onnx.fold_fast import FAST
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.quantized_constants import dequantized
from edgec.ir.dtype import DType
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


@pytest.mark.parametrize(
    ("per_channel", "opset"), [(False, 10), (False, 13), (False, 18), (True, 13), (True, 18)]
)  # per channel since opset 13
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_weights_of_qdq_models(compare: Any, per_channel: bool, dtype: str, opset: int) -> None:
    """A quantized Conv with int8 or uint8 weights and an int32 bias, as onnxruntime's quantizer writes it."""
    low = -127 if dtype == "int8" else 0
    weights = RNG.integers(low, 128, (4, 3, 3, 3)).astype(dtype)
    zero_point = np.full(4, 0 if dtype == "int8" else 121, dtype)
    scale = np.array([0.01, 0.02, 0.004, 0.03], np.float32)
    chosen = slice(None) if per_channel else 0
    axis = {"axis": 0} if opset >= 13 else {}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], **axis),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"], **axis),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["y"]),
    ]
    constants = {
        "xs": np.float32(0.05), "xz": np.uint8(128), "w": weights, "ws": scale[chosen], "wz": zero_point[chosen],
        "b": RNG.integers(-5000, 5000, 4).astype(np.int32), "bs": scale[chosen] * np.float32(0.05),
    }  # fmt: skip
    x = RNG.standard_normal((1, 3, 6, 6)).astype(np.float32)
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants, opset=opset), {"x": x})
    (conv,) = [op for op in module.main.ops if op.opcode == "conv_2d"]
    assert conv.operand(1).is_constant
    assert conv.operand(1).dtype is DType.FLOAT32
    assert [op.opcode for op in module.main.ops if op.opcode != "transpose"] == ["quantize", "dequantize", "conv_2d"]


def test_without_the_reference_evaluator_nodes_are_translated(compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAST, "DequantizeLinear")  # the reference evaluator has none for opset 13
    x = RNG.standard_normal((4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wd"]), helper.make_node("Mul", ["x", "wd"], ["y"])
    ]  # fmt: skip
    constants = {"w": RNG.integers(-9, 9, (4, 3)).astype(np.int8), "s": np.float32(0.1), "z": np.int8(3)}
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants, opset=13), {"x": x})
    assert "dequantize" in [op.opcode for op in module.main.ops]


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
