"""Whatever a file claims, inference answers with a type or a ValueError."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS, build
from edgec.schema.tables import TABLES

SIZES = st.one_of(st.integers(0, 4), st.sampled_from([7, 2**31 - 1]))
INTS = st.one_of(st.integers(-9, 9), st.sampled_from([-(2**31), 2**31 - 1, 2**20]))
SHAPES = st.lists(SIZES, max_size=6).map(tuple)
DTYPES = st.sampled_from([DType.FLOAT32, DType.INT8, DType.INT32, DType.BOOL, DType.STRING, DType.RESOURCE])
CONSTANTS = st.one_of(
    st.lists(INTS, max_size=40).map(lambda v: np.array(v, np.int32)),
    st.lists(INTS, min_size=4, max_size=4).map(lambda v: np.array(v, np.int64).reshape(2, 2)),
    INTS.map(lambda v: np.array(v, np.int32)),
    st.floats(width=32).map(lambda v: np.array(v, np.float32)),
)


@st.composite
def _value(draw: st.DrawFn) -> Value | None:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return None
    if kind < 5:
        data = draw(CONSTANTS)
        return Value("c", TensorType(tuple(data.shape), DType.from_numpy(data.dtype)), data)
    shape = draw(SHAPES)
    signature = tuple(-1 if draw(st.booleans()) else d for d in shape) if kind == 5 else None
    return Value("v", TensorType(shape, draw(DTYPES), None, signature))


def _attribute(kind: str, enum: str | None) -> st.SearchStrategy[Any]:
    if enum is not None:
        return st.one_of(st.integers(-1, 30), st.sampled_from(["INT32", "INT64", "FLOAT32", "SAME", "VALID", "NONE"]))
    if kind == "bool":
        return st.booleans()
    if kind == "float32":
        return st.floats(width=32)
    if kind.startswith("vector:"):
        return st.lists(INTS, max_size=40).map(tuple)
    return st.just("") if kind == "string" else INTS


@st.composite
def _op(draw: st.DrawFn, opcode: str) -> Op:
    definition = OP_DEFS[opcode]
    count = len(definition.operands) + draw(st.integers(-1, 2))
    operands = [draw(_value()) for _ in range(max(count, 0))]
    fields = TABLES[definition.options] if definition.options else ()
    attributes = {f.name: draw(_attribute(f.kind, f.enum)) for f in fields}
    results = [Value("r", TensorType(draw(SHAPES), draw(DTYPES))) for _ in range(draw(st.integers(0, 2)))]
    return Op(opcode, operands, results, attributes)


@pytest.mark.parametrize("opcode", sorted(OP_DEFS))
@settings(max_examples=60)
@given(data=st.data())
def test_inference_never_fails_in_another_way(opcode: str, data: st.DataObject) -> None:
    op = data.draw(_op(opcode))
    definition = OP_DEFS[opcode]
    types: list[TensorType] = []
    with contextlib.suppress(ValueError):
        definition.check_signature(op)
        types = list(definition.infer(op))
    assert all(isinstance(t, TensorType) for t in types)


def test_ten_thousand_ops_are_inferred_in_a_moment() -> None:
    graph = Graph()
    emit = build(graph)
    x = graph.add_input("x", TensorType((1, 8, 8, 4), DType.FLOAT32))
    weight = emit.constant(np.zeros((4, 3, 3, 4), np.float32))
    zeros, ends, ones = emit.ints([0, 0, 0, 0]), emit.ints([1, 8, 8, 4]), emit.ints([1, 1, 1, 1])
    for _ in range(2_000):
        x = emit.emit("conv_2d", [x, weight], stride_h=1, stride_w=1)
        x = emit.emit("add", [x, x])
        x = emit.emit("reshape", [x, ends])
        x = emit.emit("strided_slice", [x, zeros, ends, ones])
        x = emit.emit("concatenation", [x], axis=3)
    best = min(_seconds_to_infer(graph) for _ in range(5))
    assert best < 0.2  # measured: 0.08 s of processor time, which other work on the machine hardly changes


def _seconds_to_infer(graph: Graph) -> float:
    started = time.process_time()
    for op in graph.ops:
        OP_DEFS[op.opcode].infer(op)
    return time.process_time() - started
