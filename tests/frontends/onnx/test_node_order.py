from typing import Any

import numpy as np
from onnx import helper

from edgec.frontends.onnx.node_order import in_order


def node(op_type: str, reads: list[str], gives: str, **attributes: Any) -> Any:
    return helper.make_node(op_type, reads, [gives], **attributes)


def test_nodes_in_disorder_are_sorted(compare: Any) -> None:
    """The float16 converters append the casts of the inputs; onnxruntime takes such files."""
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    nodes = [node("Exp", ["b"], "c"), node("Neg", ["c"], "y"), node("Cast", ["a"], "b", to=1), node("Abs", ["x"], "a")]
    module = compare.check_onnx(compare.nodes_model(nodes, {"x": x}, ["y"]), {"x": x})
    assert [op.opcode for op in module.main.ops] == ["abs", "exp", "neg"]


def test_nodes_in_order_are_left_alone() -> None:
    nodes = [node("Abs", ["x"], "a"), node("Neg", ["x"], "b"), node("Add", ["b", "a"], "y")]
    assert in_order(nodes) is nodes


def test_what_a_branch_captures_comes_before_it() -> None:
    then = helper.make_graph([node("Neg", ["late"], "t")], "then", [], [helper.make_empty_tensor_value_info("t")])
    nodes = [node("If", ["c"], "y", then_branch=then, else_branch=then), node("Abs", ["x"], "late")]
    assert [n.op_type for n in in_order(nodes)] == ["Abs", "If"]


def test_a_cycle_ends() -> None:
    nodes = [node("Neg", ["b"], "a"), node("Neg", ["a"], "b")]
    assert len(in_order(nodes)) == 2
