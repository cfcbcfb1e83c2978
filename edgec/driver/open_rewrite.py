"""Makes a float module independent of the sizes of its open dimensions, by comparing it with itself at other sizes.

The same model, translated at two sizes, must become the same ops with the same attributes and constants. Where a
constant differs it holds sizes: a reshape's gets a -1 in the one place that differs, others are computed from the shape
of a value when the artifact runs. Anything else that differs depends on the size in a way that an artifact cannot keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from edgec.errors import LoweringError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ops import build, verify
from edgec.ops.infer import constant_ints

MAX_SIZES = 8  # elements of a constant that may hold sizes: one for each dimension
SLICE_ENDS = {("strided_slice", 2), ("slice", 2)}
AXIS_MASKS = ("ellipsis_mask", "new_axis_mask")  # then entries are no axes
MAX_FACTOR = 64  # an output may be so many times a value's dimension


class SizeDependence(LoweringError):
    """The model depends on the size of an open dimension in a way that the artifact cannot keep."""


def open_up(module: Module, other: Module, doing: str) -> int:
    """Rewrite `module` so that it also computes `other`, its twin at other sizes; returns the number of changes.

    Raises:
        SizeDependence: they differ in more than sizes; the message names the first op.
    """
    if len(module.graphs) != 1 or len(other.graphs) != 1:
        raise SizeDependence(f"{doing}: the model has loops or branches, whose inner shapes edgec does not follow.")
    return _Opening(module.main, other.main, doing).run()


@dataclass
class _Sizes:
    """A constant whose elements differ: `now` and `then` at an op's operand, or a reshape's attribute."""

    op: Op
    index: int
    now: list[int]
    then: list[int]


class _Opening:
    def __init__(self, graph: Graph, twin: Graph, doing: str) -> None:
        self.graph = graph
        self.twin = twin
        self.doing = doing
        self.pairs: dict[Value, Value] = {}  # value of `graph`: that of `twin`
        self.found: list[_Sizes] = []

    def run(self) -> int:
        self._pair(self.graph.inputs, self.twin.inputs)
        for op, other in zip_longest(list(self.graph.ops), list(self.twin.ops)):
            self._compare(op, other)
        for ours, theirs in zip(self.graph.outputs, self.twin.outputs, strict=True):
            if not ours.is_constant and self.pairs.get(ours) is not theirs:
                raise SizeDependence(f"{self.doing}: output '{ours.name}' comes from another op at the other size.")
        for sizes in self.found:
            self._rewrite(sizes)
        verify(self.graph)
        return len(self.found)

    def _pair(self, ours: Sequence[Value], theirs: Sequence[Value]) -> None:
        self.pairs.update(zip(ours, theirs, strict=True))

    def _fail(self, op: Op, why: str) -> SizeDependence:
        return SizeDependence(f"{self.doing}: {op.describe()} {why}.")

    def _compare(self, op: Op | None, other: Op | None) -> None:
        if op is None or other is None or op.opcode != other.opcode or len(op.operands) != len(other.operands):
            some = op or other
            assert some is not None
            raise self._fail(some, "stands at one size where the model translates to something else at the other")
        for key, value in op.attributes.items():
            if value != other.attributes[key] and not (op.opcode == "reshape" and key == "new_shape"):
                raise self._fail(op, f"takes {key} from the size: {value} at one, {other.attributes[key]} at the other")
        for index, (ours, theirs) in enumerate(zip(op.operands, other.operands)):
            self._compare_operand(op, index, ours, theirs)
        if op.opcode == "reshape":
            self._compare_reshape(op, other)
        if any(a.type.rank != b.type.rank for a, b in zip(op.results, other.results, strict=True)):
            raise self._fail(op, "has another rank at the other size")
        self._pair(op.results, other.results)

    def _compare_operand(self, op: Op, index: int, ours: Value | None, theirs: Value | None) -> None:
        if ours is None or theirs is None:
            if ours is not theirs:
                raise self._fail(op, f"has operand {index} at one of the sizes only")
            return
        if not ours.is_constant or not theirs.is_constant:
            if self.pairs.get(ours) is not theirs and not (ours.is_variable and theirs.is_variable):
                raise self._fail(op, f"reads another value as operand {index} at the other size")
            return
        a, b = ours.array(), theirs.array()
        if a.shape == b.shape and a.dtype == b.dtype and (a is b or a.tobytes() == b.tobytes()):
            return
        if op.opcode == "reshape" and index == 1:
            return  # compared by its result
        if a.shape != b.shape or a.ndim > 1 or a.size > MAX_SIZES or not ours.dtype.is_integer:
            shapes = list(a.shape) if a.shape == b.shape else f"{list(a.shape)}, then {list(b.shape)}"
            raise self._fail(op, f"reads constant '{ours.name}' ({a.dtype} {shapes}), which follows from the size")
        self.found.append(_Sizes(op, index, a.reshape(-1).tolist(), b.reshape(-1).tolist()))

    def _compare_reshape(self, op: Op, other: Op) -> None:
        shape = op.optional_operand(1)
        if shape is not None and not shape.is_constant:
            return
        now, then = list(op.result.shape), list(other.result.shape)
        if now != then and len(now) == len(then):
            self.found.append(_Sizes(op, 1, now, then))

    # -- sizes that are computed ---------------------------------------------------------------------------------------

    def _rewrite(self, sizes: _Sizes) -> None:
        op, differing = sizes.op, [i for i, (a, b) in enumerate(zip(sizes.now, sizes.then)) if a != b]
        if op.opcode == "reshape" and len(differing) == 1:
            _write_reshape(self.graph, op, [-1 if i in differing else size for i, size in enumerate(sizes.now)])
            return
        if self._reaches_the_end(sizes, differing):
            _slice_to_the_end(self.graph, op, differing, sizes.now)
            return
        operand = self._computed(sizes, differing)
        if op.opcode == "reshape":
            op.attributes["new_shape"] = ()
        if len(op.operands) <= sizes.index:
            op.set_operands([*op.operands, operand])
        else:
            op.set_operand(sizes.index, operand)

    def _reaches_the_end(self, sizes: _Sizes, differing: Sequence[int]) -> bool:
        """True for a slice whose differing ends are those of its operand, at both sizes."""
        op, x = sizes.op, sizes.op.operand(0)
        if (op.opcode, sizes.index) not in SLICE_ENDS or x not in self.pairs:
            return False
        begin = constant_ints(op.operand(1))
        if begin is None or (op.opcode == "strided_slice" and any(op.attributes[mask] for mask in AXIS_MASKS)):
            return False
        starts = begin if op.opcode == "slice" else [0] * len(begin)
        if op.opcode == "strided_slice" and min(constant_ints(op.operand(3)) or [-1]) < 0:
            return False
        both = ((sizes.now, x.shape), (sizes.then, self.pairs[x].shape))
        return all(starts[i] + numbers[i] == shape[i] for i in differing for numbers, shape in both)

    def _computed(self, sizes: _Sizes, differing: Sequence[int]) -> Value:
        """The numbers as `gather(concat(shape(x), numbers), …) * factors`, from the shape of one value x."""
        op = sizes.op
        for value in self._candidates(op):
            sources = [self._source(value, sizes.now[i], sizes.then[i]) for i in differing]
            if all(source is not None for source in sources):
                return self._emit(op, value, sizes, {i: s for i, s in zip(differing, sources) if s is not None})
        shown = ", ".join(f"{sizes.now[i]} at one size and {sizes.then[i]} at the other" for i in differing)
        raise self._fail(op, f"takes numbers from the size that no value's shape gives: {shown}")

    def _candidates(self, op: Op) -> Iterator[Value]:
        """Values whose shapes an operand may follow from: the op's own, then the inputs, then all that came before."""
        yield from (v for v in op.operands if v is not None and v in self.pairs)
        yield from self.graph.inputs
        before = op.previous
        while before is not None:
            yield from (r for r in before.results if r in self.pairs)
            before = before.previous

    def _source(self, value: Value, now: int, then: int) -> tuple[int, int] | None:
        """(axis, factor) where `factor` times the axis of `value` gives both sizes; the smallest factor."""
        found = [
            (now // a, axis)
            for axis, (a, b) in enumerate(zip(value.shape, self.pairs[value].shape))
            if a != b and a > 0 and now % a == 0 and 0 < now // a <= MAX_FACTOR and now // a * b == then
        ]
        factor, axis = min(found, default=(0, 0))
        return (axis, factor) if factor else None

    def _emit(self, op: Op, value: Value, sizes: _Sizes, sources: dict[int, tuple[int, int]]) -> Value:
        builder = build(self.graph, before=op, source=op.source)
        old = op.optional_operand(sizes.index)
        dtype = old.dtype if old is not None else DType.INT32
        rank = value.type.rank
        all_sizes = builder.emit(
            "concatenation",
            [builder.emit("shape", [value], out_type=dtype.name), builder.constant(np.array(sizes.now), dtype)],
            axis=0,
        )
        indices = [sources[i][0] if i in sources else rank + i for i in range(len(sizes.now))]
        scalar = old is not None and old.type.rank == 0
        found = builder.emit("gather", [all_sizes, builder.ints(indices[0] if scalar else indices)], axis=0)
        factors = [sources[i][1] if i in sources else 1 for i in range(len(sizes.now))]
        if any(factor != 1 for factor in factors):
            numbers = np.array(factors[0] if scalar else factors)
            found = builder.emit("mul", [found, builder.constant(numbers, dtype)])
        return found


def _write_reshape(graph: Graph, op: Op, shape: Sequence[int]) -> None:
    op.set_operands([op.operand(0), graph.constant(np.array(shape, np.int32))])
    op.attributes["new_shape"] = tuple(shape)


def _slice_to_the_end(graph: Graph, op: Op, axes: Sequence[int], numbers: Sequence[int]) -> None:
    """Write "to the end" as TFLite has it: a bit of `end_mask`, or a size of -1."""
    if op.opcode == "strided_slice":
        op.attributes["end_mask"] |= sum(1 << axis for axis in axes)
        return
    sizes = [-1 if i in axes else number for i, number in enumerate(numbers)]
    op.set_operand(2, graph.constant(np.array(sizes, op.operand(2).dtype.numpy)))
