"""A copy of a module that can be changed without changing the original; constants' arrays are shared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgec.ir.graph import Graph, Module, Op, Value


@dataclass(frozen=True)
class Clone:
    """The copy, and what became of each op and value of the original."""

    module: Module
    ops: Mapping[Op, Op]
    values: Mapping[Value, Value]


def clone_module(module: Module) -> Module:
    """Copy graphs, ops and values; the data of constants is shared, since nothing writes into it in place."""
    return clone_with_maps(module).module


def clone_with_maps(module: Module) -> Clone:
    """Copy a module and tell which op and value became which."""
    cloner = _Cloner()
    copy = replace(
        module,
        graphs=[cloner.graph(graph) for graph in module.graphs],
        signatures=list(module.signatures),
        metadata=dict(module.metadata),
        input_layout=dict(module.input_layout),
        output_layout=dict(module.output_layout),
        extra=dict(module.extra),
        notes=list(module.notes),
    )
    return Clone(copy, cloner.ops, cloner.values)


class _Cloner:
    def __init__(self) -> None:
        self.ops: dict[Op, Op] = {}
        self.values: dict[Value, Value] = {}

    def graph(self, graph: Graph) -> Graph:
        copy = Graph(graph.name)
        copy.extra = dict(graph.extra)
        copy._fresh = graph._fresh
        copy.inputs = self._copies(graph.inputs)
        for op in graph.ops:
            self.ops[op] = copy.append(self._op(op))
        copy.outputs = self._copies(graph.outputs)
        copy.declared = self._copies(graph.declared)
        copy.idle = self._copies(graph.idle)
        return copy

    def _op(self, op: Op) -> Op:
        return Op(
            op.opcode,
            [None if v is None else self._copy(v) for v in op.operands],
            self._copies(op.results),
            op.attributes,
            name=op.name,
            source=op.source,
            version=op.version,
            intermediates=self._copies(op.intermediates),
            extra=dict(op.extra),
        )

    def _copies(self, values: Iterable[Value]) -> tuple[Value, ...]:
        return tuple(self._copy(value) for value in values)

    def _copy(self, value: Value) -> Value:
        if value not in self.values:
            made = Value(value.name, value.type, value.data, is_variable=value.is_variable, sparsity=value.sparsity)
            self.values[value] = made
            made.extra = self._extra(value.extra)
        return self.values[value]

    def _extra(self, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        """The extra fields; quantization details name other values, which are copied along."""
        details = extra.get("quant_details")
        if details is None:
            return dict(extra)
        renamed = {key: self._copy(item) if isinstance(item, Value) else item for key, item in details.items()}
        return {**extra, "quant_details": renamed}
