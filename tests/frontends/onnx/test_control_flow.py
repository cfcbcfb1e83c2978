from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgec.errors import UnsupportedOp
from edgec.frontends.onnx import read_onnx

FLOAT, BOOL, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.BOOL, onnx.TensorProto.INT64
X = np.arange(6, dtype=np.float32).reshape(2, 3)


def branch(op_type: str) -> onnx.GraphProto:
    node = helper.make_node(op_type, ["x"], [f"{op_type}_out"])
    return helper.make_graph([node], op_type, [], [onnx.ValueInfoProto(name=f"{op_type}_out")])


def if_node() -> onnx.NodeProto:
    return helper.make_node("If", ["c"], ["y"], name="node", then_branch=branch("Neg"), else_branch=branch("Exp"))


@pytest.mark.parametrize("condition", [True, False])
def test_a_constant_condition_takes_one_branch(compare: Any, condition: bool) -> None:
    model = compare.nodes_model([if_node()], {"x": X}, ["y"], constants={"c": np.array(condition)})
    module = compare.check_onnx(model, {"x": X})
    assert [op.opcode for op in module.main.ops] == ["neg" if condition else "exp"]


@pytest.mark.parametrize("condition", [True, False])
def test_a_condition_of_run_time_chooses_between_both(compare: Any, condition: bool) -> None:
    feeds = {"x": X, "c": np.array(condition)}
    compare.check_onnx(compare.nodes_model([if_node()], feeds, ["y"]), feeds)


def loop(trips: Any) -> tuple[onnx.NodeProto, dict[str, Any]]:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["still_on"]),
            helper.make_node("Cast", ["i"], ["step"], to=FLOAT),
            helper.make_node("Add", ["state", "step"], ["next"]),
            helper.make_node("Mul", ["next", "factor"], ["shown"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []), helper.make_tensor_value_info("on", BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, [2, 3]),
        ],
        [
            helper.make_tensor_value_info("still_on", BOOL, []), helper.make_tensor_value_info("next", FLOAT, [2, 3]),
            helper.make_tensor_value_info("shown", FLOAT, [2, 3]),
        ],
        [numpy_helper.from_array(np.float32(3), "factor")],
    )  # fmt: skip
    node = helper.make_node("Loop", ["n", "c", "x"], ["y", "all"], name="node", body=body)
    return node, {"n": np.array(trips), "c": np.array(True)}


def test_a_loop_is_unrolled(compare: Any) -> None:
    node, constants = loop(4)
    compare.check_onnx(compare.nodes_model([node], {"x": X}, ["y", "all"], constants=constants), {"x": X})


def test_a_loop_of_too_many_steps_is_refused(compare: Any) -> None:
    node, constants = loop(10**6)
    model = compare.nodes_model([node], {"x": X}, ["y", "all"], constants=constants)
    with pytest.raises(UnsupportedOp, match="1000000 steps are more than the 1024 that are unrolled"):
        read_onnx(model.SerializeToString())


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_is_unrolled(compare: Any, backwards: int) -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["sum", "entry"], ["next"]), helper.make_node("Neg", ["next"], ["shown"])],
        "body",
        [helper.make_tensor_value_info(name, FLOAT, [2]) for name in ("sum", "entry")],
        [helper.make_tensor_value_info(name, FLOAT, [2]) for name in ("next", "shown")],
    )
    node = helper.make_node(
        "Scan", ["zero", "x"], ["total", "sums"], body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[backwards], scan_output_axes=[1], scan_output_directions=[backwards],
    )  # fmt: skip
    model = compare.nodes_model([node], {"x": X}, ["total", "sums"], constants={"zero": np.zeros(2, np.float32)})
    compare.check_onnx(model, {"x": X})


def test_a_scan_of_more_inputs_than_it_has_is_refused(compare: Any) -> None:
    node = helper.make_node("Scan", ["x"], ["y"], body=branch("Neg"), num_scan_inputs=2**31)
    model = compare.nodes_model([node], {"x": X}, ["y"])
    with pytest.raises(UnsupportedOp, match="num_scan_inputs is 2147483648, it has 1 inputs"):
        read_onnx(model.SerializeToString())
