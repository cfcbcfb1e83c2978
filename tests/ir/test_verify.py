"""Every invariant of the IR, broken once, with the whole message."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgec.errors import VerificationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS, build, verify
from edgec.schema.defaults import default_attributes

FLOAT = TensorType((1, 2), DType.FLOAT32)


def small() -> Graph:
    """y = relu(x + w)."""
    graph = Graph()
    x = graph.add_input("x", FLOAT)
    emit = build(graph)
    total = emit.emit("add", [x, emit.constant([[1.0, 2.0]], name="w")], name="sum")
    graph.outputs = [emit.emit("relu", [total], name="y")]
    return graph


def op(graph: Graph, name: str) -> Op:
    return next(o for o in graph.ops if o.name == name)


def complaint(broken: Graph | Module) -> str:
    with pytest.raises(VerificationError) as caught:
        verify(broken)
    return str(caught.value)


def test_the_small_graph_is_valid() -> None:
    verify(small())
    verify(Module([small()]))


def unlist_use(graph: Graph) -> None:
    graph.inputs[0]._uses.clear()


def stale_use(graph: Graph) -> None:
    Op("relu", [graph.inputs[0]], [Value("lost", FLOAT)], name="lost")  # made, never put into the graph


def stale_use_of_result(graph: Graph) -> None:
    op(graph, "sum").result._uses[op(graph, "sum"), 0] = None


def stale_use_of_constant(graph: Graph) -> None:
    op(graph, "sum").operand(1)._uses[op(graph, "y"), 7] = None


def use_before_definition(graph: Graph) -> None:
    graph.set_order([op(graph, "y"), op(graph, "sum")])


def undefined_operand(graph: Graph) -> None:
    op(graph, "sum").set_operand(1, Value("nowhere", FLOAT))


def input_twice(graph: Graph) -> None:
    graph.inputs = [graph.inputs[0], graph.inputs[0]]


def input_with_producer(graph: Graph) -> None:
    graph.inputs = [*graph.inputs, op(graph, "y").result]


def constant_input(graph: Graph) -> None:
    graph.inputs[0].data = np.zeros((1, 2), np.float32)


def foreign_constant(graph: Graph) -> None:
    op(graph, "sum").operand(1).producer = op(graph, "y")


def another_producer(graph: Graph) -> None:
    op(graph, "sum").result.producer = op(graph, "y")


def constant_result(graph: Graph) -> None:
    op(graph, "sum").result.data = np.zeros((1, 2), np.float32)


def constant_of_wrong_shape(graph: Graph) -> None:
    op(graph, "sum").operand(1).data = np.zeros(2, np.float32)


def constant_of_wrong_dtype(graph: Graph) -> None:
    op(graph, "sum").operand(1).data = np.zeros((1, 2), np.float64)


def four_bits_too_small(graph: Graph) -> None:
    x = graph.add_input("q", TensorType((1, 2), DType.INT4))
    wide = graph.constant(np.array([[7, 8]], np.int8), "wide", dtype=DType.INT4)
    attributes = default_attributes("ConcatenationOptions") | {"axis": 0}
    result = Value("both", TensorType((2, 2), DType.INT4))
    graph.append(Op("concatenation", [x, wide], [result], attributes, name="both"))


def undefined_output(graph: Graph) -> None:
    graph.outputs = [*graph.outputs, Value("nowhere", FLOAT)]


def constant_output_of_wrong_shape(graph: Graph) -> None:
    graph.outputs = [*graph.outputs, Value("c", FLOAT, np.zeros(3, np.float32))]


def output_that_does_not_know(graph: Graph) -> None:
    graph.outputs[0]._outputs = 0


def unknown_op(graph: Graph) -> None:
    op(graph, "y").opcode = "rectify"


def missing_operand(graph: Graph) -> None:
    op(graph, "sum").set_operand(1, None)


def surplus_operand(graph: Graph) -> None:
    op(graph, "y").set_operands([graph.inputs[0], graph.inputs[0]])


def refused_by_inference(graph: Graph) -> None:
    op(graph, "sum").set_operand(1, graph.constant(np.zeros((1, 3), np.float32)))


def wrong_result_shape(graph: Graph) -> None:
    op(graph, "sum").result.type = TensorType((1, 3), DType.FLOAT32)


def wrong_result_dtype(graph: Graph) -> None:
    op(graph, "y").result.type = TensorType((1, 2), DType.INT8)


def surplus_result(graph: Graph) -> None:
    old = op(graph, "y")
    extra = Value("z", FLOAT)
    old._results = (*old._results, extra)
    extra.producer = old


def missing_attribute(graph: Graph) -> None:
    del op(graph, "sum").attributes["pot_scale_int16"]


def unknown_attribute(graph: Graph) -> None:
    op(graph, "sum").attributes["stride"] = 1


def attribute_of_wrong_type(graph: Graph) -> None:
    op(graph, "sum").attributes["fused_activation_function"] = "RECTIFY"


def flag_that_is_a_number(graph: Graph) -> None:
    op(graph, "sum").attributes["pot_scale_int16"] = 1


def incomplete_custom_op(graph: Graph) -> None:
    graph.append(Op("custom", [graph.inputs[0]], [], {"custom_code": "Mine"}, name="mine"))


def unknown_opaque_builtin(graph: Graph) -> None:
    attributes = {"builtin": "RECTIFY", "options": None, "options_2": None}
    graph.append(Op("opaque", [graph.inputs[0]], [], attributes, name="strange"))


SUM, Y = "graph 'main': add 'sum'", "graph 'main': relu 'y'"


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (unlist_use, f"{SUM}: operand 0 'x' does not list this use"),
        (stale_use, "graph 'main': input 'x' lists a use by relu 'lost' that is not there"),
        (stale_use_of_result, f"{SUM}: result 'sum' lists a use by add 'sum' that is not there"),
        (stale_use_of_constant, f"{SUM}: operand 1 'w' lists a use by relu 'y' that is not there"),
        (use_before_definition, f"{Y}: operand 0 'sum' is used before it is defined"),
        (undefined_operand, f"{SUM}: operand 1 'nowhere' is used before it is defined"),
        (input_twice, "graph 'main': a value stands twice among the inputs"),
        (input_with_producer, "graph 'main': input 'y' is the result of relu 'y'"),
        (constant_input, "graph 'main': input 'x' holds constant data"),
        (foreign_constant, f"{SUM}: operand 1 'w' is a constant, but has a producer"),
        (another_producer, f"{SUM}: result 'sum' has another producer"),
        (constant_result, f"{SUM}: result 'sum' holds constant data"),
        (constant_of_wrong_shape, f"{SUM}: operand 1 'w': constant data is float32[2], its type is float32[1,2]"),
        (constant_of_wrong_dtype, f"{SUM}: operand 1 'w': constant data is float64[1, 2], its type is float32[1,2]"),
        (
            four_bits_too_small,
            "graph 'main': concatenation 'both': operand 1 'wide': int4 data spans 7..8, beyond -8..7",
        ),
        (undefined_output, "graph 'main': output 'nowhere' is never defined"),
        (
            constant_output_of_wrong_shape,
            "graph 'main': output 'c': constant data is float32[3], its type is float32[1,2]",
        ),
        (output_that_does_not_know, "graph 'main': output 'y' does not know that it is one"),
        (unknown_op, "graph 'main': rectify 'y': there is no op 'rectify'"),
        (missing_operand, f"{SUM}: operand 'b' is missing"),
        (surplus_operand, f"{Y}: takes at most 1 operands, found 2"),
        (refused_by_inference, f"{SUM}: shapes [1, 2] and [1, 3] do not broadcast"),
        (wrong_result_shape, f"{SUM}: result 'sum' is float32[1,3], inference gives float32[1,2]"),
        (wrong_result_dtype, f"{Y}: result 'y' is int8[1,2], inference gives float32[1,2]"),
        (surplus_result, f"{Y}: has 2 results, inference gives 1"),
        (missing_attribute, f"{SUM}: attribute 'pot_scale_int16' is missing"),
        (unknown_attribute, f"{SUM}: there is no attribute 'stride'"),
        (attribute_of_wrong_type, f"{SUM}: attribute 'fused_activation_function' cannot be 'RECTIFY'"),
        (flag_that_is_a_number, f"{SUM}: attribute 'pot_scale_int16' cannot be 1"),
        (
            incomplete_custom_op,
            "graph 'main': custom 'mine': a custom op has the attributes custom_code, custom_options, "
            "custom_options_format",
        ),
        (unknown_opaque_builtin, "graph 'main': opaque 'strange': TFLite has no builtin 'RECTIFY'"),
    ],
)
def test_a_broken_graph(broken: Callable[[Graph], None], sentence: str) -> None:
    graph = small()
    broken(graph)
    assert complaint(graph) == sentence


def test_dynamic_results_may_have_another_static_shape() -> None:
    graph = small()
    op(graph, "sum").result.type = TensorType((1, 3), DType.FLOAT32, None, (-1, 3))
    op(graph, "y").result.type = TensorType((1, 3), DType.FLOAT32, None, (-1, 3))
    verify(graph)


def test_variables_and_constant_outputs_need_no_definition() -> None:
    graph = small()
    op(graph, "sum").set_operand(1, Value("state", FLOAT, is_variable=True))
    graph.outputs = [*graph.outputs, Value("c", FLOAT, np.zeros((1, 2), np.float32))]
    verify(graph)


@pytest.mark.parametrize(
    ("signature", "sentence"),
    [
        (Signature("serve", 1, (), ()), "signature 'serve' names graph 1, there are 1"),
        (Signature("serve", 0, (("x", 1),), ()), "signature 'serve': input 'x' is number 1, graph 'main' has 1"),
        (Signature("serve", 0, (), (("y", -1),)), "signature 'serve': output 'y' is number -1, graph 'main' has 1"),
    ],
)
def test_a_broken_signature(signature: Signature, sentence: str) -> None:
    assert complaint(Module([small()], [signature])) == sentence


def calling(opcode: str, operands: int, results: int, **indices: int) -> Graph:
    graph = Graph("caller")
    inputs = [graph.add_input(f"in{i}", FLOAT) for i in range(operands)]
    if opcode == "if":
        inputs[0].type = TensorType((1,), DType.BOOL)
    definition = OP_DEFS[opcode]
    attributes = default_attributes(definition.options) | indices
    outs = [Value(f"out{i}", FLOAT) for i in range(results)]
    graph.append(Op(opcode, inputs, outs, attributes, name="call"))
    return graph


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (
            calling("if", 2, 1, then_subgraph_index=1, else_subgraph_index=9),
            "graph 'caller': if 'call': else_subgraph_index is 9, the module holds 2 graphs",
        ),
        (
            calling("while", 1, 1, cond_subgraph_index=-1, body_subgraph_index=1),
            "graph 'caller': while 'call': cond_subgraph_index is -1, the module holds 2 graphs",
        ),
        (
            calling("if", 3, 1, then_subgraph_index=1, else_subgraph_index=1),
            "graph 'caller': if 'call': then_subgraph_index names graph 'main' of 1 inputs and 1 outputs, "
            "needed are 2 and 1",
        ),
        (
            calling("call_once", 0, 0, init_subgraph_index=1),
            "graph 'caller': call_once 'call': init_subgraph_index names graph 'main' of 1 inputs and 1 outputs, "
            "needed are 0 and 0",
        ),
        (
            calling("call_once", 0, 0, init_subgraph_index=0),
            "graph 'caller' calls itself, directly or by another",
        ),
    ],
)
def test_a_broken_call(graph: Graph, sentence: str) -> None:
    assert complaint(Module([graph, small()])) == sentence


def test_a_good_call_and_a_roundabout_recursion() -> None:
    verify(Module([calling("if", 2, 1, then_subgraph_index=1, else_subgraph_index=1), small()]))
    first, second = calling("call_once", 0, 0, init_subgraph_index=1), calling("call_once", 0, 0, init_subgraph_index=0)
    assert complaint(Module([first, second])) == "graph 'caller' calls itself, directly or by another"


def test_an_empty_module() -> None:
    assert complaint(Module([])) == "the module holds no graph"
