"""Networks as onnxruntime's dynamic quantization writes them: products of real numbers again, with small weights."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgec.driver import CompileOptions, compile_model

RNG = np.random.default_rng(0)
CODES = ["q", "s", "z"]
COARSE = 0.03  # of the largest value: onnxruntime rounds activations to 256 steps, the float graph does not


def product(op_type: str, weight: Any, x: Any, **attributes: Any) -> tuple[list[Any], dict[str, Any]]:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], CODES),
        helper.make_node("Mul", ["s", "ws"], ["scale"]),
        helper.make_node(op_type, ["q", "w", "z", "wz"], ["sums"], **attributes),
        helper.make_node("Cast", ["sums"], ["real"], to=1),
        helper.make_node("Mul", ["real", "scale"], ["y"]),
    ]
    return nodes, {"ws": np.float32(0.01), "w": weight, "wz": np.zeros((), weight.dtype)}


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_products_are_of_real_numbers(compare: Any, dtype: str) -> None:
    x, weight = RNG.standard_normal((4, 16)).astype(np.float32), RNG.integers(0, 127, (16, 8)).astype(dtype)
    nodes, constants = product("MatMulInteger", weight, x)
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants), {"x": x}, atol=COARSE)
    assert {op.opcode for op in module.main.ops} <= {"transpose", "batch_matmul", "fully_connected", "mul"}


def test_a_convolution_becomes_one_op(compare: Any, tmp_path: Path) -> None:
    x, weight = RNG.standard_normal((1, 16, 8, 8)).astype(np.float32), RNG.integers(-127, 127, (16, 16, 3, 3))
    nodes, constants = product("ConvInteger", weight.astype(np.int8), x, pads=[1, 1, 1, 1])
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants)
    compare.check_onnx(model, {"x": x}, atol=COARSE)
    onnx.save(model, tmp_path / "net.onnx")
    result = compile_model(tmp_path / "net.onnx", CompileOptions("pixel4"))
    [conv] = result.module.main.ops
    assert (conv.opcode, conv.operand(1).dtype.value, result.report.artifact.scheme) == ("conv_2d", "int8", "w8")


def test_codes_that_are_read_as_such_stay_codes(compare: Any) -> None:
    x, weight = RNG.standard_normal((4, 16)).astype(np.float32), RNG.integers(-9, 9, (16, 8)).astype(np.int8)
    nodes, constants = product("MatMulInteger", weight, x)
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y", "q"], constants=constants), {"x": x})
    assert "round" in {op.opcode for op in module.main.ops}


def test_an_lstm(compare: Any) -> None:
    hidden, size = 5, 3
    x = RNG.standard_normal((4, 1, size)).astype(np.float32)
    inputs: list[Any] = [x, RNG.integers(-127, 127, (1, size, 4 * hidden)).astype(np.int8)]
    inputs += [RNG.integers(-127, 127, (1, hidden, 4 * hidden)).astype(np.int8)]
    inputs += [RNG.standard_normal((1, 8 * hidden)).astype(np.float32), None, None, None, None]
    inputs += [np.array([0.01], np.float32), np.zeros(1, np.int8)] * 2
    constants = [1, 2, 3, 8, 9, 10, 11]
    compare.check_node(
        "DynamicQuantizeLSTM", inputs, constants=constants, outputs=3, domain="com.microsoft", hidden_size=hidden,
        atol=COARSE,
    )  # fmt: skip
