"""Removes ops whose results nobody uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from edgec.ir.graph import Graph, Module, Op
from edgec.ir.verify import CALLED_GRAPHS, CUSTOM, OPAQUE
from edgec.ops import OP_DEFS
from edgec.passes.base import GraphPass, PassContext, PassResult

PURE_CALLS = ("if", "while")  # ops without side effects of their own: what they call may have some


@dataclass(frozen=True)
class EliminateDeadCode(GraphPass):
    """Erase ops without used results, from the last to the first.

    Before:  %1 = relu(%0)          After:  %2 = tanh(%0)
             %2 = tanh(%0)                  return %2
             return %2

    Ops with side effects and ops that edgec does not know stay; an `if` or `while` goes where its graphs hold none. A
    graph that lost its last call is removed, and the others are numbered anew.
    """

    name: ClassVar[str] = "eliminate_dead_code"

    def run(self, module: Module, context: PassContext) -> PassResult:
        """Erase in every graph until nothing is left to erase, then drop graphs that lost their last call."""
        before = _called(module)
        changes = 0
        calls = 1
        while calls:
            changes += sum(self.run_on_graph(graph, context) for graph in module.graphs)
            calls = _erase_idle_calls(module)
            changes += calls
        _drop_graphs(module, before - _called(module))
        return PassResult(changes > 0, self.describe(changes) if changes else "")

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


def _called(module: Module) -> set[int]:
    return {index for graph in module.graphs for op in graph.ops for index in _callees(op)}


def _callees(op: Op) -> list[int]:
    return [int(op.attributes[name]) for name in CALLED_GRAPHS.get(op.opcode, ())]


def _erase_idle_calls(module: Module) -> int:
    """Erase `if` and `while` ops without used results or side effects; returns how many."""
    idle = [
        (graph, op)
        for graph in module.graphs
        for op in graph.ops
        if op.opcode in PURE_CALLS and not any(r.use_count for r in op.results) and _is_pure(op, module)
    ]
    for graph, op in idle:
        graph.erase(op)
    return len(idle)


def _is_pure(op: Op, module: Module) -> bool:
    """True where nothing in the graphs that the op calls acts on anything but its results."""
    return all(_acts_alone(inner, module) for index in _callees(op) for inner in module.graphs[index].ops)


def _acts_alone(op: Op, module: Module) -> bool:
    if op.opcode in PURE_CALLS:
        return _is_pure(op, module)
    definition = OP_DEFS.get(op.opcode)
    if op.opcode in (CUSTOM, OPAQUE) or definition is None or definition.has_side_effects:
        return False
    return not any(v is not None and v.is_variable for v in op.operands)


def _drop_graphs(module: Module, dropped: set[int]) -> None:
    """Remove graphs that lost their last call, unless a signature names them, and number the others anew."""
    dropped -= {0, *(signature.graph_index for signature in module.signatures)}
    while dropped:
        before = _called(module)  # by those that go as well
        number = {old: new for new, old in enumerate(i for i in range(len(module.graphs)) if i not in dropped)}
        module.graphs[:] = [module.graphs[old] for old in number]
        for op in (op for graph in module.graphs for op in graph.ops):
            for name in CALLED_GRAPHS.get(op.opcode, ()):
                op.attributes[name] = number[int(op.attributes[name])]
        module.signatures[:] = [replace(s, graph_index=number[s.graph_index]) for s in module.signatures]
        left = {number[old] for old in before if old in number} - _called(module)
        dropped = left - {0, *(signature.graph_index for signature in module.signatures)}


def _is_dead(op: Op) -> bool:
    definition = OP_DEFS.get(op.opcode)
    if op.opcode in (CUSTOM, OPAQUE) or definition is None or definition.has_side_effects:
        return False
    if any(v is not None and v.is_variable for v in op.operands):
        return False
    return not any(result.use_count for result in op.results)
