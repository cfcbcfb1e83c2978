"""Damaged and hostile ONNX files end in an EdgecError, never in another exception."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import EdgecError, ImportFailure
from edgec.frontends.onnx import read_onnx


def small_model() -> onnx.ModelProto:
    """One node of many kinds, so that mutations reach many translators."""
    rng = np.random.default_rng(0)

    def stored(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], group=1),
        helper.make_node("BatchNormalization", ["c", "s", "s", "s", "v"], ["n"], epsilon=1e-3),
        helper.make_node("Clip", ["n", "low", "high"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[3, 3], pads=[1, 1, 0, 0], ceil_mode=1),
        helper.make_node("AveragePool", ["m"], ["a"], kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=0),
        helper.make_node("ConvTranspose", ["a", "t"], ["u"], strides=[2, 2], output_padding=[1, 1]),
        helper.make_node("Softmax", ["u"], ["p"], axis=1),
        helper.make_node("Shape", ["p"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        helper.make_node("Concat", ["batch", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["p", "wanted"], ["f"]),
        helper.make_node("Gemm", ["f", "g", "h"], ["y"], alpha=0.5, transB=1),
    ]
    constants = [
        stored("w", 4, 3, 3, 3), stored("b", 4), stored("s", 4), stored("t", 4, 2, 3, 3), stored("h", 16),
        numpy_helper.from_array(np.full(4, 2, np.float32), "v"), numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "high"), numpy_helper.from_array(np.array([0]), "zero"),
        numpy_helper.from_array(np.array([-1]), "rest"),
        stored("g", 16, 2 * 8 * 8),  # large enough to be taken out of the bytes
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


MODEL = small_model()
BYTES = MODEL.SerializeToString()
# Bytes outside of the weights: names, attributes, shapes, the structure itself.
STRUCTURE = [i for i in range(len(BYTES)) if i < 900 or i > len(BYTES) - 120]


def test_the_model_is_sound() -> None:
    assert len(read_onnx(BYTES).main) > 10


def translated_or_refused(data: bytes) -> bool:
    try:
        read_onnx(data)
    except EdgecError:
        return False
    return True


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(STRUCTURE), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(BYTES)
    for position, byte in changes:
        data[position] = byte
    translated_or_refused(bytes(data))


@settings(max_examples=100)
@given(st.integers(0, len(BYTES)), st.integers(0, 40), st.binary(max_size=20))
def test_cut_and_inserted_bytes(position: int, removed: int, inserted: bytes) -> None:
    translated_or_refused(BYTES[:position] + inserted + BYTES[position + removed :])


@pytest.mark.parametrize("length", [0, 1, 2, 10, 100, 500, len(BYTES) - 1])
def test_cut_files(length: int) -> None:
    assert not translated_or_refused(BYTES[:length])


NUMBERS = st.sampled_from(
    [-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 5, 17, 1000, 2**16, 2**31 - 1, 2**31, 2**40, 2**63 - 1]
)


@st.composite
def mutated_models(draw: st.DrawFn) -> onnx.ModelProto:
    """A model whose protocol buffer is sound and whose content is not."""
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    graph = model.graph
    for _ in range(draw(st.integers(1, 3))):
        node = draw(st.sampled_from(list(graph.node)))
        tensor = draw(st.sampled_from(list(graph.initializer)))
        match draw(st.integers(0, 9)):
            case 0 if node.attribute:
                attribute = draw(st.sampled_from(list(node.attribute)))
                attribute.i = draw(NUMBERS)
                attribute.ints[:] = draw(st.lists(NUMBERS, max_size=5))
                attribute.f = draw(st.floats(width=32))
            case 1 if node.attribute:
                draw(st.sampled_from(list(node.attribute))).type = draw(st.integers(0, 14))
            case 2:
                node.op_type = draw(st.sampled_from([n.op_type for n in graph.node] + ["Loop", "If", "", "Tile"]))
            case 3:
                node.input[:] = draw(st.lists(st.sampled_from(["x", "w", "", "c", "y", "wanted"]), max_size=6))
            case 4:
                node.output[:] = draw(st.lists(st.sampled_from(["x", "w", "", "c", "y"]), max_size=3))
            case 5:
                tensor.dims[:] = draw(st.lists(NUMBERS, max_size=5))
            case 6:
                tensor.data_type = draw(st.integers(-1, 30))
            case 7:
                tensor.raw_data = draw(st.binary(max_size=64))
            case 8:
                dim = graph.input[0].type.tensor_type.shape.dim
                dim[draw(st.integers(0, 3))].dim_value = draw(NUMBERS)
            case _:
                model.opset_import[0].version = draw(st.integers(0, 30))
    return model


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(mutated_models())
def test_unsound_content(model: onnx.ModelProto) -> None:
    translated_or_refused(model.SerializeToString())


def message(model: onnx.ModelProto) -> str:
    with pytest.raises(ImportFailure) as caught:
        read_onnx(model.SerializeToString(), "m.onnx")
    return str(caught.value)


def test_messages(compare: Any) -> None:
    x = np.ones((2, 2), np.float32)

    def one(op_type: str, *inputs: Any, **more: Any) -> onnx.ModelProto:
        model: onnx.ModelProto = compare.node_model(op_type, inputs, **more)[0]
        return model

    model = one("Relu", x)
    model.graph.node[0].input[0] = "nowhere"
    assert message(model) == "Reading 'm.onnx': node 'node' uses 'nowhere', which nothing defines."
    model = one("Relu", x)
    model.graph.node.append(helper.make_node("Neg", ["x0"], [model.graph.output[0].name]))
    assert "is defined twice, as output of a Relu and as output of a Neg; ONNX allows one" in message(model)
    model = one("Add", x, x, constants=(1,))
    model.graph.initializer.append(model.graph.initializer[0])
    assert "is defined twice, as initializer and as initializer; ONNX allows one" in message(model)
    model = one("Relu", x)
    model.graph.input.append(model.graph.input[0])
    assert "is defined twice, as input and as input; ONNX allows one" in message(model)
    model = one("Relu", x, opset=99)
    assert message(model).startswith("Reading 'm.onnx': it uses opset 99; edgec reads 1 to 25: export it with opset 25")
    model = one("Expand", x, np.array([1 << 20, 1 << 20, 2, 2]), constants=(0, 1))
    assert message(model) == (
        "Reading 'm.onnx': node 'node' (Expand): its result of shape [1048576, 1048576, 2, 2] is larger than 2 GiB."
    )
    model = one("ConstantOfShape", np.array([1 << 40]), constants=(0,))
    assert message(model) == (
        "Reading 'm.onnx': node 'node' (ConstantOfShape): its result of shape [1099511627776] is larger than 2 GiB."
    )
    model = one("Reshape", x, np.array([3, 3]), constants=(0, 1))
    assert message(model).startswith("Reading 'm.onnx': node 'node' (Reshape) cannot be evaluated: ")


def test_all_untranslated_nodes_are_listed_at_once(compare: Any) -> None:
    nodes = [
        helper.make_node("Bernoulli", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="second"),
        helper.make_node("Special", ["b"], ["y"], name="third", domain="com.example"),
    ]
    model = compare.nodes_model(nodes, {"x": np.ones((2, 2), np.float32)}, ["y"])
    assert message(model) == (
        "Reading 'm.onnx': 2 nodes cannot be translated: 'first' (Bernoulli): a compiled model gives the same result "
        "for the same input; random numbers have no place in it; and 1 more (com.example.Special)."
    )
