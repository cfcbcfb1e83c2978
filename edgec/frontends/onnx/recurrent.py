"""RNN, GRU and LSTM: one op where TFLite has one that fits, else unrolled over the time steps or, if many, a `while`.

The number of steps is known at import. An LSTM becomes one `unidirectional_sequence_lstm` a direction where it is
the plain one (see `fused_lstm`). Everything else is written out, the product with the input for all steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgec.frontends.onnx.fused_lstm import fits_one_op, fused_lstm
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.subgraph import Subgraph, WhileLoop, empty_rows, read_row, steps_per_pass, write_row
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

# Beyond, a `while` is faster: each product written out packs the weights anew. GRU of 64 units in LiteRT on x86, one
# thread: 32 steps 0.07 ms either way, 96 steps 0.28 written out and 0.15 as a `while`; 256 units 14 and 3.5.
MAX_UNROLLED_OPS = 500
MAX_STEPS = 512  # where nothing but unrolling will do
OPS_PER_STEP = {"RNN": 5, "GRU": 12, "LSTM": 12}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
OPCODES = {"Sigmoid": "logistic", "Tanh": "tanh", "Relu": "relu"}


@dataclass
class Direction:
    """One direction's operands: weights [gates * hidden, …], biases [gates * hidden], states [batch, hidden]."""

    weight: Value
    recurrence: Value
    input_bias: Value | None
    hidden_bias: Value | None
    bias: Value | None  # both biases, one behind the other
    hidden: Value
    cell: Value | None
    peepholes: Sequence[Value] | None
    activations: Sequence[str]

    def inside(self, graph: Subgraph) -> Direction:
        """The same operands, as a called graph sees them; its states are those of the loop."""
        return replace(
            self,
            recurrence=graph.capture(self.recurrence),
            hidden_bias=None if self.hidden_bias is None else graph.capture(self.hidden_bias),
            peepholes=None if self.peepholes is None else [graph.capture(value) for value in self.peepholes],
        )


@dataclass
class Run:
    """What a direction gives: every step's output [steps, batch, hidden], the last states [batch, hidden]."""

    outputs: Value
    hidden: Value
    cell: Value


class Recurrence:
    """Translates one node."""

    def __init__(self, node: Node, context: Translation) -> None:
        self.node, self.context, self.kind = node, context, node.op_type
        self.batch_first = bool(node.int("layout", 0))
        self.clip = node.float("clip", 0.0)
        x = node.input(0)
        if x.type.rank != 3 or x.dtype is not DType.FLOAT32:
            raise Refusal(f"its input {x.type} is no float sequence of rank 3")
        self.x = context.transpose(x, [1, 0, 2]) if self.batch_first else x
        self.steps, self.batch, self.inputs = self.x.shape
        if not self.steps:
            raise Refusal("its sequence has no step")
        self.directions = node.input(1).shape[0]
        self.hidden = node.input(2).shape[2]
        self.lengths = node.optional(4)
        self._check_shapes()

    def _check_shapes(self) -> None:
        """Refuse weights and states that do not fit: some exporters write an LSTM with projections as one without."""
        rows, directions = GATES[self.kind] * self.hidden, self.directions
        states = [self.batch, directions] if self.batch_first else [directions, self.batch]
        wanted = {1: [directions, rows, self.inputs], 2: [directions, rows, self.hidden]}
        wanted |= {place: [*states, self.hidden] for place in ((5, 6) if self.kind == "LSTM" else (5,))}
        for place, shape in wanted.items():
            operand = self.node.optional(place)
            if operand is not None and list(operand.shape) != shape:
                raise Refusal(f"'{operand.name}' has the shape {list(operand.shape)} where {shape} is needed")

    def run(self) -> list[Value]:
        """Y, Y_h and, for LSTM, Y_c."""
        names = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
        ways = names.get(self.node.attribute("direction", "forward"))
        if ways is None or len(ways) != self.directions:
            raise Refusal(f"direction and weights {list(self.node.input(1).shape)} do not fit")
        parts = [self._run_direction(self._direction(i), backwards) for i, backwards in enumerate(ways)]
        context = self.context
        shape = [self.steps, 1, self.batch, self.hidden]
        every = self._joined([context.reshape(part.outputs, shape) for part in parts], 1)
        states = [[part.hidden for part in parts]]
        if self.kind == "LSTM":
            states.append([part.cell for part in parts])
        last = [self._joined([context.reshape(state, [1, *state.shape]) for state in each], 0) for each in states]
        if self.batch_first:
            every = context.transpose(every, [2, 0, 1, 3])
            last = [context.transpose(v, [1, 0, 2]) for v in last]
        return [every, *last]

    def _joined(self, values: list[Value], axis: int) -> Value:
        return values[0] if len(values) == 1 else self.context.emit("concatenation", values, axis=axis)

    def _part(self, value: Value, index: int) -> Value:
        """Entry `index` of the first axis, which is dropped."""
        if value.data is not None:
            return self.context.constant(np.ascontiguousarray(value.data[index]), value.dtype)
        if value.shape[0] > 1:
            begin, size = [index, *[0] * (value.type.rank - 1)], [1, *value.shape[1:]]
            value = self.context.emit("slice", [value, self.context.ints(begin), self.context.ints(size)])
        return self.context.reshape(value, value.shape[1:])

    def _columns(self, value: Value, start: int, size: int) -> Value:
        """`size` entries of the last axis from `start` on."""
        if value.data is not None:
            return self.context.constant(np.ascontiguousarray(value.data[..., start : start + size]), value.dtype)
        rank = value.type.rank
        begin, sizes = [*[0] * (rank - 1), start], [*value.shape[:-1], size]
        return self.context.emit("slice", [value, self.context.ints(begin), self.context.ints(sizes)])

    def _direction(self, index: int) -> Direction:
        node, rows = self.node, GATES[self.kind] * self.hidden
        bias = node.optional(3)
        both = self._part(bias, index) if bias is not None else None
        peepholes = node.optional(7) if self.kind == "LSTM" else None
        weights = self._part(peepholes, index) if peepholes is not None else None
        count = len(DEFAULTS[self.kind])
        activations = node.attribute("activations", DEFAULTS[self.kind] * self.directions)
        chosen = activations[index * count : (index + 1) * count]
        for name in chosen:
            if name not in OPCODES:
                raise Refusal(f"the activation '{name}' is not supported")
        return Direction(
            self._part(node.input(1), index), self._part(node.input(2), index),
            self._columns(both, 0, rows) if both is not None else None,
            self._columns(both, rows, rows) if both is not None else None,
            both, self._state(5, index), self._state(6, index) if self.kind == "LSTM" else None,
            [self._columns(weights, i * self.hidden, self.hidden) for i in range(3)] if weights is not None else None,
            chosen,
        )  # fmt: skip

    def _state(self, operand: int, index: int) -> Value:
        state = self.node.optional(operand)
        if state is None:
            return self.context.constant(np.zeros((self.batch, self.hidden), np.float32))
        if self.batch_first:
            state = self.context.transpose(state, [1, 0, 2])
        return self._part(state, index)

    def _run_direction(self, way: Direction, backwards: bool) -> Run:
        if self._is_one_op(way):
            outputs = fused_lstm(self.context, self.x, way.weight, way.recurrence, way.bias, backwards=backwards)
            return Run(outputs, self._part(outputs, 0 if backwards else self.steps - 1), way.hidden)
        inputs = self._projected(way)
        ops = self.steps * (OPS_PER_STEP[self.kind] + (4 if self.lengths is not None else 0))
        if ops <= MAX_UNROLLED_OPS or (self.context.unrolls and self.steps <= MAX_STEPS):
            return self._unrolled(way, inputs, backwards)
        return self._looped(way, inputs, backwards)

    def _is_one_op(self, way: Direction) -> bool:
        """True where the direction is the LSTM that TFLite's op computes; the last cell state is no result of it."""
        plain = (
            self.kind == "LSTM" and not self.context.unrolls and 2 not in self.node.read and self.lengths is None
            and not self.clip and not self.node.int("input_forget", 0) and way.peepholes is None
            and list(way.activations) == DEFAULTS["LSTM"] and way.cell is not None and self.steps > 1
        )  # fmt: skip
        if not plain or way.cell is None:
            return False
        zero = all(v.data is not None and not v.data.any() for v in (way.hidden, way.cell))
        return zero and fits_one_op(way.weight, way.recurrence, way.bias)

    def _projected(self, way: Direction) -> Value:
        """The inputs of all steps times their weights, with the bias: [steps, batch, gates * hidden]."""
        flat = self.context.reshape(self.x, [self.steps * self.batch, self.inputs])
        product = self._product(flat, way.weight, way.input_bias)
        return self.context.reshape(product, [self.steps, self.batch, way.weight.shape[0]])

    def _unrolled(self, way: Direction, inputs: Value, backwards: bool) -> Run:
        limits = [None if self.lengths is None else self.context.like(self.lengths, t) for t in range(self.steps)]
        cell = way.cell or way.hidden
        return self._steps(way, inputs, limits, self.lengths, way.hidden, cell, backwards=backwards)

    def _steps(
        self, way: Direction, inputs: Value, times: Sequence[Value | None], lengths: Value | None, hidden: Value,
        cell: Value, *, backwards: bool,
    ) -> Run:  # fmt: skip
        """Some steps written out: `inputs` [steps, batch, gates * hidden], `times` as `lengths` count them."""
        count = inputs.shape[0]
        entries = self.context.emit_many("unpack", [inputs], num=count, axis=0)
        rows: dict[int, Value] = {}
        for place in range(count)[:: -1 if backwards else 1]:
            rows[place], hidden, cell = self._step(way, entries[place], hidden, cell, lengths, times[place])
        if count == 1:
            return Run(self.context.reshape(rows[0], [1, *rows[0].shape]), hidden, cell)
        listed = [rows[place] for place in range(count)]
        return Run(self.context.emit("pack", listed, values_count=count, axis=0), hidden, cell)

    def _looped(self, way: Direction, inputs: Value, backwards: bool) -> Run:
        """A `while` of which each pass takes some steps; rows are kept as [passes, steps a pass, batch, hidden]."""
        outer = self.context
        size = steps_per_pass(self.steps, OPS_PER_STEP[self.kind])
        passes = self.steps // size
        inputs = outer.reshape(inputs, [passes, size, *inputs.shape[1:]])
        made = WhileLoop(outer, self.node.name)
        counter = made.variable(outer.constant(np.int32(0)))
        states = [made.variable(state) for state in (way.hidden, way.cell) if state is not None]
        self.context = inner = made.body.context
        place = inner.sub(inner.constant(np.int32(passes - 1)), counter) if backwards else counter
        block = read_row(inner, made.body.capture(inputs), place)
        lengths = None if self.lengths is None else made.body.capture(self.lengths)
        run = self._steps(
            way.inside(made.body), block, self._times(place, size, lengths), lengths, states[0], states[-1],
            backwards=backwards,
        )  # fmt: skip
        self.context = outer
        rows = made.variable(empty_rows(outer, run.outputs, passes))
        after = [inner.add(counter, inner.constant(np.int32(1))), run.hidden]
        after += [run.cell] if way.cell is not None else []
        found = made.finish(
            [*after, write_row(inner, rows, place, run.outputs)],
            lambda condition, variables: condition.context.emit(
                "less", [variables[0], condition.context.constant(np.int32(passes))]
            ),
        )
        outputs = outer.reshape(found[-1], [self.steps, self.batch, self.hidden])
        return Run(outputs, found[1], found[2] if way.cell is not None else found[1])

    def _times(self, place: Value, size: int, lengths: Value | None) -> list[Value | None]:
        """The times of the steps of pass `place`, in the element type of `lengths`."""
        if lengths is None:
            return [None] * size
        first = self.context.cast(self.context.mul(place, self.context.constant(np.int32(size))), lengths.dtype)
        return [self.context.add(first, self.context.like(lengths, i)) for i in range(size)]

    def _step(
        self, way: Direction, entry: Value, hidden: Value, cell: Value, lengths: Value | None, time: Value | None
    ) -> tuple[Value, Value, Value]:
        """What a step shows, and its states; entries of the batch that ended before `time` show 0 and keep theirs."""
        step: Callable[[Direction, Value, Value, Value], tuple[Value, Value]] = getattr(self, f"_{self.kind.lower()}")
        new_hidden, new_cell = step(way, entry, hidden, cell)
        if lengths is None or time is None:
            return new_hidden, new_hidden, new_cell
        alive = self.context.emit("greater", [self.context.reshape(lengths, [self.batch, 1]), time])
        shown = self.context.emit("select_v2", [alive, new_hidden, self.context.like(hidden, 0)])
        kept = self.context.emit("select_v2", [alive, new_hidden, hidden])
        return shown, kept, self.context.emit("select_v2", [alive, new_cell, cell])

    def _product(self, x: Value, weight: Value, bias: Value | None) -> Value:
        if weight.data is not None and (bias is None or bias.data is not None):
            return self.context.emit("fully_connected", [x, weight, bias])
        product = self.context.emit("batch_matmul", [x, weight], adj_y=True)
        return product if bias is None else self.context.add(product, bias)

    def _activated(self, way: Direction, index: int, x: Value) -> Value:
        if self.clip:
            x = self.context.emit("minimum", [x, self.context.like(x, self.clip)])
            x = self.context.emit("maximum", [x, self.context.like(x, -self.clip)])
        return self.context.emit(OPCODES[way.activations[index]], [x])

    def _gates(self, x: Value) -> list[Value]:
        count = GATES[self.kind]
        if x.data is not None:
            return [self._columns(x, i * self.hidden, self.hidden) for i in range(count)]
        return self.context.emit_many("split", [self.context.ints(x.type.rank - 1), x], num_splits=count)

    def _rnn(self, way: Direction, entry: Value, hidden: Value, cell: Value) -> tuple[Value, Value]:
        total = self.context.add(entry, self._product(hidden, way.recurrence, way.hidden_bias))
        hidden = self._activated(way, 0, total)
        return hidden, hidden

    def _lstm(self, way: Direction, entry: Value, hidden: Value, cell: Value) -> tuple[Value, Value]:
        context = self.context
        total = context.add(entry, self._product(hidden, way.recurrence, way.hidden_bias))
        opened, exit_, forget, candidate = self._gates(total)
        if way.peepholes is not None:
            opened = context.add(opened, context.mul(cell, way.peepholes[0]))
            forget = context.add(forget, context.mul(cell, way.peepholes[2]))
        opened = self._activated(way, 0, opened)
        if self.node.int("input_forget", 0):
            kept = context.mul(context.sub(context.like(opened, 1), opened), cell)
        else:
            kept = context.mul(self._activated(way, 0, forget), cell)
        cell = context.add(kept, context.mul(opened, self._activated(way, 1, candidate)))
        if way.peepholes is not None:
            exit_ = context.add(exit_, context.mul(cell, way.peepholes[1]))
        shown = context.emit(OPCODES[way.activations[2]], [cell])
        return context.mul(self._activated(way, 0, exit_), shown), cell

    def _gru(self, way: Direction, entry: Value, hidden: Value, cell: Value) -> tuple[Value, Value]:
        context, size = self.context, self.hidden
        own = self._gates(entry)
        if self.node.int("linear_before_reset", 0):
            past = self._gates(self._product(hidden, way.recurrence, way.hidden_bias))
            update = self._activated(way, 0, context.add(own[0], past[0]))
            reset = self._activated(way, 0, context.add(own[1], past[1]))
            candidate = context.add(own[2], context.mul(reset, past[2]))
        else:
            rows = [self._rows(way.recurrence, i * size, size) for i in range(3)]
            biases = self._gates(way.hidden_bias) if way.hidden_bias is not None else [None] * 3
            update = self._activated(way, 0, context.add(own[0], self._product(hidden, rows[0], biases[0])))
            reset = self._activated(way, 0, context.add(own[1], self._product(hidden, rows[1], biases[1])))
            candidate = context.add(own[2], self._product(context.mul(reset, hidden), rows[2], biases[2]))
        candidate = self._activated(way, 1, candidate)
        hidden = context.add(candidate, context.mul(update, context.sub(hidden, candidate)))
        return hidden, hidden

    def _rows(self, value: Value, start: int, size: int) -> Value:
        if value.data is not None:
            return self.context.constant(np.ascontiguousarray(value.data[start : start + size]), value.dtype)
        sizes = [size, *value.shape[1:]]
        return self.context.emit("slice", [value, self.context.ints([start, 0]), self.context.ints(sizes)])


def recurrent(node: Node, context: Translation) -> Result:
    """RNN, GRU or LSTM in any direction, with lengths, peepholes and either layout; a plain LSTM is one op."""
    results = Recurrence(node, context).run()
    return results[: len(node.outputs)]


TRANSLATIONS: dict[str, Translate] = dict.fromkeys(GATES, recurrent)
