"""How far one array departs from another, where infinities and masks are no departure."""

from __future__ import annotations

import math

import numpy as np

HUGE = 1e30  # a mask's -inf may become the lowest finite number
ROUNDING_FLOOR = 4 * float(np.finfo(np.float32).eps)
"""Departures this small pass any tolerance above zero: sigmoids far out give values of the order of their rounding."""
TIES = 1e-3
"""Elements of an integer output that may differ (argmax, top-k, rounding): where two numbers tie, rounding decides."""


def comparable(want: np.ndarray, have: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as numbers with zeros where neither is finite and both are the same: NaN, +inf or -inf.

    `have` takes the shape of `want` where it has as many elements. Complex numbers become their real parts and, behind
    them along a new first axis, their imaginary parts.
    """
    want = np.asarray(want)
    have = np.asarray(have)
    have = have.reshape(want.shape) if have.size == want.size else have
    if "c" in (want.dtype.kind, have.dtype.kind):
        want, have = (np.stack([array.real, array.imag]) for array in (want, have))
    if want.dtype.kind != "f" or want.shape != have.shape or np.isfinite(want).all():
        return want, have
    other = have.astype(np.float64)
    same = (np.isnan(want) & np.isnan(other)) | (np.isinf(want) & (np.sign(want) * other >= HUGE))
    return np.where(same, 0, want), np.where(same, 0, other).astype(want.dtype)


def differing_share(want: np.ndarray, have: np.ndarray) -> float:
    """The share of elements that are not equal, 0..1."""
    return float(np.mean(np.asarray(want) != np.asarray(have))) if np.size(want) else 0.0


def departure(want: np.ndarray, have: np.ndarray, tolerance: float) -> float:
    """The largest error over the range of `want`, and 0 where it lies within `tolerance` or is rounding.

    inf where the shapes differ, or where only one of both is finite.
    """
    want, have = comparable(want, have)
    if want.shape != have.shape:
        return math.inf
    if not want.size:
        return 0.0
    if want.dtype.kind in "iub" and differing_share(want, have) <= TIES:
        return 0.0
    reference = want.astype(np.float64)
    largest = float(np.abs(have.astype(np.float64) - reference).max())
    if not math.isfinite(largest):
        return math.inf
    if largest <= ROUNDING_FLOOR:
        return 0.0
    span = float(np.ptp(reference)) or float(np.abs(reference).max())
    share = largest / span if span > 0 else math.inf
    return share if share > tolerance else 0.0


def share_text(share: float) -> str:
    """A departure in words."""
    return f"by {share:.2g} of its range" if math.isfinite(share) else "in shape or by values that are not finite"
