"""The graph keeps uses and order right through every change."""

from __future__ import annotations

import random

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import TensorType

FLOAT = TensorType((2,), DType.FLOAT32)


def op(name: str, *operands: Value | None) -> Op:
    return Op("relu", operands, [Value(name, FLOAT)], name=name)


def chain(length: int) -> tuple[Graph, list[Op]]:
    graph = Graph()
    value = graph.add_input("x", FLOAT)
    ops = []
    for index in range(length):
        ops.append(graph.append(op(f"op{index}", value)))
        value = ops[-1].result
    graph.outputs = [value]
    return graph, ops


def names(graph: Graph) -> list[str]:
    forward = [o.name for o in graph.ops]
    backward, at = [], graph.last_op
    while at is not None:
        backward.append(at.name)
        at = at.previous
    assert backward[::-1] == forward
    assert len(graph) == len(forward)
    return forward


def test_uses_follow_operands() -> None:
    graph = Graph()
    x, y = graph.add_input("x", FLOAT), graph.add_input("y", FLOAT)
    first = graph.append(op("first", x, x, None))
    second = graph.append(op("second", x))
    assert list(x.uses) == [(first, 0), (first, 1), (second, 0)]
    assert x.users == (first, second)
    assert (x.use_count, x.sole_user) == (3, None)
    first.set_operand(1, y)
    assert list(x.uses) == [(first, 0), (second, 0)]
    assert list(y.uses) == [(first, 1)]
    assert y.sole_user is first
    graph.outputs = [y, y]
    assert (y.use_count, y.is_output) == (3, True)
    assert [y.sole_user] == [None]
    first.set_operands([y, None])
    assert list(x.uses) == [(second, 0)]
    assert list(y.uses) == [(first, 0)]
    assert first.operands == (y, None)


def test_operands_and_results_are_told_apart_by_name() -> None:
    _, (relu,) = chain(1)
    with pytest.raises(ValueError, match=r"^relu 'op0' has no operand 1$"):
        relu.operand(1)
    assert relu.optional_operand(1) is None
    two = Op("split", [], [Value("a", FLOAT), Value("b", FLOAT)], name="halves")
    with pytest.raises(ValueError, match=r"^split 'halves' has 2 results$"):
        _ = two.result
    with pytest.raises(ValueError, match=r"^value 'op0' is no constant$"):
        relu.result.array()


def test_a_value_has_one_producer_and_a_refused_op_leaves_no_trace() -> None:
    graph, (relu,) = chain(1)
    x = graph.inputs[0]
    with pytest.raises(ValueError, match=r"^value 'op0' already has a producer$"):
        Op("relu", [x], [relu.result])
    twice = Value("twice", FLOAT)
    with pytest.raises(ValueError, match=r"^value 'twice' already has a producer$"):
        Op("split", [x], [twice, twice])
    assert x.uses == ((relu, 0),)
    assert twice.producer is None


def test_linked_list() -> None:
    graph, ops = chain(3)
    x = graph.inputs[0]
    graph.insert_before(ops[0], op("front", x))
    graph.insert_after(ops[2], op("back", x))
    graph.insert_after(ops[0], op("middle", x))
    assert names(graph) == ["front", "op0", "middle", "op1", "op2", "back"]
    graph.move_before(ops[0], ops[0])
    graph.move_before(ops[0], ops[2])
    assert names(graph) == ["front", "op2", "op0", "middle", "op1", "back"]
    assert graph.first_op is not None
    assert graph.first_op.name == "front"


def test_an_op_stands_in_one_graph_once() -> None:
    graph, ops = chain(2)
    other, (stranger,) = chain(1)
    with pytest.raises(ValueError, match=r"^relu 'op0' is already in a graph$"):
        graph.append(ops[0])
    for change in (
        lambda: graph.insert_before(stranger, op("new")),
        lambda: graph.insert_after(stranger, op("new")),
        lambda: graph.move_before(stranger, ops[0]),
        lambda: graph.move_before(ops[0], stranger),
    ):
        with pytest.raises(ValueError, match=r"^relu 'op0' is not in graph 'main'$"):
            change()
    other.outputs = []
    with pytest.raises(ValueError, match=r"^relu 'op0' is not in graph 'main'$"):
        graph.erase(stranger)
    assert stranger.operands == other.inputs  # the refused erasure took nothing away
    assert names(graph) == ["op0", "op1"]


def test_erasing() -> None:
    graph, ops = chain(3)
    with pytest.raises(ValueError, match=r"^cannot erase relu 'op1': its result 'op1' is still used$"):
        graph.erase(ops[1])
    with pytest.raises(ValueError, match=r"^cannot erase relu 'op2': its result 'op2' is still used$"):
        graph.erase(ops[2])  # a graph output is a use
    graph.outputs = [ops[1].result]
    graph.erase(ops[2])
    assert names(graph) == ["op0", "op1"]
    assert (ops[2].graph, ops[2].result.producer) == (None, None)
    assert ops[1].result.uses == ()


def test_replacing_all_uses_reaches_outputs() -> None:
    graph, ops = chain(3)
    middle = ops[1].result
    graph.outputs = [middle, ops[2].result, middle]
    graph.replace_all_uses(middle, ops[0].result)
    assert graph.outputs == (ops[0].result, ops[2].result, ops[0].result)
    assert ops[2].operands == (ops[0].result,)
    assert (middle.use_count, ops[0].result.use_count) == (0, 4)
    graph.replace_all_uses(ops[0].result, ops[0].result)
    assert ops[0].result.use_count == 4


def test_replacing_an_op() -> None:
    graph, ops = chain(2)
    graph.replace(ops[0], [graph.inputs[0]])
    assert names(graph) == ["op1"]
    assert ops[1].operands == graph.inputs
    with pytest.raises(ValueError, match=r"^0 values replace the 1 results of relu 'op1'$"):
        graph.replace(ops[1], [])


def test_setting_the_order() -> None:
    graph, ops = chain(3)
    graph.set_order([ops[2], ops[0], ops[1]])
    assert names(graph) == ["op2", "op0", "op1"]
    for wrong in (ops[:2], [ops[0], ops[0], ops[1]], [*ops[:2], op("new")]):
        with pytest.raises(ValueError, match=r"^the new order must hold each of the 3 ops of graph 'main' once$"):
            graph.set_order(wrong)
    empty = Graph()
    empty.set_order([])
    assert names(empty) == []


def test_iteration_skips_what_the_loop_erases() -> None:
    graph, ops = chain(6)
    graph.outputs = []
    seen = []
    for current in graph.ops:
        seen.append(current.name)
        if current is ops[1]:
            for dead in (ops[5], ops[4], ops[3], ops[2], ops[1]):
                graph.erase(dead)
            graph.append(op("late"))
    assert seen == ["op0", "op1"]  # what stood after op1 is gone; "late" came after op1 had left the list
    assert names(graph) == ["op0", "late"]


def test_iteration_sees_what_is_inserted_after_and_not_what_is_inserted_before() -> None:
    graph, ops = chain(3)
    seen = []
    for current in graph.ops:
        seen.append(current.name)
        if current is ops[1]:
            graph.insert_before(current, op("before"))
            graph.insert_after(current, op("after"))
    assert seen == ["op0", "op1", "after", "op2"]


def test_replacing_while_iterating_visits_every_old_op_once() -> None:
    graph, ops = chain(50)
    seen = []
    for current in graph.ops:
        seen.append(current)
        new = graph.insert_before(current, op(f"{current.name}'", *current.operands))
        graph.replace(current, new.results)
    assert seen == ops
    assert names(graph) == [f"op{i}'" for i in range(50)]


def test_random_changes_against_a_plain_list() -> None:
    generator = random.Random(5)
    graph = Graph()
    model: list[Op] = []
    for step in range(400):
        new = op(f"n{step}")
        choice = generator.randrange(5) if model else 0
        at = generator.randrange(len(model)) if model else 0
        if choice == 0:
            graph.append(new)
            model.append(new)
        elif choice == 1:
            graph.insert_before(model[at], new)
            model.insert(at, new)
        elif choice == 2:
            graph.insert_after(model[at], new)
            model.insert(at + 1, new)
        elif choice == 3:
            graph.erase(model.pop(at))
        else:
            anchor = generator.choice(model)
            moved = model[at]
            graph.move_before(anchor, moved)
            if moved is not anchor:
                model.remove(moved)
                model.insert(model.index(anchor), moved)
        assert names(graph) == [o.name for o in model]


def test_values_come_once_and_in_order() -> None:
    graph = Graph()
    x = graph.add_input("x", FLOAT)
    weight = graph.constant(np.zeros(2, np.float32), "w")
    first = graph.append(op("first", x, weight))
    second = graph.append(op("second", first.result, weight))
    graph.outputs = [second.result, x]
    assert [v.name for v in graph.values()] == ["x", "w", "first", "second"]
    assert list(graph.constants()) == [weight]


def test_constants_take_their_type_from_the_data() -> None:
    graph = Graph()
    assert graph.constant(np.zeros((2, 1), np.int16)).type == TensorType((2, 1), DType.INT16)
    assert graph.constant(np.zeros(3, np.int8), dtype=DType.INT4).type == TensorType((3,), DType.INT4)
    assert graph.fresh_name("const") != graph.fresh_name("const")
