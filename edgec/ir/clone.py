"""A copy of a module that can be changed without changing the original; constants' arrays are shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from edgec.ir.graph import Graph, Module, Op, Value


def clone_module(module: Module) -> Module:
    """Copy graphs, ops and values; the data of constants is shared, since nothing writes into it in place."""
    return replace(
        module,
        graphs=[clone_graph(graph) for graph in module.graphs],
        signatures=list(module.signatures),
        metadata=dict(module.metadata),
        input_layout=dict(module.input_layout),
        output_layout=dict(module.output_layout),
        extra=dict(module.extra),
        notes=list(module.notes),
    )


def clone_graph(graph: Graph) -> Graph:
    """Copy one graph with its ops and values, in order."""
    copies: dict[Value, Value] = {}
    copy = Graph(graph.name)
    copy.extra = dict(graph.extra)
    copy._fresh = graph._fresh
    copy.inputs = _copied(copies, graph.inputs)
    for op in graph.ops:
        made = Op(
            op.opcode,
            [None if v is None else _copy(copies, v) for v in op.operands],
            _copied(copies, op.results),
            op.attributes,
            name=op.name,
            source=op.source,
            version=op.version,
            intermediates=_copied(copies, op.intermediates),
            extra=dict(op.extra),
        )
        copy.append(made)
    copy.outputs = _copied(copies, graph.outputs)
    copy.declared = _copied(copies, graph.declared)
    copy.idle = _copied(copies, graph.idle)
    return copy


def _copied(copies: dict[Value, Value], values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(_copy(copies, value) for value in values)


def _copy(copies: dict[Value, Value], value: Value) -> Value:
    if value not in copies:
        made = Value(value.name, value.type, value.data, is_variable=value.is_variable, sparsity=value.sparsity)
        copies[value] = made
        made.extra = _copied_extra(copies, value.extra)
    return copies[value]


def _copied_extra(copies: dict[Value, Value], extra: Mapping[str, Any]) -> Mapping[str, Any]:
    """The extra fields; quantization details name other values, which are copied along."""
    details = extra.get("quant_details")
    if details is None:
        return dict(extra)
    renamed = {key: _copy(copies, item) if isinstance(item, Value) else item for key, item in details.items()}
    return {**extra, "quant_details": renamed}
