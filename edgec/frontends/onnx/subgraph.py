"""Graphs that control flow calls: built beside the graph that calls them, with what they use of it as more inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgec.frontends.onnx.element_types import as_float32
from edgec.frontends.onnx.node import Refusal
from edgec.frontends.onnx.translation import Translation
from edgec.ir.graph import Graph, Value

LARGEST_STORED_ROWS_BYTES = 1 << 10  # buffers of more bytes are filled at run time, not stored in the file
MAX_STEPS_PER_PASS, MAX_OPS_PER_PASS = 16, 200
MAX_ROWS_ELEMENTS = 1 << 26


class Subgraph:
    """A graph under construction that an op of `outer` will call.

    `inputs` are given by the caller of this class; values of `outer` that are captured become further inputs, its
    constants are repeated inside (the data is shared).
    """

    def __init__(self, outer: Translation, name: str) -> None:
        self.context = outer.apart(name)
        self.captured: dict[Value, Value] = {}  # value of the outer graph → input
        self._constants: dict[Value, Value] = {}

    @property
    def graph(self) -> Graph:
        """The graph itself."""
        return self.context.graph

    def add_input(self, like: Value) -> Value:
        """An input of the name and type of a value outside."""
        return self.graph.add_input(like.name, like.type)

    def capture(self, value: Value) -> Value:
        """What stands in here for a value of the outer graph."""
        if value.data is not None:
            if value not in self._constants:
                self._constants[value] = self.graph.constant(
                    value.data, value.name, dtype=value.dtype, quant=value.quant
                )
            return self._constants[value]
        if value not in self.captured:
            self.captured[value] = self.add_input(value)
        return self.captured[value]

    def finish(self, results: Sequence[Value]) -> None:
        """Set the outputs and forget captured values that nothing uses."""
        self.graph.outputs = [as_float32(self.context, value) for value in results]
        self.context.finish()
        for value, inner in list(self.captured.items()):
            if not inner.use_count:
                del self.captured[value]
                self.graph.inputs = [v for v in self.graph.inputs if v is not inner]

    def order_captured(self, fixed: Sequence[Value], order: Sequence[Value]) -> None:
        """Let the inputs be `fixed`, then those that stand for the outer values `order`, unused ones included."""
        self.graph.inputs = [*fixed, *(self.capture(value) for value in order)]


class WhileLoop:
    """A `while` op under construction: `variable` before the body is written into `body`, `finish` after it."""

    def __init__(self, context: Translation, name: str) -> None:
        self.context, self.name = context, name
        self.body = Subgraph(context, f"{name}_body")
        self._initial: list[Value] = []
        self._inner: list[Value] = []

    def variable(self, initial: Value) -> Value:
        """A loop variable; what the body sees of it."""
        self._initial.append(initial)
        self._inner.append(self.body.add_input(initial))
        return self._inner[-1]

    def finish(self, results: Sequence[Value], goes_on: Callable[[Subgraph, Sequence[Value]], Value]) -> list[Value]:
        """Emit the op; returns the variables after the last step.

        `results` are the body's values for the variables in order; `goes_on` writes the condition into a graph of the
        same inputs.

        Raises:
            Refusal: a variable changes its shape or element type from one step to the next.
        """
        results = [self.fitting(value, inner) for value, inner in zip(results, self._inner, strict=True)]
        self.body.finish(results)
        condition = Subgraph(self.context, f"{self.name}_condition")
        inner = [condition.add_input(value) for value in self._initial]
        condition.finish([goes_on(condition, inner)])
        captured = list(dict.fromkeys([*self.body.captured, *condition.captured]))
        self.body.order_captured(self._inner, captured)
        condition.order_captured(inner, captured)
        self.body.graph.outputs = [*self.body.graph.outputs, *(self.body.captured[value] for value in captured)]
        graphs = self.context.graphs
        graphs += [condition.graph, self.body.graph]
        results = self.context.emit_many(
            "while", [*self._initial, *captured],
            cond_subgraph_index=len(graphs) - 2, body_subgraph_index=len(graphs) - 1,
        )  # fmt: skip
        return results[: len(self._initial)]

    def fitting(self, value: Value, variable: Value) -> Value:
        """`value` as the next one of `variable`, as the body sees it; raises as `finish`."""
        context = self.body.context
        value = as_float32(context, value)
        if value.shape != variable.shape and value.type.elements == variable.type.elements == 1:
            value = context.reshape(value, variable.shape)
        if value.shape != variable.shape or value.dtype is not variable.dtype:
            raise Refusal(
                f"its value '{variable.name}' goes in as {variable.type} and comes out as {value.type}; only loops "
                "whose values keep their type run a number of steps that is not written out"
            )
        return value


def emit_if(context: Translation, condition: Value, then: Subgraph, other: Subgraph) -> list[Value]:
    """Emit an `if` op over two finished branches; its results.

    Raises:
        Refusal: the branches give different types.
    """
    for a, b in zip(then.graph.outputs, other.graph.outputs, strict=True):
        if a.shape != b.shape or a.dtype is not b.dtype:
            raise Refusal(
                f"its branches give {a.type} and {b.type}, and the condition is only known at run time: TFLite's `if` "
                "gives one shape, so fix the condition when the model is exported, or reshape one branch as the other"
            )
    captured = list(dict.fromkeys([*then.captured, *other.captured]))
    then.order_captured([], captured)
    other.order_captured([], captured)
    graphs = context.graphs
    graphs += [then.graph, other.graph]
    return context.emit_many(
        "if", [context.reshape(condition, []), *captured], result_types=[v.type for v in then.graph.outputs],
        then_subgraph_index=len(graphs) - 2, else_subgraph_index=len(graphs) - 1,
    )  # fmt: skip


def steps_per_pass(steps: int, ops: int) -> int:
    """How many of a loop's steps, of `ops` each, one pass of a `while` takes: a divisor of `steps`.

    LiteRT copies every loop variable on every pass, the sequences that the loop reads and writes included.
    """
    most = max(1, min(MAX_STEPS_PER_PASS, MAX_OPS_PER_PASS // max(ops, 1)))
    return max(size for size in range(1, most + 1) if steps % size == 0)


def empty_rows(context: Translation, like: Value, count: int) -> Value:
    """Zeros [count, …] that a loop writes its results of the type of `like` into.

    Raises:
        Refusal: there would be too many elements.
    """
    shape = [count, *like.shape]
    elements = int(np.prod(shape, dtype=object))
    if elements > MAX_ROWS_ELEMENTS:
        raise Refusal(f"it collects a result of shape {shape}, more than {MAX_ROWS_ELEMENTS} elements")
    if elements * like.dtype.numpy.itemsize <= LARGEST_STORED_ROWS_BYTES:
        return context.constant(np.zeros(shape, like.dtype.numpy), like.dtype)
    return context.emit("fill", [context.ints(shape), context.like(like, 0)])


def write_row(context: Translation, rows: Value, index: Value, row: Value) -> Value:
    """`rows` with `row` at `index` (int32 scalar)."""
    row = context.reshape(row, [1, *row.shape])
    start = context.reshape(index, [1])
    if rows.type.rank > 1:
        start = context.emit("concatenation", [start, context.ints([0] * (rows.type.rank - 1))], axis=0)
    return context.emit("dynamic_update_slice", [rows, row, start])


def read_row(context: Translation, rows: Value, index: Value, axis: int = 0) -> Value:
    """Entry `index` (int32 scalar) of an axis, which is dropped."""
    return context.emit("gather", [rows, index], axis=axis)
