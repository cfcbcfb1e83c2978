"""Weights taken out of the file's bytes are those that the protocol buffer holds."""

import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgec.errors import ImportFailure
from edgec.frontends.onnx import read_onnx
from edgec.frontends.onnx.raw_weights import split_weights

WEIGHT = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)


def model(*tensors: onnx.TensorProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], "graph",
        [helper.make_tensor_value_info("x", 1, [1, 128])], [onnx.ValueInfoProto(name="y")], list(tensors),
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="tests")


def test_the_rest_of_the_model_stays_and_the_weights_are_views() -> None:
    small = numpy_helper.from_array(np.arange(4), "small")
    data = model(numpy_helper.from_array(WEIGHT, "w"), small).SerializeToString()
    light, weights = split_weights(data)
    expected = onnx.ModelProto.FromString(data)
    expected.graph.initializer[0].ClearField("raw_data")
    assert onnx.ModelProto.FromString(light) == expected
    assert list(weights) == ["w"]
    assert weights["w"].obj is data
    np.testing.assert_array_equal(np.frombuffer(weights["w"], np.float32).reshape(64, 128), WEIGHT)


def test_a_model_is_read_without_copying_its_weights() -> None:
    large = np.zeros((1 << 16, 128), np.float32)
    data = model(numpy_helper.from_array(large, "w")).SerializeToString()
    read_onnx(data)  # imports and caches
    tracemalloc.start()
    module = read_onnx(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert module.main.last_op is not None
    assert module.main.last_op.operand(1).array().nbytes == large.nbytes
    assert peak < large.nbytes // 8


@pytest.mark.parametrize("data", [b"", b"\x3a", b"\x3a\xff", b"\x3a" + b"\xff" * 11, b"\x3b"])
def test_bytes_that_are_no_message_come_back(data: bytes) -> None:
    assert split_weights(data) == (data, {})


def test_names_that_stand_twice_are_left_to_the_parser() -> None:
    data = model(numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(WEIGHT, "w")).SerializeToString()
    assert split_weights(data) == (data, {})


def test_data_that_does_not_fill_the_shape_is_refused() -> None:
    tensor = numpy_helper.from_array(WEIGHT, "w")
    tensor.dims[:] = [64, 127]
    with pytest.raises(ImportFailure, match=r"^Reading 'm': the data of initializer 'w' is damaged \(cannot reshape"):
        read_onnx(model(tensor).SerializeToString(), "m")
