"""Estimates: a figure, the band it is expected in, and what kind of evidence stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Evidence(Enum):
    """How a figure came about, from the strongest to none."""

    EXECUTED = "executed"  # measured by running the artifact
    PLANNED = "planned"  # follows from the artifact by calculation, exactly
    CALIBRATED = "calibrated"  # from coefficients fitted to measurements of that device
    DERIVED = "derived"  # from spec sheets and physics only
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its band; `value` is None where nothing is known. The unit stands in the field that holds it."""

    value: float | None
    low: float | None
    high: float | None
    evidence: Evidence
    basis: str

    @classmethod
    def unknown(cls, basis: str) -> Estimate:
        """No figure, and why."""
        return cls(None, None, None, Evidence.UNKNOWN, basis)

    @classmethod
    def exact(cls, value: float, evidence: Evidence, basis: str) -> Estimate:
        """A figure without a band."""
        return cls(value, value, value, evidence, basis)
