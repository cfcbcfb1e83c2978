"""The manager records what passes did and finds the pass that broke a module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.passes.base import GraphPass, Pass, PassContext, PassResult
from edgec.passes.manager import run_passes


def module_of_relus(count: int) -> Module:
    graph = Graph()
    value = graph.add_input("x", TensorType((1, 2), DType.FLOAT32))
    for index in range(count):
        value = build(graph).emit("relu", [value], name=f"relu{index}")
    graph.outputs = [value]
    return Module([graph, Graph("empty")])


@dataclass(frozen=True)
class DropLast(GraphPass):
    """Erase up to `count` ops from the end."""

    name: ClassVar[str] = "drop_last"
    count: int = 1

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        changes = 0
        while changes < self.count and graph.last_op is not None:
            graph.replace_all_uses(graph.last_op.result, graph.last_op.operand(0))
            graph.erase(graph.last_op)
            changes += 1
        return changes


@dataclass(frozen=True)
class Break(Pass):
    """Break the module, and say so or not."""

    name: ClassVar[str] = "break"
    honest: bool = True

    def run(self, module: Module, context: PassContext) -> PassResult:
        assert module.main.last_op is not None
        module.main.last_op.result.type = TensorType((9,), DType.FLOAT32)
        return PassResult(self.honest)


@dataclass(frozen=True)
class Nothing(Pass):
    """Change nothing."""

    name: ClassVar[str] = "nothing"

    def run(self, module: Module, context: PassContext) -> PassResult:
        return PassResult(False)


def test_records_tell_what_each_pass_did() -> None:
    module, seen = module_of_relus(3), []
    passes = [DropLast(count=2), Nothing(), DropLast()]
    records = run_passes(module, passes, PassContext(), after_each=lambda p, m: seen.append((p.name, len(m.main))))
    assert [(r.name, r.options, r.changed, r.note) for r in records] == [
        ("drop_last", {"count": 2}, True, "2 changes"),
        ("nothing", {}, False, ""),
        ("drop_last", {"count": 1}, True, "1 change"),
    ]
    assert all(r.seconds > 0 for r in records)
    assert [dict(r.figures) for r in records] == [{"changes": 2}, {}, {"changes": 1}]
    assert seen == [("drop_last", 1), ("nothing", 1), ("drop_last", 0)]
    assert run_passes(module, passes[:1], PassContext())[0].changed is False


def test_the_pass_that_breaks_the_module_is_named() -> None:
    why = "graph 'main': relu 'relu0': result 'relu0' is float32[9], inference gives float32[1,2]"
    with pytest.raises(AssertionError) as caught:
        run_passes(module_of_relus(1), [Nothing(), Break(), Nothing()], PassContext())
    assert str(caught.value) == f"one of the passes nothing, break broke the module: {why}"
    with pytest.raises(AssertionError) as caught:
        run_passes(module_of_relus(1), [Break(honest=False)], PassContext())
    assert str(caught.value) == f"pass 'break' broke the module: {why}"
    with pytest.raises(AssertionError) as caught:
        run_passes(module_of_relus(1), [Break(honest=False), Nothing()], PassContext())
    assert str(caught.value) == f"one of the passes break, nothing broke the module: {why}"


def test_no_passes() -> None:
    assert run_passes(module_of_relus(1), [], PassContext()) == []
