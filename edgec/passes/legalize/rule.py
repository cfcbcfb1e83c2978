"""What a rewrite towards a target is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.target.constraints import KernelExists
from edgec.target.target import Target

KERNEL_EXISTS = KernelExists()


class TargetRule(ABC):
    """A rewrite made only where the target needs it.

    `needed` asks the target; `rewrite` emits before the op and replaces it. What a rule cannot rewrite it leaves, and
    the legality check after all rules reports it.
    """

    anchors: ClassVar[tuple[str, ...]] = ()  # empty: every op

    @property
    def name(self) -> str:
        """The rule's name in reports."""
        return type(self).__name__

    @abstractmethod
    def needed(self, op: Op, target: Target) -> bool:
        """True where the target cannot run the op as it is and this rule can change that."""

    @abstractmethod
    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """Replace the op, or change it in place, so that `needed` no longer holds."""


def lacks(op: Op, target: Target) -> bool:
    """True where the target has no kernel for the op with its dtype now, nor with the one quantization will give."""
    return KERNEL_EXISTS.check(op, target) is not None or not _runs_quantized(op, target)


def _runs_quantized(op: Op, target: Target) -> bool:
    planned = target.compute_dtype[target.default_scheme]
    return planned not in ("int8", "int16") or target.supports(op.opcode, planned)


def replace_named(op: Op, builder: Builder, result: Value) -> None:
    """Replace an op of one result by a new value, which takes over the name."""
    result.name = op.result.name
    builder.graph.replace(op, [result])
