from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgec.errors import ImportFailure
from edgec.frontends.onnx import read_onnx

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4, 3)).astype(np.float32)


def check(compare: Any, nodes: list[Any], constants: dict[str, Any] | None = None, opset: int = 17) -> Any:
    return compare.check_onnx(compare.nodes_model(nodes, {"x": X}, ["y"], constants=constants, opset=opset), {"x": X})


@pytest.mark.parametrize(
    ("split", "keepdims"), [(None, 0), (None, 1), (np.array(2), 1), (np.array([1, 3, 1]), 0)],
    ids=["entries", "slices", "chunks", "sizes"],
)  # fmt: skip
def test_split_and_picked(compare: Any, split: Any, keepdims: int) -> None:
    inputs, constants = (["x"], {}) if split is None else (["x", "split"], {"split": split})
    nodes = [
        helper.make_node("SplitToSequence", inputs, ["s"], axis=0, keepdims=keepdims),
        helper.make_node("SequenceAt", ["s", "place"], ["y"]),
    ]
    for place in (0, -1):
        check(compare, nodes, {**constants, "place": np.array(place)})


@pytest.mark.parametrize(("axis", "new"), [(1, 0), (-1, 0), (0, 1), (-1, 1)])
def test_made_changed_and_joined(compare: Any, axis: int, new: int) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["x"], ["b"]),
        helper.make_node("SequenceConstruct", ["x", "a"], ["s"]),
        helper.make_node("SequenceInsert", ["s", "b", "one"], ["t"]),
        helper.make_node("SequenceInsert", ["t", "a"], ["u"]),
        helper.make_node("SequenceErase", ["u", "zero"], ["v"]),
        helper.make_node("Identity", ["v"], ["w"]),
        helper.make_node("ConcatFromSequence", ["w"], ["y"], axis=axis, new_axis=new),
    ]
    check(compare, nodes, {"one": np.array(1), "zero": np.array(0)})


def test_the_length_is_a_constant(compare: Any) -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], axis=1),
        helper.make_node("SequenceLength", ["s"], ["n"]),
        helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "f"], ["y"]),
    ]
    module = check(compare, nodes)
    assert [op.opcode for op in module.main.ops][-1] == "mul"


def test_optional_values_that_are_there(compare: Any) -> None:
    nodes = [
        helper.make_node("OptionalHasElement", ["x"], ["h"]),
        helper.make_node("OptionalGetElement", ["x"], ["e"]),
        helper.make_node("Where", ["h", "e", "x"], ["y"]),
    ]
    check(compare, nodes, opset=18)


def test_what_is_no_tensor_or_not_known_is_refused(compare: Any) -> None:
    nodes = [helper.make_node("SplitToSequence", ["x"], ["y"], axis=0)]
    model = compare.nodes_model(nodes, {"x": X}, ["y"])
    with pytest.raises(ImportFailure, match="output 'y' is no tensor; edgec gives tensors only"):
        read_onnx(model.SerializeToString())
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], axis=0),
        helper.make_node("SequenceAt", ["s", "p"], ["y"], name="at"),
    ]
    model = compare.nodes_model(nodes, {"x": X, "p": np.array(1)}, ["y"])
    with pytest.raises(ImportFailure, match=r"'at' \(SequenceAt\) cannot be translated: its input 1 \('p'\)"):
        read_onnx(model.SerializeToString())
    nodes[1] = helper.make_node("Relu", ["s"], ["y"], name="relu")
    model = compare.nodes_model(nodes, {"x": X}, ["y"])
    with pytest.raises(ImportFailure, match=r"'relu' \(Relu\) cannot be translated: one of its inputs is a sequence"):
        read_onnx(model.SerializeToString())


def test_a_map_over_the_entries(compare: Any) -> None:
    one = helper.make_tensor_value_info("e", TensorProto.FLOAT, [1, 4, 3])
    other = helper.make_tensor_value_info("o", TensorProto.FLOAT, [1, 4, 3])
    body = helper.make_graph([helper.make_node("Neg", ["e"], ["o"])], "body", [one], [other])
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["s"], axis=0),
        helper.make_node("SequenceMap", ["s"], ["t"], body=body),
        helper.make_node("ConcatFromSequence", ["t"], ["y"], axis=0),
    ]
    check(compare, nodes)
