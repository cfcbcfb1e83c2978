"""What a module weighs before it is compressed."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.cost.macs import module_macs, parameter_count
from edgec.ir.graph import Module


@dataclass(frozen=True)
class Snapshot:
    """MACs of one inference, trained parameters, ops, and bytes of all constants."""

    macs: int
    parameters: int
    ops: int
    constant_bytes: int

    @classmethod
    def of(cls, module: Module) -> Snapshot:
        """Take the figures of a module as it is now."""
        constants = {id(v.data): v.type.bytes for graph in module.graphs for v in graph.constants()}
        ops = sum(len(graph) for graph in module.graphs)
        return cls(module_macs(module), parameter_count(module), ops, sum(constants.values()))
