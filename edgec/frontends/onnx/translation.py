"""What translators work with: the graph under construction and the helpers they share.

Every ONNX tensor keeps its own layout here (channels first for images). A translator of a spatial op turns its operand
to channels last, emits the TFLite op, and turns the result back; the layout pass later moves and cancels these
transposes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgec.frontends.onnx.allowance import Allowance
from edgec.frontends.onnx.gelu import recognize_gelu
from edgec.frontends.onnx.node import Node, Refusal
from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import TensorType

Result = Value | Sequence[Value]
Translate = Callable[[Node, "Translation"], Result]


def channels_last(rank: int) -> list[int]:
    """The permutation from N,C,spatial… to N,spatial…,C."""
    return [0, *range(2, rank), 1]


def channels_first(rank: int) -> list[int]:
    """The permutation from N,spatial…,C to N,C,spatial…."""
    return [0, rank - 1, *range(1, rank - 1)]


def turned(data: np.ndarray, permutation: Sequence[int] | None) -> np.ndarray:
    """`data` with its axes permuted, in order in memory; one number that fills all of it stays a single one."""
    found = np.transpose(data, permutation)
    return found if data.size > 1 and not any(data.strides) else np.ascontiguousarray(found)


class Translation:
    """The graph under construction; emits ops with the node's name and source."""

    def __init__(
        self, builder: Builder, graphs: list[Graph] | None = None, *, unroll: bool = False,
        allowance: Allowance | None = None,
    ) -> None:  # fmt: skip
        self.builder = builder
        self.allowance = allowance or Allowance()
        self.graph = builder.graph
        self.graphs = [self.graph] if graphs is None else graphs  # the module's, for control flow
        self.unrolls = unroll  # recurrent layers and loops, see `load_onnx`
        self.counters: set[Value] = set()  # values that count a loop's steps from 0
        self.error_functions: list[tuple[Value, Value]] = []  # operand and result of each Erf
        self.converted: set[DType] = set()  # element types that became float32
        self.in_float32: dict[Value, Value] = {}  # their constants
        self.rounds_at_run_time = False  # dynamic quantization was taken for real numbers
        self.sequences: dict[Value, tuple[Value, ...]] = {}  # tensors of each sequence, by what stands for it

    def apart(self, name: str) -> Translation:
        """A translation into a new graph, which control flow will call."""
        builder = Builder(Graph(name), self.builder.op_defs, source=self.builder.source)
        inner = Translation(builder, self.graphs, unroll=self.unrolls, allowance=self.allowance)
        inner.converted = self.converted
        return inner

    def finish(self) -> None:
        """Recognize what spans nodes; called once the graph's outputs are set."""
        recognize_gelu(self.graph, self.error_functions)

    def mark(self) -> tuple[Op | None, int]:
        """Where the module stands, for `roll_back`."""
        return self.graph.last_op, len(self.graphs)

    def roll_back(self, mark: tuple[Op | None, int]) -> None:
        """Erase ops and graphs that were added since `mark`; nothing else may use their results."""
        last, graphs = mark
        while self.graph.last_op is not last and self.graph.last_op is not None:
            self.graph.erase(self.graph.last_op)
        del self.graphs[graphs:]
        self.error_functions = [(x, y) for x, y in self.error_functions if y.producer is not None]

    def emit(self, opcode: str, operands: Sequence[Value | None], **attributes: Any) -> Value:
        """Emit an op with one result."""
        return self.builder.emit(opcode, operands, **attributes)

    def emit_many(self, opcode: str, operands: Sequence[Value | None], **attributes: Any) -> list[Value]:
        """Emit an op with several results."""
        return list(self.builder.emit_op(opcode, operands, **attributes).results)

    def constant(self, data: Any, dtype: DType | None = None, name: str = "") -> Value:
        """A constant; float64 data becomes float32 unless `dtype` says otherwise."""
        array = np.asarray(data)
        self.allowance.take(array)
        wanted = dtype.numpy if dtype is not None else np.float32 if array.dtype == np.float64 else array.dtype
        return self.graph.constant(array.astype(wanted, copy=False), name, dtype=dtype)  # weights are not copied

    def filled(self, shape: Sequence[int], number: ArrayLike, dtype: DType) -> Value:
        """A constant that holds one number everywhere, which takes its memory once."""
        return self.graph.constant(np.broadcast_to(np.asarray(number, dtype.numpy), tuple(shape)), dtype=dtype)

    def ints(self, values: ArrayLike) -> Value:
        """An int32 constant: a shape, axes, a permutation, paddings."""
        return self.builder.ints(values)

    def like(self, value: Value, number: float) -> Value:
        """A scalar constant of the dtype of `value`."""
        return self.constant(np.asarray(number, value.dtype.numpy))

    # -- common small compositions -----------------------------------------------------------------------------------

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        """`x` with its axes permuted; constants are permuted at once, an identity is left out."""
        if list(permutation) == list(range(x.type.rank)):
            return x
        if x.data is not None:
            return self.constant(turned(x.data, permutation), x.dtype, x.name)
        return self.emit("transpose", [x, self.ints(list(permutation))])

    def to_channels_last(self, x: Value) -> Value:
        """N,C,spatial… to N,spatial…,C."""
        return self.transpose(x, channels_last(x.type.rank))

    def to_channels_first(self, x: Value) -> Value:
        """N,spatial…,C to N,C,spatial…."""
        return self.transpose(x, channels_first(x.type.rank))

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """`x` in another shape (no -1 needed: shapes are static); constants at once, an identity is left out."""
        shape = [int(d) for d in shape]
        if tuple(shape) == x.shape:
            return x
        if x.data is not None:
            return self.constant(x.data.reshape(shape), x.dtype, x.name)
        return self.emit("reshape", [x, self.ints(shape)], new_shape=tuple(shape))

    def cast(self, x: Value, dtype: DType) -> Value:
        """`x` in another element type."""
        if x.dtype is dtype:
            return x
        if x.data is not None:
            return self.constant(x.data.astype(dtype.numpy), dtype, x.name)
        if x.dtype is DType.UINT64:
            raise Refusal(f"it would cast '{x.name}' from uint64, which TFLite's kernel does not")
        return self.emit(
            "cast", [x], in_data_type=x.dtype.name, out_data_type=dtype.name,
            result_types=[TensorType(x.shape, dtype, None, x.type.signature)],
        )  # fmt: skip

    def add(self, a: Value, b: Value) -> Value:
        """a + b."""
        return self.emit("add", [a, b])

    def sub(self, a: Value, b: Value) -> Value:
        """a - b."""
        return self.emit("sub", [a, b])

    def mul(self, a: Value, b: Value) -> Value:
        """a * b."""
        return self.emit("mul", [a, b])

    def div(self, a: Value, b: Value) -> Value:
        """a / b."""
        return self.emit("div", [a, b])
