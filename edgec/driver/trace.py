"""What passes leave for the user: notes, refused rewrites, and the module's text form after each that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edgec.ir.graph import Module
from edgec.ir.printer import print_module
from edgec.ops import OP_DEFS
from edgec.passes.base import Pass, PassContext
from edgec.passes.manager import PassRecord, run_passes
from edgec.target.target import Target

ALL = "all"


@dataclass
class Trace:
    """The trace of one sequence of passes for a target.

    Refusals are collected with `explain`, text forms after the pass that `print_after` names, or after `all`.
    """

    target: Target
    explain: bool = False
    print_after: str | None = None
    context: PassContext = field(init=False)
    listing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context = PassContext(self.target, explain=self.explain)

    def run(self, module: Module, passes: Sequence[Pass]) -> list[PassRecord]:
        """Run passes and keep what they leave; raises as `run_passes` does."""
        return run_passes(module, passes, self.context, after_each=self._after_each)

    def branch(self) -> Trace:
        """An empty trace that keeps the same: of a trial, which may come to nothing."""
        return Trace(self.target, self.explain, self.print_after)

    def join(self, branch: Trace) -> None:
        """Take over what a branch kept, behind what there is."""
        self.context.notes += branch.context.notes
        self.context.refusals += branch.context.refusals
        self.listing += branch.listing

    def _after_each(self, pass_: Pass, module: Module) -> None:
        if self.print_after in (pass_.name, ALL):
            self.listing.append(f"// after {pass_.name}\n{print_module(module, OP_DEFS, elide_above=16)}")
