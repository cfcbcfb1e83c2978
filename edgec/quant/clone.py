"""A copy of a module that shares only the constants' arrays with the original."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgec.ir.graph import Graph, Module, Op, Value


@dataclass(frozen=True)
class Clone:
    """The copy, and what became of each op and value of the original."""

    module: Module
    ops: Mapping[Op, Op]
    values: Mapping[Value, Value]


def clone_module(module: Module) -> Clone:
    """Copy graphs, ops and values; arrays of constants are shared, as passes replace them and never write into them."""
    ops: dict[Op, Op] = {}
    values: dict[Value, Value] = {}
    graphs = [_clone_graph(graph, ops, values) for graph in module.graphs]
    copy = replace(
        module,
        graphs=graphs,
        signatures=list(module.signatures),
        metadata=dict(module.metadata),
        input_layout=dict(module.input_layout),
        output_layout=dict(module.output_layout),
        extra=dict(module.extra),
        notes=list(module.notes),
    )
    return Clone(copy, ops, values)


def _clone_graph(graph: Graph, ops: dict[Op, Op], values: dict[Value, Value]) -> Graph:
    def copy_of(value: Value) -> Value:
        if value not in values:
            values[value] = Value(
                value.name, value.type, value.data,
                is_variable=value.is_variable, sparsity=value.sparsity, extra=value.extra,
            )  # fmt: skip
        return values[value]

    copy = Graph(graph.name)
    copy.extra = dict(graph.extra)
    copy.inputs = [copy_of(v) for v in graph.inputs]
    for op in graph.ops:
        ops[op] = copy.append(
            Op(
                op.opcode,
                [None if v is None else copy_of(v) for v in op.operands],
                [copy_of(v) for v in op.results],
                op.attributes,
                name=op.name,
                source=op.source,
                version=op.version,
                intermediates=[copy_of(v) for v in op.intermediates],
                extra=op.extra,
            )
        )
    copy.outputs = [copy_of(v) for v in graph.outputs]
    copy.declared = tuple(values[v] for v in graph.declared if v in values)
    copy._fresh = graph._fresh
    return copy
