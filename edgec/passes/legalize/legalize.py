"""The last pass: what the target cannot run is rewritten where that is exact, and the rest refused all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgec.errors import LoweringError, PassError
from edgec.ir.graph import Graph, Module
from edgec.ops import build
from edgec.passes.base import Pass, PassContext, PassResult
from edgec.passes.legalize import decompose_rank, merge_dimensions
from edgec.passes.legalize.add_zero_bias import AddZeroBias
from edgec.passes.legalize.concatenate_in_steps import ConcatenateInSteps
from edgec.passes.legalize.narrow_indices import NarrowIndices
from edgec.passes.legalize.narrow_parameters import NarrowParameters
from edgec.passes.legalize.replace_activation import ClampByExtremes, GeluByTanh, SeparateActivation
from edgec.passes.legalize.replace_arithmetic import NegByMul, SquareByMul, TileByConcatenation
from edgec.passes.legalize.rule import TargetRule
from edgec.passes.legalize.split_grouped_conv import SplitGroupedConv
from edgec.target.constraints import Refusal, check_legality
from edgec.target.target import Target

RULES: tuple[TargetRule, ...] = (
    NarrowParameters(),  # before rules that read parameters
    NarrowIndices(),
    SeparateActivation(),  # before clamps, which it makes
    SplitGroupedConv(),  # before concatenations, which it makes
    TileByConcatenation(),
    ConcatenateInSteps(),
    ClampByExtremes(),
    GeluByTanh(),
    SquareByMul(),
    NegByMul(),
    *merge_dimensions.RULES,
    *decompose_rank.BEFORE_TRANSPOSES,  # which makes transposes
    *decompose_rank.RULES,  # after merging, which costs less
    AddZeroBias(),
)
MAX_SWEEPS = 10


@dataclass(frozen=True)
class Legalize(Pass):
    """Rewrite what the target cannot run as it is, and refuse what it cannot run at all.

    Raises LoweringError with one line for each refused op: the op, what was found, what would do.
    """

    name: ClassVar[str] = "legalize"

    def run(self, module: Module, context: PassContext) -> PassResult:
        """Rewrite every graph, then check the module.

        Raises:
            PassError: the context has no target.
            LoweringError: some op has no form that runs on the target.
        """
        target = context.target
        if target is None:
            raise PassError("Pass 'legalize' needs a target: say for which device the model is compiled.")
        changed: dict[str, int] = {}
        for graph in module.graphs:
            _rewrite(graph, target, changed)
        refusals = check_legality(module, target)
        if refusals:
            raise LoweringError(refusal_text(refusals, target))
        note = ", ".join(f"{name} {count}" for name, count in changed.items())
        return PassResult(bool(changed), note)


def _rewrite(graph: Graph, target: Target, changed: dict[str, int]) -> None:
    for _ in range(MAX_SWEEPS):
        before = sum(changed.values())
        for rule in RULES:
            for op in graph.ops:
                if (not rule.anchors or op.opcode in rule.anchors) and rule.needed(op, target):
                    rule.rewrite(op, build(graph, before=op, source=op.source), target)
                    changed[rule.name] = changed.get(rule.name, 0) + 1
        if sum(changed.values()) == before:
            return


def refusal_text(refusals: list[Refusal], target: Target) -> str:
    """One message for all refusals, a line each."""
    count = "1 op" if len(refusals) == 1 else f"{len(refusals)} ops"
    lines = "".join(f"\n  {refusal}" for refusal in refusals)
    return f"Lowering the model for target {target.name}: {count} cannot run there:{lines}"
