"""Shapes, axes, bounds and scales that are graph inputs: the model states the shape of the result."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

Array = np.ndarray
RNG = np.random.default_rng(0)


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def check(compare: Any, op_type: str, inputs: list[Any], **more: Any) -> None:
    """Check a node none of whose inputs is constant, in a model that states the shapes of its outputs."""
    compare.check_stated(op_type, inputs, **{"opset": 18, **more})


def test_shapes(compare: Any) -> None:
    check(compare, "Reshape", [real(2, 3, 4), ints(4, -1)])
    check(compare, "Expand", [real(3, 1), ints(2, 1, 6)])
    check(compare, "Tile", [real(2, 3), ints(2, 3)])
    check(compare, "Squeeze", [real(1, 3, 1), ints(0)])
    check(compare, "Unsqueeze", [real(2, 3), ints(0, -1)])
    check(compare, "ConstantOfShape", [ints(2, 3)])
    check(compare, "Range", [np.float32(1), np.float32(9), np.float32(2.5)])
    check(compare, "Range", [np.int64(10), np.int64(4), np.int64(-2)])


@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_axes_of_reductions(compare: Any, op_type: str, keepdims: int) -> None:
    check(compare, op_type, [real(3, 2, 4), ints(1)], keepdims=keepdims)
    check(compare, op_type, [real(3, 2, 4), ints(-1, 0)], keepdims=keepdims)


def test_slice(compare: Any) -> None:
    x = real(5, 6, 4)
    check(compare, "Slice", [x, ints(1, 0), ints(3, 5)])
    check(compare, "Slice", [x, ints(-3), ints(2**62), ints(1)])
    check(compare, "Slice", [x, ints(4, 0), ints(-(2**62), 6), ints(0, -2), ints(-2, 3)])


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_pad(compare: Any, mode: str) -> None:
    check(compare, "Pad", [real(3, 4), ints(1, 0, 2, 3)], opset=19, mode=mode)
    check(compare, "Pad", [real(3, 4), ints(2, 1), None, ints(-1)], opset=19, mode=mode)


def test_pad_with_a_value(compare: Any) -> None:
    check(compare, "Pad", [real(3, 4), ints(0, 2, 1, 0), np.float32(7)], opset=19)


def test_split_topk_onehot(compare: Any) -> None:
    check(compare, "Split", [real(7, 2), ints(1, 4, 2)], outputs=3)
    check(compare, "TopK", [real(3, 6), ints(2)], outputs=2)
    check(compare, "OneHot", [ints(0, 3, -1), ints(5), np.array([2, 7], np.float32)])


@pytest.mark.parametrize("k", [-5, -1, 0, 2, 9])
@pytest.mark.parametrize("upper", [0, 1])
def test_trilu_and_cumsum(compare: Any, k: int, upper: int) -> None:
    check(compare, "Trilu", [real(3, 4), np.array(k)], upper=upper)
    check(compare, "CumSum", [real(3, 4), np.array(-1)], exclusive=upper)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("scale", [[1, 1, 2, 3], [1, 1, 0.6, 0.5]])
def test_resize_by_scales(compare: Any, mode: str, coordinates: str, scale: list[float]) -> None:
    inputs = [real(1, 2, 6, 5), None, np.array(scale, np.float32)]
    check(compare, "Resize", inputs, opset=13, mode=mode, coordinate_transformation_mode=coordinates)


def test_resize_of_a_region(compare: Any) -> None:
    region = np.array([0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7], np.float32)
    check(
        compare, "Resize", [real(1, 1, 4, 5), region, None, ints(1, 1, 3, 3)], opset=13, mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=10.0,
    )  # fmt: skip


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
def test_scatter(compare: Any, reduction: str) -> None:
    places = np.array([[1, 0, 2], [0, 2, 1]])
    check(compare, "ScatterElements", [real(3, 3), places, real(2, 3)], reduction=reduction)
    check(compare, "ScatterND", [real(4, 3), np.array([[2], [0]]), real(2, 3)], reduction=reduction)
    check(compare, "ScatterND", [real(4, 3, 2), np.array([[2, 1], [0, -1]]), real(2, 2)], reduction=reduction)


def test_quantization_by_numbers_of_run_time(compare: Any) -> None:
    scale, point = np.array([0.1, 0.2, 0.5], np.float32), np.array([3, 0, 200], np.uint8)
    check(compare, "QuantizeLinear", [real(2, 3, 4) * 9, scale, point])
    check(compare, "DequantizeLinear", [RNG.integers(0, 255, (2, 3)).astype(np.uint8), scale, point])


def test_compress_and_non_zero(compare: Any) -> None:
    check(compare, "Compress", [real(3, 4), np.array([True, False, True, True])], axis=1)
    check(compare, "Compress", [real(2, 3), np.array([True, False, False, True, True])])
    check(compare, "NonZero", [np.array([[1, 0, 2], [0, 0, 3]], np.float32)])


def test_a_shape_that_is_stated_behind_other_ops_is_found(compare: Any) -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["sum"]), helper.make_node("Sqrt", ["sum"], ["y"])]
    feeds = {"x": np.abs(real(3, 4)), "axes": ints(0)}
    model = compare.nodes_model(nodes, feeds, ["y"])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 4]))
    compare.check_onnx(model, feeds)


def test_an_absurd_stated_shape_is_refused(compare: Any) -> None:
    model, _ = compare.node_model("ConstantOfShape", [ints(2)])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", onnx.TensorProto.FLOAT, [1 << 40]))
    from edgec.errors import UnsupportedOp
    from edgec.frontends.onnx import read_onnx

    with pytest.raises(UnsupportedOp, match="more than 67108864 elements"):
        read_onnx(model.SerializeToString())
