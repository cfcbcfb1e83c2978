"""Graphs of one op, for inference on its own and for runs in LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import TensorType
from edgec.ops import build

Infer = Callable[..., list[TensorType]]


def operand(graph: Graph, given: Any) -> Value | None:
    """None stays, an array becomes a constant, a list of ints an int32 constant, a type or shape a graph input."""
    if given is None or isinstance(given, Value):
        return given
    if isinstance(given, TensorType):
        return graph.add_input(graph.fresh_name("in"), given)
    if isinstance(given, tuple):
        return graph.add_input(graph.fresh_name("in"), TensorType(given, DType.FLOAT32))
    return graph.constant(np.asarray(given, None if isinstance(given, (np.ndarray, np.generic)) else np.int32))


@pytest.fixture
def make() -> Callable[..., Op]:
    """`make("add", (2, 3), (3,))` builds a graph of one op; see `operand` for what operands may be."""

    def make_op(opcode: str, *operands: Any, results: Sequence[TensorType] | None = None, **attributes: Any) -> Op:
        graph = Graph()
        values = [operand(graph, given) for given in operands]
        return build(graph).emit_op(opcode, values, result_types=results, **attributes)

    return make_op


@pytest.fixture
def infer(make: Callable[..., Op]) -> Infer:
    """`infer("add", (2, 3), (3,))`: the inferred result types, quantization left out."""

    def types(opcode: str, *operands: Any, **attributes: Any) -> list[TensorType]:
        return [replace(result.type, quant=None) for result in make(opcode, *operands, **attributes).results]

    return types


@pytest.fixture
def shape(infer: Infer) -> Callable[..., tuple[int, ...]]:
    """The shape of the first result."""

    def first(opcode: str, *operands: Any, **attributes: Any) -> tuple[int, ...]:
        return infer(opcode, *operands, **attributes)[0].shape

    return first


@pytest.fixture
def refusal(make: Callable[..., Op]) -> Callable[..., str]:
    """The sentence with which inference refuses, without the name of the op before it."""

    def sentence(opcode: str, *operands: Any, **attributes: Any) -> str:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what the test compares
            make(opcode, *operands, **attributes)
        return str(caught.value).split(": ", 1)[1]

    return sentence
