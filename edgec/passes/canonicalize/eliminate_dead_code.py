"""Removes ops whose results nobody uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgec.ir.graph import Graph, Op
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS
from edgec.passes.base import GraphPass, PassContext


@dataclass(frozen=True)
class EliminateDeadCode(GraphPass):
    """Erase ops without used results, from the last to the first.

    Before:  %1 = relu(%0)          After:  %2 = tanh(%0)
             %2 = tanh(%0)                  return %2
             return %2

    Ops with side effects and ops that edgec does not know stay.
    """

    name: ClassVar[str] = "eliminate_dead_code"

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Erase in one graph; returns the number of ops erased."""
        erased = 0
        op = graph.last_op
        while op is not None:
            previous = op.previous
            if _is_dead(op):
                graph.erase(op)
                erased += 1
            op = previous
        live = set(graph.values())
        graph.declared = tuple(v for v in graph.declared if v in live)
        graph.idle = ()
        return erased

    def describe(self, changes: int) -> str:
        """The report's note."""
        return f"{changes} ops without used results erased"


def _is_dead(op: Op) -> bool:
    definition = OP_DEFS.get(op.opcode)
    if op.opcode in (CUSTOM, OPAQUE) or definition is None or definition.has_side_effects:
        return False
    if any(v is not None and v.is_variable for v in op.operands):
        return False
    return not any(result.use_count for result in op.results)
