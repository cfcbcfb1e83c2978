"""Multiply-accumulates and bytes, op by op."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgec.ir.graph import Graph, Module, Op
from edgec.ir.op_def import Role
from edgec.ops import OP_DEFS
from edgec.ops.control import calls_of

UNPACKED_WEIGHTS = {Role.WEIGHT, Role.BIAS}


@dataclass(frozen=True, slots=True)
class OpCost:
    """What one op reads, writes and multiplies; bytes as stored, sub-byte elements packed.

    `weight_bytes` are constants (read once an inference), `read_bytes` activations read, `written_bytes` results.
    """

    macs: int
    weight_bytes: int
    read_bytes: int
    written_bytes: int


def op_cost(op: Op) -> OpCost:
    """MACs and bytes of one op; a custom or opaque op counts bytes only, its MACs are not known."""
    definition = OP_DEFS.get(op.opcode)
    constants = [v for v in op.operands if v is not None and v.is_constant]
    activations = [v for v in op.operands if v is not None and not v.is_constant]
    return OpCost(
        macs=definition.macs(op) if definition is not None else 0,
        weight_bytes=sum(v.type.bytes for v in constants),
        read_bytes=sum(v.type.bytes for v in activations),
        written_bytes=sum(v.type.bytes for v in op.results),
    )


def graph_macs(graph: Graph) -> int:
    """MACs of one run through a graph, without the graphs that its control flow calls."""
    return sum(op_cost(op).macs for op in graph.ops)


def module_macs(module: Module) -> int:
    """MACs of one inference: loops of a constant number of steps count each, other bodies and branches once."""
    runs = graph_runs(module)
    return sum(times * graph_macs(graph) for times, graph in zip(runs, module.graphs))


def graph_runs(module: Module) -> list[int]:
    """How often one inference runs each graph; 1 where that is only known at run time, or nothing calls it."""
    called = [[call for op in graph.ops for call in calls_of(op, module)] for graph in module.graphs]
    waiting = [0] * len(module.graphs)  # calls whose caller is not counted yet
    for index in (callee for calls in called for callee, _ in calls):
        waiting[index] += 1
    runs = [1 if not count else 0 for count in waiting]
    ready = [index for index, count in enumerate(waiting) if not count]
    while ready:  # callers before those they call: there is no recursion
        caller = ready.pop()
        for callee, times in called[caller]:
            runs[callee] += runs[caller] * times
            waiting[callee] -= 1
            if not waiting[callee]:
                ready.append(callee)
    return runs


def parameter_count(module: Module) -> int:
    """Elements of all weights and biases, shared ones once."""
    seen: set[int] = set()
    total = 0
    for data, elements in _parameters(module):
        if data not in seen:
            seen.add(data)
            total += elements
    return total


def _parameters(module: Module) -> Iterator[tuple[int, int]]:
    for graph in module.graphs:
        for op in graph.ops:
            definition = OP_DEFS.get(op.opcode)
            for index, value in enumerate(op.operands):
                if value is None or value.data is None or definition is None:
                    continue
                is_trained = definition.role(index) in UNPACKED_WEIGHTS
                if is_trained or (value.dtype.is_float and definition.role(index) is Role.ACTIVATION):
                    yield id(value.data), math.prod(value.shape)
