from typing import Any

import numpy as np
import pytest
from onnx import helper

Array = np.ndarray
RNG = np.random.default_rng(0)
SCALE = np.array(0.05, np.float32)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def qdq(compare: Any, x: Array, scale: Array, zero_point: Array, opset: int = 13, **attributes: Any) -> Any:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
    ]
    model = compare.nodes_model(nodes, {"x": x}, ["q", "y"], constants={"s": scale, "z": zero_point}, opset=opset)
    return compare.check_onnx(model, {"x": x})


@pytest.mark.parametrize("zero_point", [np.int8(-3), np.uint8(128), np.uint8(0)], ids=repr)
@pytest.mark.parametrize("opset", [10, 13, 19])
def test_quantized_per_tensor_keeps_the_range(compare: Any, zero_point: Any, opset: int) -> None:
    module = qdq(compare, real(2, 3, 4) * 4, SCALE, np.asarray(zero_point), opset)
    quantize, dequantize = module.main.ops
    assert (quantize.opcode, dequantize.opcode) == ("quantize", "dequantize")
    assert quantize.result.quant.scale == (float(SCALE),)
    assert quantize.result.quant.zero_point == (int(zero_point),)


def test_int16(compare: Any) -> None:
    qdq(compare, real(2, 3), SCALE, np.array(0, np.int16), opset=21)


def test_quantized_per_axis(compare: Any) -> None:
    scales, points = np.array([0.02, 0.05, 0.1], np.float32), np.zeros(3, np.int8)
    module = qdq(compare, real(2, 3, 4), scales, points, axis=1)
    assert next(iter(module.main.ops)).result.quant.axis == 1


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_quantized_inputs_per_axis(compare: Any, axis: int, dtype: str) -> None:
    x = RNG.integers(0, 99, (2, 3, 4)).astype(dtype)
    scale, point = np.linspace(0.02, 0.1, x.shape[axis], dtype=np.float32), np.full(x.shape[axis], 5, dtype)
    compare.check_node("DequantizeLinear", [x, scale, point], constants=[1, 2], axis=axis, opset=21)
    zeros = np.zeros_like(point)
    compare.check_node("DequantizeLinear", [x, scale, zeros], constants=[1, 2], axis=axis, opset=21)


def test_the_default_is_uint8(compare: Any) -> None:
    compare.check_node("QuantizeLinear", [real(2, 3), SCALE], constants=[1])


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_quantized_inputs(compare: Any, dtype: str) -> None:
    x = RNG.integers(0, 99, (2, 3)).astype(dtype)
    compare.check_node("DequantizeLinear", [x, SCALE, np.array(7, dtype)], constants=[1, 2])


def test_int32_is_dequantized_by_a_product(compare: Any) -> None:
    module = compare.check_node("DequantizeLinear", [RNG.integers(-999, 999, (2, 3), np.int32), SCALE], constants=[1])
    assert [op.opcode for op in module.main.ops] == ["cast", "mul"]


def test_what_lost_its_range_is_dequantized_by_arithmetic(compare: Any) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Reshape", ["q", "shape"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    x = real(2, 3)
    constants = {"s": SCALE, "z": np.uint8(120), "shape": np.array([3, 2])}
    compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants), {"x": x})


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_quantized_constants_become_float(compare: Any, dtype: str) -> None:
    weights, x = RNG.integers(0, 99, (4, 3)).astype(dtype), real(4, 3)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=1),
        helper.make_node("Mul", ["x", "w"], ["y"]),
    ]
    constants = {"q": weights, "s": np.array([0.1, 0.2, 0.3], np.float32)}
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants, opset=21)
    module = compare.check_onnx(model, {"x": x})
    assert [op.opcode for op in module.main.ops] == ["mul"]


def test_refusals(compare: Any) -> None:
    x = real(2, 4)
    wide = compare.refusal("QuantizeLinear", [x, SCALE, np.uint16(3)], constants=[1, 2], opset=21)
    assert wide == "quantizing to uint16 has no TFLite kernel"
    shifted = compare.refusal("QuantizeLinear", [x, SCALE, np.int16(3)], constants=[1, 2], opset=21)
    assert shifted == "int16 needs the zero point 0, found 3"
    masked = compare.refusal("QuantizeLinear", [x, np.float32(np.inf), np.int8(3)], constants=[1, 2])
    assert masked.startswith("the scale of 'x0' is infinite")
    assert "write the mask with a large finite number such as -1e4" in masked
    nothing = compare.refusal("DequantizeLinear", [x.astype(np.int8), np.float32(np.nan)], constants=[1])
    assert nothing == "the scale of 'x0' is nan; scales are finite and not negative: quantize the model again"
    blocks = compare.refusal("QuantizeLinear", [x, np.ones((2, 2), np.float32)], constants=[1], opset=21, block_size=2)
    assert blocks == "blocks of 2 share a scale; TFLite has scales per tensor or channel"
    assert compare.refusal("QuantizeLinear", [x, None]) == "its input 1 is missing"
    assert compare.refusal("DequantizeLinear", [x.astype(np.int8), None]) == "its input 1 is missing"


def test_moves_of_codes_keep_their_range(compare: Any) -> None:
    """A quantized file in QOperator form becomes what its QDQ form becomes."""
    weight = RNG.integers(-128, 127, (4, 3, 3, 3)).astype(np.int8)
    constants = {"s": SCALE, "z": np.uint8(120), "w": weight, "ws": np.array(0.02, np.float32), "wz": np.int8(0)}
    constants |= {"ys": np.array(0.3, np.float32), "yz": np.uint8(130), "shape": np.array([1, -1])}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "ys", "yz"], ["c"]),
        helper.make_node("MaxPool", ["c"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["m", "shape"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "ys", "yz"], ["y"]),
    ]
    x = real(1, 3, 8, 8) * 3
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants), {"x": x}, atol=0.02)
    opcodes = [op.opcode for op in module.main.ops if op.opcode not in ("transpose", "reshape")]
    between = ["quantize", "dequantize"]
    assert opcodes == [*between, "conv_2d", *between, "max_pool_2d", *between, *between]


def test_parts_and_resized_images_of_codes(compare: Any) -> None:
    constants = {"s": SCALE, "z": np.uint8(120), "scales": np.array([1, 1, 2, 2], np.float32)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Split", ["q"], ["a", "b"], axis=1),
        helper.make_node("Resize", ["a", "", "scales"], ["r"], mode="nearest"),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
        helper.make_node("DequantizeLinear", ["b", "s", "z"], ["w"]),
    ]
    x = real(1, 4, 5, 6)
    model = compare.nodes_model(nodes, {"x": x}, ["y", "w"], constants=constants)
    module = compare.check_onnx(model, {"x": x})
    assert {op.opcode for op in module.main.ops} >= {"dequantize", "split", "resize_nearest_neighbor", "quantize"}


@pytest.mark.parametrize("zero_point", [np.uint16(30000), np.int16(-77)], ids=repr)
def test_pairs_of_16_bits_without_a_kernel_clamp(compare: Any, zero_point: Any) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    x, constants = real(2, 3, 4) * 4, {"s": np.array(1e-4, np.float32), "z": zero_point}
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants, opset=21)
    module = compare.check_onnx(model, {"x": x}, atol=1e-4)
    assert [op.opcode for op in module.main.ops] == ["maximum", "minimum"]
