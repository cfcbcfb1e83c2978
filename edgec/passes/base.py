"""What a pass is.

A pass is a frozen dataclass whose fields are its options, so that the command line, the report and the object agree.
The module is valid before and after; `run` tells truthfully whether anything changed, and a second run changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from edgec.diagnostics import Note
from edgec.ir.graph import Graph, Module
from edgec.target.target import Target


@dataclass
class PassContext:
    """What passes may know of the compilation, and where they leave notes.

    `target` is None where a pass runs outside of a compilation. `refusals` collects why rules stayed away when
    `explain` is set (op description → reasons).
    """

    target: Target | None = None
    explain: bool = False
    notes: list[Note] = field(default_factory=list)
    refusals: list[tuple[str, str, str]] = field(default_factory=list)  # (rule, op, reason)


@dataclass(frozen=True, slots=True)
class PassResult:
    """Whether a pass changed the module, one sentence on what it did, and counts by name for who adds them up."""

    changed: bool
    note: str = ""
    figures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pass(ABC):
    """One named change of a whole module."""

    name: ClassVar[str] = ""

    @abstractmethod
    def run(self, module: Module, context: PassContext) -> PassResult:
        """Change the module in place.

        Raises:
            PassError: the module or the options are such that the pass cannot work.
        """

    def options(self) -> dict[str, Any]:
        """The options by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class GraphPass(Pass):
    """A pass that works graph by graph; `run_on_graph` returns how many changes it made, the figure `counted`."""

    counted: ClassVar[str] = "changes"

    def run(self, module: Module, context: PassContext) -> PassResult:
        """Run on every graph of the module."""
        changes = sum(self.run_on_graph(graph, context) for graph in module.graphs)
        return PassResult(changes > 0, self.describe(changes) if changes else "", {self.counted: changes})

    @abstractmethod
    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Change one graph in place and return the number of changes."""

    def describe(self, changes: int) -> str:
        """The report's note on `changes` changes."""
        return f"{changes} changes" if changes != 1 else "1 change"
