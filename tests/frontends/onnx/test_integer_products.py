from typing import Any

import numpy as np

Array = np.ndarray
RNG = np.random.default_rng(0)


def codes(*shape: int, dtype: Any = np.uint8) -> Array:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape).astype(dtype)


def scale(*values: float) -> Array:
    return np.array(values, np.float32)


def test_matmul_integer(compare: Any) -> None:
    a, b = codes(4, 6), codes(6, 3)
    compare.check_node("MatMulInteger", [a, b])
    compare.check_node("MatMulInteger", [a, b, np.uint8(7), np.uint8(100)], constants=[1, 2, 3])
    compare.check_node("MatMulInteger", [a, codes(6, 3, dtype=np.int8), np.uint8(7), np.int8(-3)])


def test_conv_integer(compare: Any) -> None:
    x, w = codes(1, 3, 5, 5), codes(4, 3, 3, 3)
    compare.check_node("ConvInteger", [x, w, np.uint8(9)], constants=[1, 2], pads=[1, 1, 1, 1])
    compare.check_node("ConvInteger", [x, w, np.uint8(9), np.uint8(4)], constants=[1, 2, 3], strides=[2, 2])


def off_by_at_most_one(compare: Any, op_type: str, inputs: list[Any], **attributes: Any) -> None:
    """Products are rounded to codes; where a real product lies on the border between two, float32 may choose either."""
    from edgec.frontends.onnx import read_onnx
    from edgec.runtime.evaluate import evaluate

    constants = tuple(range(1, len(inputs)))
    model, feeds = compare.node_model(op_type, inputs, constants=constants, **attributes)
    (found,) = evaluate(read_onnx(model.SerializeToString()).main, feeds)
    (expected,) = compare.expected_outputs(model, feeds)
    difference = np.abs(found.astype(int) - expected.astype(int))
    assert found.dtype == expected.dtype
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.02
    assert len(np.unique(expected)) > 5


def test_qlinear_matmul(compare: Any) -> None:
    a, b = codes(4, 6), codes(6, 3)
    off_by_at_most_one(
        compare, "QLinearMatMul",
        [a, scale(0.02), np.uint8(120), b, scale(0.03), np.uint8(130), scale(0.1), np.uint8(90)],
    )  # fmt: skip


def test_qlinear_conv(compare: Any) -> None:
    x, w = codes(1, 3, 6, 6), codes(4, 3, 3, 3, dtype=np.int8)
    bias = RNG.integers(-500, 500, 4).astype(np.int32)
    points = np.zeros(4, np.int8)
    inputs = [x, scale(0.02), np.uint8(120), w, scale(0.01, 0.02, 0.005, 0.01), points, scale(0.2), np.uint8(100), bias]
    off_by_at_most_one(compare, "QLinearConv", inputs, pads=[1, 1, 1, 1])


def test_dynamic_quantize_linear(compare: Any) -> None:
    x = RNG.standard_normal((3, 4)).astype(np.float32)
    compare.check_node("DynamicQuantizeLinear", [x], outputs=3)
    compare.check_node("DynamicQuantizeLinear", [np.abs(x) + 1], outputs=3)
