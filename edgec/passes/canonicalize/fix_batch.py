"""Fixes an open batch dimension at the size the file states (1 in practice)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from edgec.diagnostics import Note, Severity
from edgec.errors import VerificationError
from edgec.ir.graph import Graph, Value
from edgec.ops import verify
from edgec.passes.base import GraphPass, PassContext


@dataclass(frozen=True)
class FixBatch(GraphPass):
    """Make shapes static where only the batch was open.

    Before:  graph @main(%x: float32[1,640] signature [-1, 640])      After:  graph @main(%x: float32[1,640])

    A graph whose inputs leave other dimensions open, or whose stored shapes do not follow from its inputs', stays.
    """

    name: ClassVar[str] = "fix_batch"

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Fix one graph; returns the number of values whose shape became static."""
        dynamic = [v for v in graph.values() if v.type.is_dynamic]
        if not dynamic or not graph.inputs or not all(only_batch_open(v) for v in graph.inputs):
            return 0
        kept = {v: v.type for v in dynamic}
        for value in dynamic:
            value.type = replace(value.type, signature=None)
        try:
            verify(graph)
        except VerificationError:
            for value, type_ in kept.items():
                value.type = type_
            return 0
        opened = [v for v in graph.inputs if v in kept] or dynamic
        message = f"the open batch of graph '{graph.name}' was fixed at {opened[0].shape[0]}"
        context.notes.append(Note(Severity.INFO, f"graph '{graph.name}'", message))
        return len(dynamic)

    def describe(self, changes: int) -> str:
        """The report's note."""
        return f"{changes} shapes made static"


def only_batch_open(value: Value) -> bool:
    """Whether no other dimension than the first is open."""
    signature = value.type.signature
    return signature is None or not value.type.is_dynamic or -1 not in signature[1:]
