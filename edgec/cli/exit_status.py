"""Exit statuses: scripts and CI rely on them."""

from __future__ import annotations

HOLDS = 0  # done, and no budget line is missed
MISSED = 1  # done, but a budget line is missed (with --strict: or is uncertain or unknown)
FAULT_OF_INPUT = 2
FAULT_OF_EDGEC = 3


def of_verdict(verdict: str, *, strict: bool) -> int:
    """The status for a report's verdict."""
    if verdict == "misses":
        return MISSED
    return MISSED if strict and verdict != "fits" else HOLDS
