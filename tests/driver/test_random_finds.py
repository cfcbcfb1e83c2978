"""Graphs that random search found to break a pass: whole compilations, compared with onnxruntime."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model


def test_orders_that_do_not_cut_evenly(tmp_path: Path) -> None:
    """A convolution and a reshape across its axes each ask for an order of the same value."""
    weight = np.random.default_rng(0).standard_normal((14, 1, 1, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Add", ["x", "x"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["y"], group=7, pads=[0, 1, 0, 1]),
        helper.make_node("Reshape", ["a", "shape"], ["r"]),
        helper.make_node("Transpose", ["r"], ["z"], perm=[1, 2, 3, 0]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 7, 4, 9])],
        [helper.make_empty_tensor_value_info(name) for name in "yz"],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([4, 2, 7, 9]), "shape")],
    )  # fmt: skip
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    check = compile_model(path, CompileOptions("pixel4")).report.checks.float_vs_source
    assert check is not None
    assert check.passed
