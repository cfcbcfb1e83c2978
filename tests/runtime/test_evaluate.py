"""Graphs of the IR run in the real kernels."""

from __future__ import annotations

import numpy as np
import pytest

from edgec.errors import RuntimeFailure
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.runtime.evaluate import evaluate, evaluate_constants

PAIR = TensorType((2,), DType.FLOAT32)


def difference() -> Graph:
    graph = Graph()
    a, b = graph.add_input("a", PAIR), graph.add_input("b", PAIR)
    graph.outputs = [build(graph).emit("sub", [a, b]), a]
    return graph


def test_feeds_by_name_or_in_order() -> None:
    a, b = np.array([5, 7], np.float32), np.array([1, 2], np.float32)
    for feeds in ({"b": b, "a": a}, [a, b]):
        first, second = evaluate(difference(), feeds)
        assert first.tolist() == [4, 5]
        assert second.tolist() == [5, 7]


def test_a_missing_feed_is_named() -> None:
    with pytest.raises(RuntimeFailure) as caught:
        evaluate(difference(), {"a": np.zeros(2, np.float32)})
    assert str(caught.value) == "Running graph 'main': nothing is fed to its input 'b'."


def test_constants_are_evaluated_in_one_run() -> None:
    graph = Graph()
    emit = build(graph)
    first = emit.emit_op("add", [emit.constant([1.0, 2.0]), emit.constant([10.0, 20.0])])
    second = emit.emit_op("mul", [first.result, first.result])
    found = evaluate_constants([first, second])
    assert {value.name: array.tolist() for value, array in found.items()} == {
        first.result.name: [11, 22],
        second.result.name: [121, 484],
    }
    assert first.result.users == (second,)  # the graph itself was left alone
    assert evaluate_constants([]) == {}


def test_a_division_that_ends_the_process_is_refused() -> None:
    """floor_mod(-2**31, -1) raises SIGFPE in LiteRT 2.3; no test may run it in this process."""
    emit = build(Graph())
    least = emit.constant(np.array([-(2**31)], np.int32))
    op = emit.emit_op("floor_mod", [least, emit.constant(np.array([-1], np.int32))], name="mod")
    with pytest.raises(RuntimeFailure) as caught:
        evaluate_constants([op])
    assert str(caught.value) == (
        "Running floor_mod 'mod': a divisor of -1 can end the runtime's process; it stays unfolded."
    )
    fine = emit.emit_op("floor_mod", [least, emit.constant(np.array([7], np.int32))])
    assert evaluate_constants([fine])[fine.result].tolist() == [-(2**31) % 7]
