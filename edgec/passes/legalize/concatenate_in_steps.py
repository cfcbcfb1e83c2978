"""Concatenations of many tensors in steps."""

from __future__ import annotations

from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.passes.legalize.rule import TargetRule, replace_named
from edgec.target.target import Target


class ConcatenateInSteps(TargetRule):
    """Join more tensors than the kernel takes (`max_concat_inputs`) by several concatenations.

    Before:  %r = concatenation(12 tensors)      After:  %a = concatenation(10 of them)
                                                         %r = concatenation(%a, the other 2)
    """

    anchors: ClassVar[tuple[str, ...]] = ("concatenation",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where there are too many."""
        return target.max_concat_inputs is not None and len(op.operands) > max(target.max_concat_inputs, 2)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """Join the first tensors until few enough are left: no more is copied twice than must be."""
        limit = max(target.max_concat_inputs or 2, 2)
        parts = [op.operand(i) for i in range(len(op.operands))]
        while len(parts) > limit:
            taken = min(limit, len(parts) - limit + 1)
            parts = [self._join(parts[:taken], op, builder, "NONE"), *parts[taken:]]
        activation = op.attributes["fused_activation_function"]
        replace_named(op, builder, self._join(parts, op, builder, activation, op.name))

    def _join(self, parts: list[Value], op: Op, builder: Builder, activation: str, name: str = "") -> Value:
        return builder.emit(
            "concatenation", parts, axis=op.attributes["axis"], fused_activation_function=activation, name=name,
            quant=op.result.quant,
        )  # fmt: skip
