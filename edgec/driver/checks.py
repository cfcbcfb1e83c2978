"""Compares runs: the float module with the source's runtime, the artifact with the float module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgec.data.fidelity import Fidelity
from edgec.data.metrics import Agreement
from edgec.driver.agreement import ROUNDING_FLOOR, TIES, comparable, differing_share
from edgec.report.model import Check, OutputCheck

LEAST_SQNR_DB, LARGEST_RMS_SHARE = 15.0, 0.06  # behind rounded activations; 16 dB and 4.8 % were seen on a detector
Feed = Mapping[str, np.ndarray]
Run = Callable[[Feed], list[np.ndarray]]


def compare_runs(
    reference: Run, actual: Run, feeds: Sequence[Feed], outputs: Sequence[str], *, name: str, tolerance: float | None,
    allowed: Sequence[float] = (), rounding: bool = False,
) -> Check:  # fmt: skip
    """Run both on the same feeds and state how far each output departs.

    `tolerance` bounds the largest error relative to the reference's range; None sets no bar. A tolerance above zero
    leaves departures below `ROUNDING_FLOOR` out, those up to `allowed` (one bound an output), and `TIES` of an integer
    output's elements; with `rounding` one passes too where only few elements depart by much. The same NaN or infinity
    on both sides is no departure; another number of elements is one of no finite size.
    """
    compared = [_Compared(name) for name in outputs]
    for feed in feeds:
        for one, want, have in zip(compared, reference(feed), actual(feed), strict=True):
            one.add(np.asarray(want), np.asarray(have))
    checks = [one.check() for one in compared]
    worst = max(checks, key=_badness)
    passed = (
        None
        if tolerance is None
        else all(
            (c.max_abs_error is not None and c.max_abs_error <= bound)
            or (rounding and one.follows())
            or _within(c, tolerance)
            for one, c, bound in zip(compared, checks, allowed or [0.0] * len(checks), strict=True)
        )
    )
    return Check(
        max_abs_error=worst.max_abs_error,
        max_rel_to_range=worst.max_rel_to_range,
        sqnr_db=worst.sqnr_db,
        cosine=worst.cosine,
        top1_agreement=worst.top1_agreement,
        identical=all(c.identical for c in checks),
        finite=all(c.finite for c in checks),
        samples=len(feeds),
        reference=name,
        passed=passed,
        tolerance=None if tolerance is None else f"{tolerance:g} of the output's range",
        outputs=checks,
    )


class _Compared:
    """One output over all feeds."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fidelity, self.agreement = Fidelity(), Agreement()
        self.differing: list[float] = []
        self.finite = True

    def add(self, want: np.ndarray, have: np.ndarray) -> None:
        """Take the output for one feed."""
        self.finite = self.finite and bool(np.isfinite(want).all() and np.isfinite(have).all())
        sizes_differ = want.size != have.size
        if want.dtype.kind in "iub" and not sizes_differ:
            self.differing.append(differing_share(want, have.reshape(want.shape)))
        want, have = comparable(want, have)
        if sizes_differ or not (np.isfinite(want).all() and np.isfinite(have).all()):
            self.fidelity.max_abs_error = math.nan  # as wrong as can be: there is nothing to add up
            return
        self.fidelity.add(want, have)
        if want.ndim and want.shape[-1] > 1:
            self.agreement.add(want, have)

    def follows(self) -> bool:
        """Whether the errors as a whole are small beside the values and beside their range, whatever the largest is.

        Behind an exponential one step of 256 in front of it multiplies a few values; a wrong op departs in most.
        """
        return (
            self.finite
            and self.fidelity.sqnr_db() >= LEAST_SQNR_DB
            and self.fidelity.relative_rms_error() <= LARGEST_RMS_SHARE
        )

    def check(self) -> OutputCheck:
        """The figures."""
        return OutputCheck(
            output=self.name,
            max_abs_error=self.fidelity.max_abs_error,
            max_rel_to_range=self.fidelity.relative_max_error(),
            sqnr_db=self.fidelity.sqnr_db(),
            cosine=self.fidelity.cosine(),
            top1_agreement=self.agreement.value() if self.agreement.count else None,
            identical=self.fidelity.max_abs_error == 0,
            finite=self.finite,
            differing_share=float(np.mean(self.differing)) if self.differing else None,
        )


def _badness(check: OutputCheck) -> float:
    if check.max_rel_to_range is None:
        return float("inf")
    return check.max_rel_to_range


def _within(check: OutputCheck, tolerance: float) -> bool:
    if _badness(check) <= tolerance:
        return True
    return tolerance > 0 and not (above_rounding(check) and _above_ties(check))


def above_rounding(check: OutputCheck) -> bool:
    """True where an output departs by more than rounding to float32 around 1 explains."""
    return check.max_abs_error is None or check.max_abs_error > ROUNDING_FLOOR


def _above_ties(check: OutputCheck) -> bool:
    return check.differing_share is None or check.differing_share > TIES


def worst_output(check: Check) -> OutputCheck:
    """The output that departs most, those left out that pass as rounding or as ties."""
    return max((o for o in check.outputs if above_rounding(o) and _above_ties(o)), key=_badness)


def count_identical(first: Run, second: Run, feeds: Sequence[Feed]) -> int:
    """Feed on which both give byte-identical outputs."""
    return sum(
        all(a.tobytes() == b.tobytes() for a, b in zip(first(feed), second(feed), strict=True)) for feed in feeds
    )
