"""Brings channels where they are needed with as little copying as possible, in whatever order costs least."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ops import build
from edgec.passes.base import GraphPass, PassContext
from edgec.passes.channels.assembly import Assembler, Assembly
from edgec.passes.channels.plan import Plan
from edgec.passes.channels.routing import Routing, trailing_permutation

MOVERS = ("gather", "transpose", "slice", "strided_slice", "split", "split_v", "pack", "unpack", "reverse_v2")
MOST_CHANNELS = 1 << 20  # of a value that is moved; a graph with more is left alone, to bound time and memory
MOST_TIED = 1 << 22  # of any value, whose channels may be tied to those of a moved one


@dataclass(frozen=True)
class RouteChannels(GraphPass):
    """Replace shuffles of channels by orders of weights, slices and concatenations.

    Before:  %1 = concatenation(%a, %b)            After:  %1 = slice(%a, second half)
             %2 = gather(%1, [0, 2, 1, 3])                 %2 = slice(%b, second half)
             %3, %4 = split(%2)                            %3 = concatenation(%1, %2)
             %5 = conv_2d(%4, $w)                          %5 = conv_2d(%3, $w')       $w' reads channels as they come

    The order of channels is free between ops with weights, which can read and write any: for every set of values that
    share an order one is chosen in which what is read together lies together. Then each value that was routed
    (concatenated, split, sliced, gathered, transposed within its channels) is put together anew from its sources, by
    slices and a concatenation or by one gather of the longest pieces. Routes are left alone where that does not pay,
    but for transposes within rows of channels, which become gathers.
    """

    name: ClassVar[str] = "route_channels"

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Rewrite one graph; returns the number of values put together anew."""
        moved = _widest(v for op in graph.ops if op.opcode in MOVERS for v in op.results)
        tied = (v for op in graph.ops for v in (*op.operands, *op.results) if v is not None)
        if not moved or moved > MOST_CHANNELS or _widest(tied) > MOST_TIED:
            return 0
        routing = Routing(graph)
        plan = Plan(graph, routing)
        changes = plan.write() if plan.improve() else 0
        return changes + sum(_gather_instead(op, graph) for op in routing.ops if op.opcode == "transpose")

    def describe(self, changes: int) -> str:
        """The report's note."""
        values = "1 value" if changes == 1 else f"{changes} values"
        return f"{values} put together from other values' channels"


def _widest(values: Iterable[Value]) -> int:
    return max((v.shape[-1] for v in values if v.type.rank), default=0)


def _gather_instead(op: Op, graph: Graph) -> bool:
    """Replace a transpose within rows of channels by a gather or slices, if it still stands."""
    if op.graph is not graph:
        return False
    found = trailing_permutation(op)
    assert found is not None  # or it would be no routing op
    kept, order = found
    x, rows = op.operand(0), math.prod(op.operand(0).shape[:kept])
    if x.shape != (rows, len(order)):
        builder = build(graph, before=op, source=op.source)
        ints = builder.ints([rows, len(order)])
        x = builder.emit("reshape", [x, ints], quant=x.quant, new_shape=(rows, len(order)))
    places = np.column_stack([np.zeros_like(order), order])
    assembly = Assembly.of(places, [len(order)], rows, x.dtype.numpy.itemsize)
    value = Assembler(graph, [x]).emit(assembly, op.result, op)
    if value is not x:
        value.name = op.result.name
    elif op.result.is_output:
        return False  # nothing moves, and an output needs an op of its own
    graph.replace(op, [value])
    return True
