"""Exit statuses: scripts and CI rely on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgec.report.model import Report

HOLDS = 0  # done, and no budget line is missed
MISSED = 1  # done, but a budget line is missed (with --strict: or is uncertain or unknown)
FAULT_OF_INPUT = 2
FAULT_OF_EDGEC = 3


def of_report(report: Report, *, strict: bool) -> int:
    """The status for a report's verdict; without any budget line there is nothing to miss."""
    if report.verdict == "misses":
        return MISSED
    return MISSED if strict and report.budget and report.verdict != "fits" else HOLDS
