"""The layout pass: moves transposes through the graph until they cancel, and says why those that remain do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgec.ir.graph import Module
from edgec.passes.base import Pass, PassContext, PassResult
from edgec.passes.layout.explain import explain_transposes
from edgec.passes.layout.graph_layout import GraphLayout, Layouts

MAX_ROUNDS = 8


@dataclass(frozen=True)
class MoveTransposes(Pass):
    """Choose storage orders so that as few bytes as possible are transposed, and rewrite the graph in them.

    Before:  %1 = transpose(%0, NHWC)      After:  %2 = conv_2d(%0', $w)      %0' is %0 with channels last
             %2 = conv_2d(%1, $w)                  %4 = relu(%2)
             %3 = transpose(%2, NCHW)              return %4                  in channels-last order
             %4 = relu(%3)
             return %4

    Inputs and outputs of rank 3 to 5 take channels-last order where that saves a transpose, and
    `module.input_layout`/`output_layout` say so; `keep_nchw` leaves them as they are, with transposes at the border.
    Permutations of channels alone move into weights, or become a `gather` along the channels.
    """

    name: ClassVar[str] = "move_transposes"
    keep_nchw: bool = False

    def run(self, module: Module, context: PassContext) -> PassResult:
        """Rewrite every graph; only the main one's borders may change."""
        before = count_transposes(module)
        changes = 0
        for index, graph in enumerate(module.graphs):
            for _ in range(MAX_ROUNDS):
                layout = GraphLayout(graph, free_boundary=index == 0 and not self.keep_nchw)
                layout.improve()
                moved_inputs: Layouts = {}
                moved_outputs: Layouts = {}
                made = layout.write(moved_inputs, moved_outputs)
                _compose(module.input_layout, moved_inputs)
                _compose(module.output_layout, moved_outputs)
                changes += made
                if not made:
                    break
        if not changes:
            return PassResult(False)
        return PassResult(True, f"{before} transposes before, {count_transposes(module)} after")


def remaining_transposes(module: Module) -> list[str]:
    """One sentence for each transpose that is left: which one, what it moves, and what holds it on either side."""
    return [
        sentence for graph in module.graphs for sentence in explain_transposes(GraphLayout(graph, free_boundary=False))
    ]


def _compose(layout: dict[str, tuple[int, ...]], moved: Layouts) -> None:
    for name, permutation in moved.items():
        earlier = layout.pop(name, tuple(range(len(permutation))))
        total = tuple(earlier[axis] for axis in permutation)
        if total != tuple(range(len(total))):
            layout[name] = total


def count_transposes(module: Module) -> int:
    """The number of `transpose` ops in all graphs."""
    return sum(op.opcode == "transpose" for graph in module.graphs for op in graph.ops)
