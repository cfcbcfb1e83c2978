"""RNN, GRU and LSTM, unrolled over the time steps, which are known at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

MAX_STEPS = 512  # unrolled, each step is some ten ops
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
    hidden: Value
    cell: Value | None
    peepholes: Sequence[Value] | None
    activations: Sequence[str]


class Recurrence:
    """Unrolls one node."""

    def __init__(self, node: Node, context: Translation) -> None:
        self.node, self.context, self.kind = node, context, node.op_type
        self.batch_first = bool(node.int("layout", 0))
        self.clip = node.float("clip", 0.0)
        x = node.input(0)
        if x.type.rank != 3 or x.dtype is not DType.FLOAT32:
            raise Refusal(f"its input {x.type} is no float sequence of rank 3")
        self.x = context.transpose(x, [1, 0, 2]) if self.batch_first else x
        self.steps, self.batch, _ = self.x.shape
        if self.steps > MAX_STEPS:
            raise Refusal(f"{self.steps} time steps are more than the {MAX_STEPS} that are unrolled")
        self.directions = node.input(1).shape[0]
        self.hidden = node.input(2).shape[2]
        self.lengths = node.optional(4)

    def run(self) -> list[Value]:
        """Y, Y_h and, for LSTM, Y_c."""
        names = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
        ways = names.get(self.node.attribute("direction", "forward"))
        if ways is None or len(ways) != self.directions:
            raise Refusal(f"direction and weights {list(self.node.input(1).shape)} do not fit")
        parts = [self._run_direction(self._direction(i), backwards) for i, backwards in enumerate(ways)]
        context = self.context
        sequences = [self._joined([context.reshape(y, [1, 1, *y.shape]) for y in ys], 0) for ys, _, _ in parts]
        every = self._joined(sequences, 1)
        states = [[hidden for _, hidden, _ in parts]]
        if self.kind == "LSTM":
            states.append([cell for _, _, cell in parts])
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
            self._state(5, index), self._state(6, index) if self.kind == "LSTM" else None,
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

    def _run_direction(self, way: Direction, backwards: bool) -> tuple[list[Value], Value, Value]:
        step: Callable[[Direction, Value, Value, Value], tuple[Value, Value]] = getattr(self, f"_{self.kind.lower()}")
        hidden, cell = way.hidden, way.cell or way.hidden
        outputs: dict[int, Value] = {}
        for time in range(self.steps)[:: -1 if backwards else 1]:
            new_hidden, new_cell = step(way, self._part(self.x, time), hidden, cell)
            outputs[time] = new_hidden
            if self.lengths is not None:
                alive = self._alive(time)
                outputs[time] = self.context.emit("select_v2", [alive, new_hidden, self.context.like(hidden, 0)])
                new_hidden = self.context.emit("select_v2", [alive, new_hidden, hidden])
                new_cell = self.context.emit("select_v2", [alive, new_cell, cell])
            hidden, cell = new_hidden, new_cell
        return [outputs[time] for time in range(self.steps)], hidden, cell

    def _alive(self, time: int) -> Value:
        """[batch, 1]: which entries are as long as that."""
        assert self.lengths is not None
        lengths = self.context.reshape(self.lengths, [self.batch, 1])
        return self.context.emit("greater", [lengths, self.context.like(lengths, time)])

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
        return [self._columns(x, i * self.hidden, self.hidden) for i in range(GATES[self.kind])]

    def _rnn(self, way: Direction, x: Value, hidden: Value, cell: Value) -> tuple[Value, Value]:
        total = self.context.add(
            self._product(x, way.weight, way.input_bias), self._product(hidden, way.recurrence, way.hidden_bias)
        )
        hidden = self._activated(way, 0, total)
        return hidden, hidden

    def _lstm(self, way: Direction, x: Value, hidden: Value, cell: Value) -> tuple[Value, Value]:
        context = self.context
        total = context.add(
            self._product(x, way.weight, way.input_bias), self._product(hidden, way.recurrence, way.hidden_bias)
        )
        entry, exit_, forget, candidate = self._gates(total)
        if way.peepholes is not None:
            entry = context.add(entry, context.mul(cell, way.peepholes[0]))
            forget = context.add(forget, context.mul(cell, way.peepholes[2]))
        kept = context.mul(self._activated(way, 0, forget), cell)
        if self.node.int("input_forget", 0):
            opened = self._activated(way, 0, entry)
            kept = context.mul(context.sub(context.like(opened, 1), opened), cell)
        cell = context.add(kept, context.mul(self._activated(way, 0, entry), self._activated(way, 1, candidate)))
        if way.peepholes is not None:
            exit_ = context.add(exit_, context.mul(cell, way.peepholes[1]))
        shown = context.emit(OPCODES[way.activations[2]], [cell])
        return context.mul(self._activated(way, 0, exit_), shown), cell

    def _gru(self, way: Direction, x: Value, hidden: Value, cell: Value) -> tuple[Value, Value]:
        context, size = self.context, self.hidden
        own = self._gates(self._product(x, way.weight, way.input_bias))
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
    """RNN, GRU or LSTM in any direction, with lengths, peepholes and either layout."""
    results = Recurrence(node, context).run()
    return results[: len(node.outputs)]


TRANSLATIONS: dict[str, Translate] = dict.fromkeys(GATES, recurrent)
