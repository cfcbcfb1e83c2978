"""How a routed value is put together from its sources in their present orders, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ops import build

# What moving costs, in bytes copied in the same time. Measured with LiteRT 2.3 and XNNPACK on an x86 server, 56x56x112
# to 7x7x464 floats: 22 GB/s, 1 us for an op inside the delegate, 3 us for one outside, 2 ns for each piece gathered.
OP_COST = 16_000
GATHER_COST = 3 * OP_COST
GATHERED_PIECE_COST = 40
COPIED_PIECE_COST = 12


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring channels of one source (a number), from `start` on."""

    source: int
    start: int
    length: int


@dataclass(frozen=True)
class Assembly:
    """A value of `width` channels in rows, made of runs of sources.

    `source_widths` are the channels of the sources by number; `rows` and `item_bytes` say how much there is to copy.
    """

    runs: tuple[Run, ...]
    source_widths: tuple[tuple[int, int], ...]
    rows: int
    item_bytes: int

    @classmethod
    def of(cls, places: np.ndarray, widths: Sequence[int], rows: int, item_bytes: int) -> Assembly:
        """From pairs (source number, place in the source) for each channel."""
        breaks = (np.diff(places[:, 0]) != 0) | (np.diff(places[:, 1]) != 1)
        starts = [0, *(np.flatnonzero(breaks) + 1).tolist()]
        lengths = np.diff([*starts, len(places)]).tolist()
        runs = tuple(Run(int(places[s, 0]), int(places[s, 1]), n) for s, n in zip(starts, lengths))
        used = dict.fromkeys(run.source for run in runs)
        return cls(runs, tuple((number, widths[number]) for number in used), rows, item_bytes)

    @property
    def width(self) -> int:
        """Channels."""
        return sum(run.length for run in self.runs)

    def is_whole(self, run: Run) -> bool:
        """True where a run is all of its source."""
        return run.length == self._widths[run.source]

    @cached_property
    def _widths(self) -> dict[int, int]:
        return dict(self.source_widths)

    def slices(self) -> list[Run]:
        """The runs that have to be cut out of their sources."""
        return [run for run in dict.fromkeys(self.runs) if not self.is_whole(run)]

    def slice_cost(self, run: Run) -> int:
        """What cutting a run out costs."""
        return copy_cost(self.rows, run.length * self.item_bytes, 1)

    @cached_property
    def block(self) -> int:
        """The longest piece of which all runs, and all that lies between them, are multiples."""
        sizes = [n for run in self.runs for n in (run.start, run.length)] + [n for _, n in self.source_widths]
        return math.gcd(*sizes)

    @cached_property
    def joined_cost(self) -> int:
        """The cost of slices (without those themselves) and a concatenation."""
        return copy_cost(self.rows, self.width * self.item_bytes, len(self.runs)) if len(self.runs) > 1 else 0

    @cached_property
    def gathered_cost(self) -> int:
        """The cost of a gather of blocks from all sources joined."""
        total = sum(n for _, n in self.source_widths)
        joined = 0
        if len(self.source_widths) > 1:
            joined = copy_cost(self.rows, total * self.item_bytes, len(self.source_widths))
        return joined + gather_cost(self.rows, self.width * self.item_bytes, self.width // self.block)

    @cached_property
    def is_gathered(self) -> bool:
        """True where a gather is cheaper than slices and a concatenation."""
        cut = sum(self.slice_cost(run) for run in self.slices())
        return len(self.runs) > 1 and self.gathered_cost < cut + self.joined_cost


def copy_cost(rows: int, row_bytes: int, pieces: int) -> int:
    """What it costs to copy rows that consist of so many pieces."""
    return OP_COST + rows * (2 * row_bytes + pieces * COPIED_PIECE_COST)


def gather_cost(rows: int, row_bytes: int, pieces: int) -> int:
    """What it costs to gather rows from so many pieces."""
    return GATHER_COST + rows * (2 * row_bytes + pieces * GATHERED_PIECE_COST)


def routing_cost(op: Op) -> int:
    """What a routing op costs as it stands; a transpose as much as a gather, which is how other kernels run it."""
    result = op.results[0]
    total, last = sum(r.type.bytes for r in op.results), result.shape[-1]
    rows = result.type.elements // last
    if op.opcode in ("reshape", "squeeze", "expand_dims"):
        return 0
    if op.opcode == "gather":
        x = op.operand(0)
        return gather_cost(
            1, total, result.type.elements // math.prod(x.shape[op.attributes["axis"] % x.type.rank + 1 :])
        )
    if op.opcode in ("transpose", "reverse_v2"):
        return gather_cost(1, total, result.type.elements) + OP_COST
    if op.opcode == "strided_slice":
        return copy_cost(1, total, result.type.elements if op.operand(3).array().reshape(-1)[-1] != 1 else rows)
    if op.opcode == "slice":
        return copy_cost(1, total, rows)
    joins = op.opcode in ("concatenation", "pack")
    whole = result if joins else op.operand(1 if op.opcode == "split" else 0)
    pieces = math.prod(whole.shape[: _axis_of(op) % whole.type.rank]) * len(op.operands if joins else op.results)
    return copy_cost(1, total, pieces) + (len(op.results) - 1) * OP_COST // 4


def _axis_of(op: Op) -> int:
    """Along which axis a concatenation, pack, split or unpack works."""
    if op.opcode in ("split", "split_v"):
        return int(op.operand(0 if op.opcode == "split" else 2).array().reshape(-1)[0])
    return int(op.attributes["axis"])


class Assembler:
    """Emits assemblies; a slice that several need is made once, right behind its source."""

    def __init__(self, graph: Graph, sources: Sequence[Value]) -> None:
        self.graph = graph
        self.sources = sources
        self._slices: dict[Run, Value] = {}

    def emit(self, assembly: Assembly, like: Value, before: Op) -> Value:
        """A value of the shape of `like`, emitted before an op."""
        builder = build(self.graph, before=before, source=before.source)
        lead = like.shape[:-1] if like.shape[-1] == assembly.width else (assembly.rows,)
        result = (self._gathered if assembly.is_gathered else self._joined)(assembly, lead, builder)
        return _shaped(result, like.shape, builder)

    def _joined(self, assembly: Assembly, lead: tuple[int, ...], builder: Builder) -> Value:
        parts = []
        for run in assembly.runs:
            part = self.sources[run.source] if assembly.is_whole(run) else self._slice(run)
            parts.append(part if len(assembly.runs) == 1 else _shaped(part, (*lead, run.length), builder))
        return parts[0] if len(parts) == 1 else _concatenated(parts, builder)

    def _gathered(self, assembly: Assembly, lead: tuple[int, ...], builder: Builder) -> Value:
        offsets, offset = {}, 0
        for number, width in assembly.source_widths:
            offsets[number] = offset
            offset += width
        parts = [_shaped(self.sources[n], (*lead, width), builder) for n, width in assembly.source_widths]
        value = parts[0] if len(parts) == 1 else _concatenated(parts, builder)
        block = assembly.block
        first = np.concatenate([np.arange(run.length // block) + (offsets[run.source] + run.start) // block
                                for run in assembly.runs])  # fmt: skip
        if block > 1:
            value = _shaped(value, (assembly.rows, value.shape[-1] // block, block), builder)
        axis = 1 if block > 1 else value.type.rank - 1
        return builder.emit("gather", [value, builder.ints(first.tolist())], quant=value.quant, axis=axis)

    def _slice(self, run: Run) -> Value:
        if run not in self._slices:
            source = self.sources[run.source]
            following = source.producer.next if source.producer is not None else self.graph.first_op
            builder = build(self.graph, before=following, source=following.source if following else "")
            lead = [0] * (source.type.rank - 1)
            bounds = [builder.ints([*lead, run.start]), builder.ints([*source.shape[:-1], run.length])]
            self._slices[run] = builder.emit("slice", [source, *bounds], quant=source.quant)
        return self._slices[run]


def _concatenated(parts: Sequence[Value], builder: Builder) -> Value:
    return builder.emit("concatenation", parts, quant=parts[0].quant, axis=parts[0].type.rank - 1)


def _shaped(value: Value, shape: Sequence[int], builder: Builder) -> Value:
    if value.shape == tuple(shape):
        return value
    return builder.emit("reshape", [value, builder.ints(list(shape))], quant=value.quant, new_shape=tuple(shape))
