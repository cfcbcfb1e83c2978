"""Compares runs: the float module with the source's runtime, the artifact with the float module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgec.data.fidelity import Fidelity
from edgec.data.metrics import Agreement
from edgec.report.model import Check, OutputCheck

Feeds = Mapping[str, np.ndarray]
Run = Callable[[Feeds], list[np.ndarray]]
ROUNDING_FLOOR = 4 * float(np.finfo(np.float32).eps)
"""Departures this small pass any tolerance above zero: sigmoids far out give values of the order of their rounding."""


def compare_runs(
    reference: Run, actual: Run, feeds: Sequence[Feeds], outputs: Sequence[str], *, name: str, tolerance: float | None
) -> Check:
    """Run both on the same feeds and state how far each output departs.

    `tolerance` bounds the largest error relative to the reference's range; None sets no bar. A tolerance above zero
    leaves departures below `ROUNDING_FLOOR` out.
    """
    fidelities = [Fidelity() for _ in outputs]
    agreements = [Agreement() for _ in outputs]
    for feed in feeds:
        for index, (want, have) in enumerate(zip(reference(feed), actual(feed))):
            have = np.asarray(have).reshape(np.shape(want))
            fidelities[index].add(want, have)
            if np.ndim(want) and np.shape(want)[-1] > 1:
                agreements[index].add(want, have)
    checks = [_output_check(n, f, a) for n, f, a in zip(outputs, fidelities, agreements)]
    worst = max(checks, key=_badness)
    passed = None if tolerance is None else all(_within(c, tolerance) for c in checks)
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


def _output_check(name: str, fidelity: Fidelity, agreement: Agreement) -> OutputCheck:
    identical = fidelity.max_abs_error == 0
    return OutputCheck(
        output=name,
        max_abs_error=fidelity.max_abs_error,
        max_rel_to_range=fidelity.relative_max_error(),
        sqnr_db=fidelity.sqnr_db(),
        cosine=fidelity.cosine(),
        top1_agreement=agreement.value() if agreement.count else None,
        identical=identical,
    )


def _badness(check: OutputCheck) -> float:
    if not check.finite or check.max_rel_to_range is None:
        return float("inf")
    return check.max_rel_to_range


def _within(check: OutputCheck, tolerance: float) -> bool:
    return _badness(check) <= tolerance or (tolerance > 0 and not above_rounding(check))


def above_rounding(check: OutputCheck) -> bool:
    """True where an output departs by more than rounding to float32 around 1 explains."""
    return check.max_abs_error is None or check.max_abs_error > ROUNDING_FLOOR


def count_identical(first: Run, second: Run, feeds: Sequence[Feeds]) -> int:
    """Feeds on which both give byte-identical outputs."""
    return sum(
        all(a.tobytes() == b.tobytes() for a, b in zip(first(feed), second(feed), strict=True)) for feed in feeds
    )
