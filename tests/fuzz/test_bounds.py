"""A few hundred bytes of a file that ask for gigabytes: what fuzzing found, once each, under the same limit."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import ImportFailure
from edgec.frontends.onnx import read_onnx
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.passes.base import PassContext
from edgec.passes.channels import route_channels
from edgec.target.load import load_device

LIMIT_BYTES = 1 << 30
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def given(name: str, *shape: int, dtype: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def stored(name: str, values: Any, dtype: type = np.int64) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def attention(count: int, length: int) -> list[Any]:
    nodes = [helper.make_node("Attention", ["x"] * 3, [f"y{i}"], is_causal=1) for i in range(count - 1)]
    return [*nodes, helper.make_node("Attention", ["x"] * 3, ["y"], is_causal=1)]


WAVES = [helper.make_node("DFT", ["x", "", "axis"], ["y"])]
CUBIC = [helper.make_node("Resize", ["x", "", "s"], ["y"], mode="cubic", coordinate_transformation_mode="asymmetric")]
LINEAR = [helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear")]
EXPANDED = [helper.make_node("Expand", ["c", "s"], ["y"])]
SCATTERED = [helper.make_node("ScatterElements", ["x", "i", "u"], ["y"])]
STATED = given("y", 1, 1, 1, 2)

CASES = {
    "the matrix of the longest DFT": (WAVES, [given("x", 4096, 10, 10, 1), given("axis", dtype=INT64)], [], None, None),
    "weights of a cubic resize": (
        CUBIC, [given("x", 1, 1, 4823, 9000)], [stored("s", [1, 1, 2, 2], np.float32)], None, "needs too many weights",
    ),
    "weights of a resize at run time": (
        LINEAR, [given("x", 1, 1, 1, 33405), given("s", 4)], [], STATED, "33405 positions is too long",
    ),
    "a shape that a constant does not expand to": (
        EXPANDED, [], [stored("c", [1, 2, 3], np.float32), stored("s", [100_000, 4000, 4])], None, "does not expand",
    ),
    "the places of a scatter": (
        SCATTERED, [given("x", 3, 3), given("i", 18_891_572, 3, dtype=INT64), given("u", 18_891_572, 3)], [], None,
        "the coordinates of all places",
    ),
    "a grid for each of millions of images": (
        [helper.make_node("AffineGrid", ["x", "s"], ["y"])], [given("x", 7_169_606, 3, 4)],
        [stored("s", [7_169_606, 3, 4, 5, 6])], None, "has more than 16777216 positions",
    ),
    "a mask much shorter than the keys": (
        [helper.make_node("Attention", ["x", "k", "k", "m"], ["y"])],
        [given("x", 1, 3, 6415, 8), given("k", 1, 3, 149_900, 8), given("m", 1, 1, 6415, 18)], [], None, None,
    ),
    "parts of a split that nothing takes": (
        [helper.make_node("Split", ["c"], ["y", "z"], num_outputs=28_704_340)], [], [stored("c", range(7), np.float32)],
        None, "it has 2 outputs, its num_outputs is 28704340",
    ),
    "one causal mask": (attention(1, 16384), [given("x", 1, 1, 16384, 4)], [], None, "16384"),
    "several causal masks": (attention(8, 6000), [given("x", 1, 1, 6000, 4)], [], None, "512 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_an_import_makes_is_bounded(case: str) -> None:
    nodes, inputs, constants, output, said = CASES[case]
    graph = helper.make_graph(nodes, "g", inputs, [output or given("y")], constants)
    if output is None:
        graph.output[0].type.tensor_type.ClearField("shape")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    refused = ""
    tracemalloc.start()
    try:
        read_onnx(model.SerializeToString(), "m.onnx")
    except ImportFailure as error:
        refused = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < LIMIT_BYTES
    assert (said is None and not refused) or (said is not None and said in refused), refused


def test_a_constant_of_one_number_is_held_once() -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Transpose", ["c"], ["w"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "g", [given("x", 2, 8192)], [given("y", 2, 8192)], [stored("s", [8192, 8192])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tracemalloc.start()
    module = read_onnx(model.SerializeToString(), "m.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(value.type.bytes for value in module.main.constants()) >= 8192 * 8192 * 4
    assert peak < 16 << 20


def test_routes_of_millions_of_channels_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = 1 << 21

    def routed() -> int:
        graph = Graph("main")
        x = graph.add_input("x", TensorType((1, 4, channels), DType.FLOAT32))
        turned = build(graph).emit("reverse_v2", [x, build(graph).ints([2])])
        graph.outputs = [build(graph).emit("reverse_v2", [turned, build(graph).ints([2])])]
        context = PassContext(load_device("pixel4").target)
        tracemalloc.start()
        route_channels.RouteChannels().run(Module([graph]), context)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert routed() < 1 << 20
    monkeypatch.setattr(route_channels, "MOST_CHANNELS", channels)
    assert routed() > 16 << 20


def test_values_of_millions_of_channels_beside_a_routed_one_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def routed() -> int:
        graph = Graph("main")
        x = graph.add_input("x", TensorType((1, 4, 2), DType.FLOAT32))
        long = graph.add_input("long", TensorType((1, 8, 1 << 23), DType.FLOAT32))
        turned = build(graph).emit("reverse_v2", [x, build(graph).ints([2])])
        both = build(graph).emit("concatenation", [long, long], axis=2)
        graph.outputs = [build(graph).emit("reverse_v2", [turned, build(graph).ints([2])]), both]
        tracemalloc.start()
        route_channels.RouteChannels().run(Module([graph]), PassContext(load_device("pixel4").target))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert routed() < 1 << 20
    monkeypatch.setattr(route_channels, "MOST_TIED", 1 << 25)
    assert routed() > 16 << 20
