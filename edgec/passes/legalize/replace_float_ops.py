"""Float ops that a target for integers lacks in every dtype, written out before quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgec.errors import PassError
from edgec.ir.graph import Module
from edgec.ops import build
from edgec.passes.base import Pass, PassContext, PassResult
from edgec.passes.legalize.replace_activation import GeluByTanh
from edgec.passes.legalize.replace_arithmetic import NegByMul, SquareByMul
from edgec.passes.legalize.rule import TargetRule

RULES: tuple[TargetRule, ...] = (GeluByTanh(), SquareByMul(), NegByMul())


@dataclass(frozen=True)
class ReplaceFloatOps(Pass):
    """Write float gelu, square and neg in ops that the target has, so that each part gets a range of its own.

    `legalize` comes after quantization, which refuses an op without an integer kernel.
    """

    name: ClassVar[str] = "replace_float_ops"

    def run(self, module: Module, context: PassContext) -> PassResult:
        """Rewrite every graph; raises PassError where the context has no target."""
        target = context.target
        if target is None:
            raise PassError(f"Pass '{self.name}' needs a target: say for which device the model is compiled.")
        changed: dict[str, int] = {}
        for graph in module.graphs:
            for op in list(graph.ops):
                rule = next((r for r in RULES if op.opcode in r.anchors and r.needed(op, target)), None)
                if rule is not None:
                    rule.rewrite(op, build(graph, before=op, source=op.source), target)
                    changed[rule.name] = changed.get(rule.name, 0) + 1
        return PassResult(bool(changed), ", ".join(f"{name} {count}" for name, count in changed.items()))
