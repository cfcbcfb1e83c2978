"""Values, ops, graphs and modules: the one mutable thing that travels through the compiler.

Ops of a graph stand in a doubly linked list in execution order, so that inserting and erasing cost the same in a graph
of ten ops and of ten thousand. Operands and results are tuples: every change goes through a method of `Graph` or `Op`,
which keeps the uses right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgec.diagnostics import Note
from edgec.ir.dtype import DType
from edgec.ir.types import QuantParams, TensorType

SHOWN_NAME = 96  # characters of a name in a message


class Value:
    """One tensor: a graph input, a constant, or the result of an op.

    A constant carries `data` in the shape of its type (raw bytes where `sparsity` is set or the dtype is opaque). A
    variable is state that survives an invocation. `extra` keeps fields of the source file that edgec has no use for.
    """

    __slots__ = ("_outputs", "_uses", "data", "extra", "is_variable", "name", "producer", "sparsity", "type")

    def __init__(
        self,
        name: str,
        type_: TensorType,
        data: np.ndarray | None = None,
        *,
        is_variable: bool = False,
        sparsity: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.type = type_
        self.data = data
        self.is_variable = is_variable
        self.sparsity = sparsity
        self.extra: Mapping[str, Any] = extra or {}
        self.producer: Op | None = None
        self._uses: dict[tuple[Op, int], None] = {}
        self._outputs = 0  # how often the value is a graph output

    @property
    def shape(self) -> tuple[int, ...]:
        """The static shape."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.type.dtype

    @property
    def quant(self) -> QuantParams | None:
        """The quantization, if any."""
        return self.type.quant

    @property
    def is_constant(self) -> bool:
        """True where the value is known at compile time."""
        return self.data is not None

    @property
    def is_output(self) -> bool:
        """True where the value is an output of its graph."""
        return self._outputs > 0

    @property
    def uses(self) -> tuple[tuple[Op, int], ...]:
        """(op, operand index) of every use, in the order in which they came about."""
        return tuple(self._uses)

    @property
    def users(self) -> tuple[Op, ...]:
        """The ops that use the value, each once."""
        return tuple(dict.fromkeys(op for op, _ in self._uses))

    @property
    def use_count(self) -> int:
        """Uses by ops, plus uses as a graph output."""
        return len(self._uses) + self._outputs

    @property
    def sole_user(self) -> Op | None:
        """The op that holds the only use, or None where there are more, none, or the value is a graph output."""
        if len(self._uses) != 1 or self._outputs:
            return None
        return next(iter(self._uses))[0]

    def array(self) -> np.ndarray:
        """The constant's data; raises ValueError for a value that is no constant."""
        if self.data is None:
            raise ValueError(f"value '{self.name}' is no constant")
        return self.data

    def __repr__(self) -> str:
        return f"<Value {self.name}: {self.type}{' const' if self.is_constant else ''}>"


class Op:
    """One operation: opcode, operands (None where optional and absent), results and attributes.

    `attributes` holds the fields of the op's TFLite options table by their schema names. `source` names the node of the
    source model that the op came from. `version` is the op version of the file it was read from, None for a new op.
    `intermediates` are the extra tensors TFLite keeps for quantized LSTMs.
    """

    __slots__ = (
        "_next", "_operands", "_previous", "_results", "attributes", "extra", "graph", "intermediates", "name",
        "opcode", "source", "version",
    )  # fmt: skip

    def __init__(
        self,
        opcode: str,
        operands: Sequence[Value | None],
        results: Sequence[Value],
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str = "",
        source: str = "",
        version: int | None = None,
        intermediates: Sequence[Value] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        produced = next((r for i, r in enumerate(results) if r.producer is not None or r in results[:i]), None)
        if produced is not None:
            raise ValueError(f"value '{produced.name}' already has a producer")
        self.opcode = opcode
        self.name = name
        self.source = source
        self.attributes: dict[str, Any] = dict(attributes or {})
        self.version = version
        self.intermediates = tuple(intermediates)
        self.extra: Mapping[str, Any] = extra or {}
        self.graph: Graph | None = None
        self._operands: tuple[Value | None, ...] = tuple(operands)
        self._results = tuple(results)
        self._next: Op | None = None
        self._previous: Op | None = None
        for index, operand in enumerate(self._operands):
            if operand is not None:
                operand._uses[self, index] = None
        for result in self._results:
            result.producer = self

    @property
    def operands(self) -> tuple[Value | None, ...]:
        """The operands in TFLite's order; None where an optional one is absent."""
        return self._operands

    @property
    def results(self) -> tuple[Value, ...]:
        """The results in TFLite's order."""
        return self._results

    @property
    def result(self) -> Value:
        """The only result; raises ValueError where there is not exactly one."""
        if len(self._results) != 1:
            raise ValueError(f"{self.opcode} '{self.name}' has {len(self._results)} results")
        return self._results[0]

    @property
    def next(self) -> Op | None:
        """The op after this one."""
        return self._next

    @property
    def previous(self) -> Op | None:
        """The op before this one."""
        return self._previous

    def operand(self, index: int) -> Value:
        """The operand at `index`; raises ValueError where it is absent."""
        value = self._operands[index] if index < len(self._operands) else None
        if value is None:
            raise ValueError(f"{self.opcode} '{self.name}' has no operand {index}")
        return value

    def optional_operand(self, index: int) -> Value | None:
        """The operand at `index`, None where it is absent."""
        return self._operands[index] if index < len(self._operands) else None

    def set_operand(self, index: int, value: Value | None) -> None:
        """Replace one operand."""
        old = self._operands[index]
        if old is not None:
            del old._uses[self, index]
        if value is not None:
            value._uses[self, index] = None
        self._operands = (*self._operands[:index], value, *self._operands[index + 1 :])

    def set_operands(self, values: Sequence[Value | None]) -> None:
        """Replace all operands."""
        self._drop_operands()
        self._operands = tuple(values)
        for index, value in enumerate(self._operands):
            if value is not None:
                value._uses[self, index] = None

    def _drop_operands(self) -> None:
        for index, operand in enumerate(self._operands):
            if operand is not None:
                operand._uses.pop((self, index), None)
        self._operands = ()

    def describe(self) -> str:
        """How messages name the op: opcode, name and where it came from."""
        says_more = self.source and not f" {self.source}".endswith(f" {self.name}")
        where = f" ({_shown(self.source)})" if says_more else ""
        return f"{self.opcode} '{_shown(self.name)}'{where}"

    def __repr__(self) -> str:
        return f"<Op {self.describe()}>"


class Graph:
    """Ops in execution order between inputs and outputs."""

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.extra: Mapping[str, Any] = {}
        self.declared: tuple[Value, ...] = ()  # tensors in the order of the source file
        self.idle: tuple[Value, ...] = ()  # those of them that nothing used when the file was read
        self._inputs: tuple[Value, ...] = ()
        self._outputs: tuple[Value, ...] = ()
        self._first: Op | None = None
        self._last: Op | None = None
        self._count = 0
        self._fresh = 0

    # -- inputs and outputs ------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> tuple[Value, ...]:
        """Graph inputs in order."""
        return self._inputs

    @inputs.setter
    def inputs(self, values: Iterable[Value]) -> None:
        self._inputs = tuple(values)

    @property
    def outputs(self) -> tuple[Value, ...]:
        """Graph outputs in order; a value may stand there more than once."""
        return self._outputs

    @outputs.setter
    def outputs(self, values: Iterable[Value]) -> None:
        for value in self._outputs:
            value._outputs -= 1
        self._outputs = tuple(values)
        for value in self._outputs:
            value._outputs += 1

    def add_input(self, name: str, type_: TensorType) -> Value:
        """Append a graph input."""
        value = Value(name, type_)
        self._inputs = (*self._inputs, value)
        return value

    # -- ops ---------------------------------------------------------------------------------------------------------

    @property
    def ops(self) -> Iterator[Op]:
        """The ops in order; the graph may be changed while iterating (an erased op is skipped)."""
        op = self._first
        while op is not None:
            following = op._next
            yield op
            # `following` may have been erased by the body of the loop, or ops inserted after `op`.
            op = op._next if op.graph is self else _still_in(following, self)

    @property
    def first_op(self) -> Op | None:
        """The first op."""
        return self._first

    @property
    def last_op(self) -> Op | None:
        """The last op."""
        return self._last

    def __len__(self) -> int:
        return self._count

    def append(self, op: Op) -> Op:
        """Add an op at the end."""
        return self._link(op, self._last, None)

    def insert_before(self, anchor: Op, op: Op) -> Op:
        """Add an op right before `anchor`; raises ValueError where `anchor` is not in this graph."""
        self._require_own(anchor)
        return self._link(op, anchor._previous, anchor)

    def insert_after(self, anchor: Op, op: Op) -> Op:
        """Add an op right after `anchor`; raises ValueError where `anchor` is not in this graph."""
        self._require_own(anchor)
        return self._link(op, anchor, anchor._next)

    def move_before(self, anchor: Op, op: Op) -> None:
        """Move an op of this graph right before `anchor`."""
        self._require_own(anchor)
        if op is anchor:
            return
        self._unlink(op)
        self._link(op, anchor._previous, anchor)

    def erase(self, op: Op) -> None:
        """Remove an op whose results nobody uses.

        Raises:
            ValueError: a result is still used, or the op is not in this graph.
        """
        self._require_own(op)
        for result in op.results:
            if result.use_count:
                raise ValueError(f"cannot erase {op.describe()}: its result '{result.name}' is still used")
        op._drop_operands()
        for result in op.results:
            result.producer = None
        self._unlink(op)

    def replace_all_uses(self, old: Value, new: Value) -> None:
        """Let every user of `old`, graph outputs included, use `new`."""
        if old is new:
            return
        for op, index in old.uses:
            op.set_operand(index, new)
        if old._outputs:
            self.outputs = tuple(new if value is old else value for value in self._outputs)

    def replace(self, op: Op, values: Sequence[Value]) -> None:
        """Let users of the op's results use `values` instead, then erase the op."""
        if len(values) != len(op.results):
            raise ValueError(f"{len(values)} values replace the {len(op.results)} results of {op.describe()}")
        for old, new in zip(op.results, values):
            self.replace_all_uses(old, new)
        self.erase(op)

    def set_order(self, order: Sequence[Op]) -> None:
        """Put the ops into another order; `order` holds each op of the graph once."""
        if len(order) != self._count or len(set(order)) != self._count or any(op.graph is not self for op in order):
            raise ValueError(f"the new order must hold each of the {self._count} ops of graph '{self.name}' once")
        for op, following in zip(order, [*order[1:], None]):
            op._next = following
        for op, preceding in zip(order, [None, *order[:-1]]):
            op._previous = preceding
        self._first, self._last = (order[0], order[-1]) if order else (None, None)

    def _link(self, op: Op, previous: Op | None, following: Op | None) -> Op:
        if op.graph is not None:
            raise ValueError(f"{op.describe()} is already in a graph")
        op.graph, op._previous, op._next = self, previous, following
        if previous is None:
            self._first = op
        else:
            previous._next = op
        if following is None:
            self._last = op
        else:
            following._previous = op
        self._count += 1
        return op

    def _require_own(self, op: Op) -> None:
        if op.graph is not self:
            raise ValueError(f"{op.describe()} is not in graph '{self.name}'")

    def _unlink(self, op: Op) -> None:
        self._require_own(op)
        if op._previous is None:
            self._first = op._next
        else:
            op._previous._next = op._next
        if op._next is None:
            self._last = op._previous
        else:
            op._next._previous = op._previous
        op.graph = None  # _next stays, so that an iterator standing on an erased op finds its way
        self._count -= 1

    # -- values ------------------------------------------------------------------------------------------------------

    def constant(
        self, data: np.ndarray, name: str = "", *, dtype: DType | None = None, quant: QuantParams | None = None
    ) -> Value:
        """A new constant; its type follows the array unless `dtype` says otherwise (for sub-byte types)."""
        type_ = TensorType(tuple(data.shape), dtype or DType.from_numpy(data.dtype), quant)
        return Value(name or self.fresh_name("const"), type_, data)

    def fresh_name(self, stem: str) -> str:
        """A name no earlier call has given."""
        self._fresh += 1
        return f"{stem}_{self._fresh}"

    def values(self) -> Iterator[Value]:
        """Every value in use, each once: inputs, then op by op operands, results and intermediates, then outputs."""
        seen: set[Value] = set()
        for value in self._walk_values():
            if value not in seen:
                seen.add(value)
                yield value

    def _walk_values(self) -> Iterator[Value]:
        yield from self._inputs
        for op in self.ops:
            yield from (v for v in op.operands if v is not None)
            yield from op.results
            yield from op.intermediates
        yield from self._outputs

    def constants(self) -> Iterator[Value]:
        """Every constant in use, each once."""
        return (value for value in self.values() if value.is_constant)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {self._count} ops>"


def _shown(name: str) -> str:
    """A name for a message: converters join the names of all fused ops, hundreds of characters long."""
    return name if len(name) <= SHOWN_NAME else f"{name[: SHOWN_NAME // 2]}…{name[-SHOWN_NAME // 2 :]}"


def _still_in(op: Op | None, graph: Graph) -> Op | None:
    while op is not None and op.graph is not graph:
        op = op._next
    return op


@dataclass(frozen=True, slots=True)
class Signature:
    """A named entry point: (name, position) pairs into the inputs and outputs of one graph."""

    key: str
    graph_index: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass
class Module:
    """A model: the main graph first, then the graphs its control flow refers to by index.

    `metadata` maps names to raw bytes. `input_layout` and `output_layout` name the inputs and outputs of the main graph
    whose axes stand in another order than in the source model: ours = transpose(source's, permutation). `extra` keeps
    fields of the source file that edgec has no use for. `notes` collects what the user should know of what was done to
    the model.
    """

    graphs: list[Graph] = field(default_factory=lambda: [Graph()])
    signatures: list[Signature] = field(default_factory=list)
    metadata: dict[str, bytes] = field(default_factory=dict)
    input_layout: dict[str, tuple[int, ...]] = field(default_factory=dict)
    output_layout: dict[str, tuple[int, ...]] = field(default_factory=dict)
    name: str = ""
    description: str = ""
    source_format: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)

    @property
    def main(self) -> Graph:
        """The main graph."""
        return self.graphs[0]
