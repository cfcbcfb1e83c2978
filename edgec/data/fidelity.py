"""How closely one set of numbers follows another: SQNR, largest error, cosine; streaming over batches, in float64."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Elements that are compared at once: their float64 copies stay in the cache, and OpenBLAS does not share a product out
# among threads, as it does above 10,000: their waiting took 30 times the product's time on a busy machine.
PART = 1 << 13


class Fidelity:
    """Compares a tensor with its reference over any number of batches.

    Sums run over every element of every batch, as if all batches were one long vector.
    """

    def __init__(self) -> None:
        self.elements = 0
        self.max_abs_error = 0.0
        self.reference_min, self.reference_max = math.inf, -math.inf
        self._signal = self._noise = self._other = self._product = 0.0

    def add(self, reference: Array, actual: Array) -> None:
        """Take one batch of both; shapes must agree.

        Where both hold the same infinity, or both NaN, they agree and the element is left out of the sums.
        """
        if np.shape(reference) != np.shape(actual):
            raise ValueError(f"shapes {np.shape(reference)} and {np.shape(actual)} cannot be compared")
        want, have = np.asarray(reference).reshape(-1), np.asarray(actual).reshape(-1)
        self.elements += want.size
        for start in range(0, want.size, PART):
            self._add_part(want[start : start + PART], have[start : start + PART])

    def _add_part(self, want: Array, have: Array) -> None:
        want, have = want.astype(np.float64), have.astype(np.float64)
        signal = float(want @ want)
        if not math.isfinite(signal):
            same = ~np.isfinite(want) & ((want == have) | (np.isnan(want) & np.isnan(have)))
            want, have = want[~same], have[~same]
            signal = float(want @ want)
        if not want.size:
            return
        error = have - want
        largest = max(float(error.max()), -float(error.min()))
        # NaN must stick: max() of Python would drop it or keep it depending on the order
        self.max_abs_error = math.nan if math.isnan(largest + self.max_abs_error) else max(self.max_abs_error, largest)
        self.reference_min = min(self.reference_min, float(want.min()))
        self.reference_max = max(self.reference_max, float(want.max()))
        self._signal += signal
        self._noise += float(error @ error)
        self._other += float(have @ have)
        self._product += float(want @ have)

    def sqnr_db(self) -> float:
        """10 log10(sum r^2 / sum (a - r)^2) in dB; inf where both are equal, -inf where only the reference is zero."""
        if self._noise == 0:
            return math.inf
        if not math.isfinite(self._noise + self._signal):
            return math.nan
        if self._signal == 0:
            return -math.inf
        return 10 * math.log10(self._signal / self._noise)

    def cosine(self) -> float:
        """Cosine of the angle between both, -1..1; 1 where both are zero, 0 where one is."""
        if self._signal == 0 or self._other == 0:
            return 1.0 if self._signal == self._other else 0.0
        return self._product / math.sqrt(self._signal) / math.sqrt(self._other)

    def relative_rms_error(self) -> float:
        """The root of the mean squared error over the reference's range (max - min); inf where that is zero."""
        span = self.reference_max - self.reference_min
        return math.sqrt(self._noise / max(self.elements, 1)) / span if span > 0 else math.inf

    def relative_max_error(self) -> float:
        """The largest error over the reference's range (max - min), or its magnitude where it is the same everywhere.

        inf where the reference is zero throughout and the other is not.
        """
        if self.max_abs_error == 0:
            return 0.0
        span = self.reference_max - self.reference_min or abs(self.reference_max)
        return self.max_abs_error / span if span > 0 else math.inf


def sqnr_db(reference: Array, actual: Array) -> float:
    """Signal to quantization noise of one pair, in dB; see `Fidelity.sqnr_db`."""
    return _of_pair(reference, actual).sqnr_db()


def max_abs_error(reference: Array, actual: Array) -> float:
    """The largest absolute difference of one pair."""
    return _of_pair(reference, actual).max_abs_error


def cosine(reference: Array, actual: Array) -> float:
    """Cosine similarity of one pair, -1..1."""
    return _of_pair(reference, actual).cosine()


def _of_pair(reference: Array, actual: Array) -> Fidelity:
    fidelity = Fidelity()
    fidelity.add(reference, actual)
    return fidelity
