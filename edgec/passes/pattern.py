"""Rewrite rules: find, refuse with a reason, replace."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from edgec.diagnostics import Note, Severity
from edgec.ir.builder import Builder
from edgec.ir.graph import Graph, Op, Value
from edgec.ops import build
from edgec.passes.base import GraphPass, PassContext

M = TypeVar("M")
MAX_SWEEPS = 50


class RewriteRule(ABC, Generic[M]):
    """One rewrite.

    `anchors` names the opcodes the rule starts from. `pattern` returns what it found around an anchor, or None; `check`
    returns why the rewrite must not be made, or None; `rewrite` makes it, emitting before the anchor, and leaves the
    anchor without uses or erased.
    """

    anchors: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """The rule's name in `--explain`."""
        return type(self).__name__

    @abstractmethod
    def pattern(self, op: Op) -> M | None:
        """What the rule needs around `op`, None where the structure is not there."""

    def check(self, match: M) -> str | None:
        """Why the rewrite must not be made; None where it may."""
        return None

    @abstractmethod
    def rewrite(self, match: M, builder: Builder) -> None:
        """Make the rewrite; `builder` emits before the anchor and carries its source."""

    def explain(self, op: Op) -> str | None:
        """Why the rule does not rewrite `op`; None where it would."""
        match = self.pattern(op) if op.opcode in self.anchors else None
        return "the pattern is not there" if match is None else self.check(match)


@dataclass(frozen=True)
class RewritePass(GraphPass):
    """Applies rules, sweep after sweep in execution order, until none applies.

    After `MAX_SWEEPS` it stops all the same, with a warning: the graph is as good as before, the work is not done.
    """

    rules: ClassVar[tuple[RewriteRule[Any], ...]] = ()

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Rewrite one graph; returns the number of rewrites."""
        total = 0
        for _ in range(MAX_SWEEPS):
            changes = self._sweep(graph, context)
            total += changes
            if not changes:
                break
        else:
            context.notes.append(_unfinished(self.name, graph))
        if context.explain:
            self._explain(graph, context)
        return total

    def describe(self, changes: int) -> str:
        """The report's note."""
        return f"{changes} rewrites" if changes != 1 else "1 rewrite"

    def _sweep(self, graph: Graph, context: PassContext) -> int:
        changes = 0
        by_opcode: dict[str, list[RewriteRule[Any]]] = {}
        for rule in self.rules:
            for opcode in rule.anchors:
                by_opcode.setdefault(opcode, []).append(rule)
        for op in graph.ops:
            for rule in by_opcode.get(op.opcode, ()):
                match = rule.pattern(op)
                if match is None or rule.check(match) is not None:
                    continue
                rule.rewrite(match, build(graph, before=op, source=op.source))
                changes += 1
                if op.graph is not graph:
                    break
        return changes

    def _explain(self, graph: Graph, context: PassContext) -> None:
        for op in graph.ops:
            for rule in self.rules:
                if op.opcode not in rule.anchors:
                    continue
                match = rule.pattern(op)
                reason = None if match is None else rule.check(match)
                if reason is not None:
                    context.refusals.append((rule.name, op.describe(), reason))


def _unfinished(name: str, graph: Graph) -> Note:
    found = f"it still found something to rewrite in graph '{graph.name}' after {MAX_SWEEPS} sweeps, and was stopped"
    advice = "the artifact is checked as any other but may hold needless ops; please report it"
    return Note(Severity.WARNING, f"pass '{name}'", f"{found}; {advice}")


def erase_dead(op: Op | None) -> None:
    """Erase an op without used results, and then what fed only it."""
    pending = [op]
    while pending:
        candidate = pending.pop()
        if candidate is None or candidate.graph is None or any(r.use_count for r in candidate.results):
            continue
        producers = [v.producer for v in candidate.operands if v is not None]
        candidate.graph.erase(candidate)
        pending.extend(dict.fromkeys(producers))


def constant_operand(op: Op) -> tuple[Value, Value] | None:
    """(computed operand, constant operand) of a binary op with exactly one constant, else None."""
    a, b = op.operand(0), op.operand(1)
    if a.is_constant == b.is_constant:
        return None
    return (b, a) if a.is_constant else (a, b)
