"""Models that arrive with QDQ pairs: their ranges are kept, so that no samples are needed."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.driver.checks import compare_runs
from edgec.driver.stored_steps import few_steps
from edgec.errors import QuantizationError

SCALE = 0.05


def _pair(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_dq"]),
    ]


def _model(path: Path, *, whole: bool) -> Path:
    """A conv and a sigmoid with QDQ pairs at every activation; without `whole` none at the conv's result."""
    nodes = [*_pair("x"), helper.make_node("Conv", ["x_dq", "w"], ["c"], pads=[1, 1, 1, 1])]
    nodes += [*_pair("c"), helper.make_node("Sigmoid", ["c_dq"], ["y"])] if whole else []
    nodes += [] if whole else [helper.make_node("Sigmoid", ["c"], ["y"])]
    return _save(path, nodes)


def _save(path: Path, nodes: list[onnx.NodeProto]) -> Path:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
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


def test_the_scheme_of_the_model_is_kept(tmp_path: Path) -> None:
    """On a phone too, where float would be the default."""
    path = _model(tmp_path / "net.onnx", whole=True)
    result = compile_model(path, CompileOptions(device="pixel4"))
    assert result.report.artifact.scheme == "w8a8"
    assert [op.opcode for op in result.module.main.ops] == ["quantize", "conv_2d", "logistic", "dequantize"]
    as_asked = compile_model(path, CompileOptions(device="pixel4", scheme="fp32"))
    assert as_asked.report.artifact.scheme == "fp32"


@pytest.mark.parametrize("scheme", ["auto", "w8a8"])
def test_what_has_no_range_stays_in_float_where_floats_run(tmp_path: Path, scheme: str) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), *_pair("r")]
    nodes += [helper.make_node("Conv", ["r_dq", "w"], ["c"], pads=[1, 1, 1, 1]), *_pair("c")]
    nodes += [helper.make_node("Sin", ["c_dq"], ["y"])]
    result = compile_model(_save(tmp_path / "net.onnx", nodes), CompileOptions(device="pixel4", scheme=scheme))
    opcodes = [op.opcode for op in result.module.main.ops]
    assert opcodes == ["relu", "quantize", "conv_2d", "dequantize", "sin"]
    assert result.report.artifact.scheme == "w8a8"


def test_activations_between_pairs_are_fused(tmp_path: Path) -> None:
    """As symmetric quantizers write them: a pair in front of the ReLU and one behind it."""
    nodes = [*_pair("x"), helper.make_node("Conv", ["x_dq", "w"], ["c"], pads=[1, 1, 1, 1]), *_pair("c")]
    nodes += [helper.make_node("Relu", ["c_dq"], ["r"]), *_pair("r"), helper.make_node("Identity", ["r_dq"], ["y"])]
    result = compile_model(_save(tmp_path / "net.onnx", nodes), CompileOptions(device="stm32l4r5"))
    assert [op.opcode for op in result.module.main.ops] == ["conv_2d"]
    quant, check = result.module.main.outputs[0].quant, result.report.checks.float_vs_source
    assert quant is not None
    assert quant.scale == pytest.approx((SCALE,))
    assert check is not None
    assert check.passed


def test_an_output_of_few_steps_may_depart_by_a_step(tmp_path: Path) -> None:
    """The larger part of such an output's range is one step, which rounding decides."""
    nodes = [*_pair("x"), helper.make_node("Conv", ["x_dq", "w"], ["c"], pads=[1, 1, 1, 1]), *_pair("c")]
    nodes += [helper.make_node("Reshape", ["c_dq", "shape"], ["y"])]
    path = _save(tmp_path / "net.onnx", [helper.make_node("Constant", [], ["shape"], value_ints=[1, 4, 8, 8]), *nodes])
    module = compile_model(path, CompileOptions(device="pixel4", scheme="fp32")).module
    assert few_steps(module.main.outputs[0]) == pytest.approx(2.01 * SCALE)
    zero, step = [np.zeros((2, 2), np.float32)], [np.eye(2, dtype=np.float32) * SCALE]
    for allowed, passed in (([], False), ([few_steps(module.main.outputs[0])], True)):
        found = compare_runs(
            lambda _: zero, lambda _: step, [{}], ["y"], name="a", tolerance=0.25, allowed=allowed
        )  # fmt: skip
        assert found.passed is passed


def test_a_few_far_elements_pass_behind_rounding_only() -> None:
    values = np.exp(np.linspace(-9, 0, 1000, dtype=np.float32))
    off = values.copy()
    off[-1] *= 0.7  # what one step in front of an exponential does
    for rounding, other, passed in ((True, off, True), (False, off, False), (True, values[::-1], False)):
        feed = {"values": values, "other": other}
        found = compare_runs(
            lambda f: [f["values"]], lambda f: [f["other"]], [feed], ["y"], name="a", tolerance=0.25, rounding=rounding
        )  # fmt: skip
        assert found.passed is passed
