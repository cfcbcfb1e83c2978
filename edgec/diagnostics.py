"""Notes that travel with a module and end in the report: what was repaired, refused, kept back or assumed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """How much a note matters to the user."""

    INFO = "info"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Note:
    """One sentence about one place: `where` names an op, a value, an input file or a pass."""

    severity: Severity
    where: str
    message: str
