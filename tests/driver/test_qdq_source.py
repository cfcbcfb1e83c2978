"""Models that arrive with QDQ pairs: their ranges are kept, so that no samples are needed."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.errors import QuantizationError

SCALE = 0.05


def _pair(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_dq"]),
    ]


def _model(path: Path, *, whole: bool) -> Path:
    """A conv and a sigmoid with QDQ pairs at every activation; without `whole` none at the conv's result."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [*_pair("x"), helper.make_node("Conv", ["x_dq", "w"], ["c"], pads=[1, 1, 1, 1])]
    nodes += [*_pair("c"), helper.make_node("Sigmoid", ["c_dq"], ["y"])] if whole else []
    nodes += [] if whole else [helper.make_node("Sigmoid", ["c"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.float32(SCALE), "scale"),
            numpy_helper.from_array(np.int8(0), "zero"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_ranges_of_the_model_stand_in_for_samples(tmp_path: Path) -> None:
    result = compile_model(_model(tmp_path / "net.onnx", whole=True), CompileOptions(device="stm32l4r5"))
    quant = result.module.main.inputs[0].quant
    assert quant is not None
    assert quant.scale == pytest.approx((SCALE,))
    assert result.report.artifact.scheme == "w8a8"
    assert {op.opcode for op in result.module.main.ops} == {"conv_2d", "logistic"}


def test_where_a_range_is_missing_samples_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(QuantizationError, match="needs real samples"):
        compile_model(_model(tmp_path / "net.onnx", whole=False), CompileOptions(device="stm32l4r5"))
