"""The builder infers types, completes attributes and leaves nothing behind when it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build, verify

FLOAT = TensorType((1, 4), DType.FLOAT32)


def test_types_are_inferred_and_attributes_completed() -> None:
    graph = Graph()
    x = graph.add_input("x", FLOAT)
    result = build(graph, source="/Add").emit("add", [x, x], fused_activation_function="RELU")
    assert result.type == FLOAT
    producer = result.producer
    assert producer is not None
    assert producer.attributes == {"fused_activation_function": "RELU", "pot_scale_int16": True}
    assert (producer.source, producer.name, result.name) == ("/Add", "add_1", "add_1")
    assert producer.version is None
    graph.outputs = [result]
    verify(graph)


def test_several_results_are_numbered_and_quantization_reaches_each() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType((1, 4), DType.INT8))
    emit = build(graph)
    quant = QuantParams.per_tensor(0.5, 1)
    op = emit.emit_op("split", [emit.ints(1), x], num_splits=2, name="halves", quant=quant)
    assert [r.name for r in op.results] == ["halves:0", "halves:1"]
    assert {r.type for r in op.results} == {TensorType((1, 2), DType.INT8, quant)}


def test_emitting_before_an_anchor() -> None:
    graph = Graph()
    x = graph.add_input("x", FLOAT)
    last = build(graph).emit_op("relu", [x], name="last")
    build(graph, before=last).emit("relu", [x], name="first")
    build(graph, before=last).emit("relu", [x], name="second")
    assert [op.name for op in graph.ops] == ["first", "second", "last"]


def test_constants() -> None:
    emit = build(Graph())
    assert emit.constant(1.5).type == TensorType((), DType.FLOAT32)
    assert emit.constant(np.zeros((2, 3)).T).array().flags.c_contiguous
    assert emit.constant([1, 2], DType.INT16, "name").type == TensorType((2,), DType.INT16)
    assert emit.constant([1, -2], DType.INT4).array().dtype == np.int8
    assert emit.ints([1, 2]).type == TensorType((2,), DType.INT32)


@pytest.mark.parametrize(
    ("opcode", "attributes", "sentence"),
    [
        ("rectify", {}, "there is no op 'rectify'"),
        ("add", {"stride": 1}, "add has no attribute 'stride'"),
        ("conv_2d", {}, "conv_2d 'c': 'x' must have rank 4, its shape is [1, 4]"),
        ("relu", {}, "relu 'c': takes at most 1 operands, found 2"),
    ],
)
def test_refusals_leave_no_use_behind(opcode: str, attributes: dict[str, Any], sentence: str) -> None:
    graph = Graph()
    x = graph.add_input("x", FLOAT)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        build(graph).emit(opcode, [x, x], name="c", **attributes)
    assert str(caught.value) == sentence
    assert x.use_count == 0
    assert len(graph) == 0
