"""Rewrite rules on a toy vocabulary: order, reasons, and the helpers around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgec.diagnostics import Severity
from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import TensorType
from edgec.ops import build, verify
from edgec.passes.base import PassContext
from edgec.passes.pattern import RewritePass, RewriteRule, constant_operand, erase_dead


class HalveNegation(RewriteRule[tuple[Op, Op]]):
    """neg(neg(x)) -> x, where the inner one has no other user."""

    anchors = ("neg",)

    def pattern(self, op: Op) -> tuple[Op, Op] | None:
        inner = op.operand(0).producer
        return (inner, op) if inner is not None and inner.opcode == "neg" else None

    def check(self, match: tuple[Op, Op]) -> str | None:
        inner, op = match
        others = [user.name for user in inner.result.users if user is not op]
        return f"'{inner.name}' is also used by '{others[0]}'" if others else None

    def rewrite(self, match: tuple[Op, Op], builder: Builder) -> None:
        inner, op = match
        builder.graph.replace(op, [inner.operand(0)])
        erase_dead(inner)


class AbsForRelu(RewriteRule[Op]):
    """relu -> abs; shows that a replacement carries the source of what it replaces."""

    anchors = ("relu",)

    def pattern(self, op: Op) -> Op | None:
        return op

    def rewrite(self, match: Op, builder: Builder) -> None:
        match_result = builder.emit("abs", [match.operand(0)], name="new")
        builder.graph.replace(match, [match_result])


@dataclass(frozen=True)
class Toy(RewritePass):
    """Both rules."""

    name: ClassVar[str] = "toy"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (HalveNegation(), AbsForRelu())


def chain(*opcodes: str) -> Graph:
    graph = Graph()
    value = graph.add_input("x", TensorType((2,), DType.FLOAT32))
    for index, opcode in enumerate(opcodes):
        value = build(graph, source=f"/{index}").emit(opcode, [value], name=f"{opcode}{index}")
    graph.outputs = [value]
    return graph


def opcodes(graph: Graph) -> list[str]:
    return [op.opcode for op in graph.ops]


def test_rules_apply_until_none_does_and_then_never_again() -> None:
    graph = chain("neg", "neg", "neg", "neg", "neg")
    assert Toy().run_on_graph(graph, PassContext()) == 2
    verify(graph)
    assert opcodes(graph) == ["neg"]
    assert Toy().run_on_graph(graph, PassContext()) == 0


def test_rules_without_an_end_are_stopped_and_told_of() -> None:
    class Swap(RewriteRule[Op]):
        anchors = ("neg", "abs")

        def pattern(self, op: Op) -> Op | None:
            return op

        def rewrite(self, match: Op, builder: Builder) -> None:
            opcode = "abs" if match.opcode == "neg" else "neg"
            builder.graph.replace(match, [builder.emit(opcode, [match.operand(0)], name=f"{match.name}'")])

    class Endless(RewritePass):
        name = "endless"
        rules = (Swap(),)

    context = PassContext()
    assert Endless().run_on_graph(chain("neg"), context) == 50
    (note,) = context.notes
    assert (note.severity, note.where) == (Severity.WARNING, "pass 'endless'")
    assert note.message == (
        "it still found something to rewrite in graph 'main' after 50 sweeps, and was stopped; the artifact is checked "
        "as any other but may hold needless ops; please report it"
    )
    finished = PassContext()
    Toy().run_on_graph(chain("neg", "neg"), finished)
    assert not finished.notes


def test_replacements_stand_in_place_and_carry_the_source() -> None:
    graph = chain("neg", "relu", "neg")
    assert Toy().run_on_graph(graph, PassContext()) == 1
    verify(graph)
    assert opcodes(graph) == ["neg", "abs", "neg"]
    assert [op.source for op in graph.ops] == ["/0", "/1", "/2"]


def test_refusals_are_told() -> None:
    graph = chain("neg", "neg")
    first, second = graph.ops
    graph.outputs = [second.result, build(graph).emit("abs", [first.result], name="other")]
    rule = HalveNegation()
    assert rule.explain(first) == "the pattern is not there"
    assert rule.explain(second) == "'neg0' is also used by 'other'"
    assert AbsForRelu().explain(first) == "the pattern is not there"
    assert AbsForRelu().explain(next(iter(chain("relu").ops))) is None
    context = PassContext(explain=True)
    assert Toy().run_on_graph(graph, context) == 0
    assert context.refusals == [("HalveNegation", "neg 'neg1' (/1)", "'neg0' is also used by 'other'")]


def test_notes_count() -> None:
    assert (Toy().describe(1), Toy().describe(2)) == ("1 rewrite", "2 rewrites")


def test_erasing_the_dead_stops_at_what_is_used() -> None:
    graph = chain("neg", "abs", "relu")
    first, second, third = graph.ops
    graph.outputs = [first.result]
    erase_dead(second)  # still feeds the third
    assert opcodes(graph) == ["neg", "abs", "relu"]
    erase_dead(third)
    assert opcodes(graph) == ["neg"]
    erase_dead(None)
    erase_dead(third)  # already gone


def test_the_constant_of_a_binary_op() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType((2,), DType.FLOAT32))
    c = graph.constant(np.ones(2, np.float32))

    def found(a: Value, b: Value) -> tuple[Value, Value] | None:
        return constant_operand(build(graph).emit_op("add", [a, b]))

    assert found(x, c) == (x, c)
    assert found(c, x) == (x, c)
    assert found(x, x) is None
    assert found(c, c) is None
