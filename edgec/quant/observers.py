"""Observers: what is kept of a stream of activations so that a quantization range can be chosen at its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgec.quant.options import RangeMethod

Array = npt.NDArray[np.float32]
Counts = npt.NDArray[np.float64]

BINS = 4096  # over [-limit, limit]: at least 8 bins for each of 256 steps while the range fills half of it
SAMPLES_PER_TENSOR = 8192  # values of one activation that enter a histogram; minimum and maximum see all of them
INT8_STEPS = 255


@dataclass(frozen=True, slots=True)
class Range:
    """The real values a tensor takes: minimum <= maximum, both finite."""

    minimum: float
    maximum: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum)):
            raise ValueError(f"range {self.minimum} to {self.maximum} is not finite")
        if self.minimum > self.maximum:
            raise ValueError(f"range {self.minimum} to {self.maximum} is empty")

    def union(self, other: Range) -> Range:
        """The smallest range that holds both."""
        return Range(min(self.minimum, other.minimum), max(self.maximum, other.maximum))

    def with_zero(self) -> Range:
        """The smallest range that holds this one and zero."""
        return Range(min(self.minimum, 0.0), max(self.maximum, 0.0))


class MinMaxObserver:
    """Keeps the smallest and the largest value; a NaN sticks."""

    def __init__(self) -> None:
        self.minimum, self.maximum = math.inf, -math.inf

    def update(self, values: Array) -> None:
        """Take one activation of any shape."""
        if not values.size:
            return
        # numpy's min and max give NaN where there is one; Python's would drop it or not by order
        low, high = float(values.min()), float(values.max())
        self.minimum = math.nan if math.isnan(low + self.minimum) else min(self.minimum, low)
        self.maximum = math.nan if math.isnan(high + self.maximum) else max(self.maximum, high)

    @property
    def is_finite(self) -> bool:
        """False where a NaN or infinity was seen, or nothing at all."""
        return math.isfinite(self.minimum) and math.isfinite(self.maximum)

    def range(self) -> Range:
        """The range chosen; raises ValueError where it would not be finite."""
        return Range(self.minimum, self.maximum)


class HistogramObserver(MinMaxObserver):
    """Keeps a histogram over [-limit, limit) besides the extremes; `limit` doubles when a value falls outside.

    Of each activation about `SAMPLES_PER_TENSOR` values are counted, evenly spaced with an odd stride that is no
    multiple of the channel count, from a start that moves on, so that every channel and position has its turn.
    """

    def __init__(self, choose: Callable[[Counts, Counts, Range], Range]) -> None:
        super().__init__()
        self._choose = choose
        self._limit = 0.0
        self._counts: Counts = np.zeros(BINS)
        self._updates = 0

    def update(self, values: Array) -> None:
        """Take one activation of any shape."""
        super().update(values)
        if not self.is_finite:
            return
        self._reach(max(abs(self.minimum), abs(self.maximum)))
        if self._limit == 0.0:
            return  # zeros only so far
        sample = self._sample(values)
        positions = ((sample + np.float32(self._limit)) * np.float32(BINS / (2 * self._limit))).astype(np.int64)
        self._counts += np.bincount(np.clip(positions, 0, BINS - 1), minlength=BINS)
        self._updates += 1

    def range(self) -> Range:
        """The range that the rule chooses, never wider than the extremes."""
        extremes = super().range()
        if self._limit == 0.0:
            return extremes
        width = 2 * self._limit / BINS
        centers: Counts = (np.arange(BINS, dtype=np.float64) + 0.5) * width - self._limit
        return self._choose(self._counts, centers, extremes)

    def _sample(self, values: Array) -> Array:
        flat = values.reshape(-1)
        stride = max(flat.size // SAMPLES_PER_TENSOR, 1)
        channels = values.shape[-1] if values.ndim else 1
        while stride > 1 and (stride % 2 == 0 or math.gcd(stride, channels) > 1):
            stride -= 1
        return flat[self._updates % stride :: stride]

    def _reach(self, extreme: float) -> None:
        if extreme > self._limit and self._limit == 0.0:
            self._limit = 2.0 ** math.ceil(math.log2(extreme))
        while extreme > self._limit:
            inner = self._counts.reshape(BINS // 2, 2).sum(axis=1)
            self._counts = np.zeros(BINS)
            self._counts[BINS // 4 : BINS // 4 + BINS // 2] = inner
            self._limit *= 2


def percentile_range(percentile: float) -> Callable[[Counts, Counts, Range], Range]:
    """A rule that leaves (100 - percentile) % of the values outside at each end."""

    def choose(counts: Counts, centers: Counts, extremes: Range) -> Range:
        outside = 1 - percentile / 100
        if outside <= 0:
            return extremes
        share = np.cumsum(counts) / counts.sum()
        half = (centers[1] - centers[0]) / 2  # the outer edge of the bin in which the percentile falls
        low = centers[min(int(np.searchsorted(share, outside, side="right")), BINS - 1)] - half
        high = centers[min(int(np.searchsorted(share, 1 - outside)), BINS - 1)] + half
        # one-sided tensors (after a ReLU) keep their exact end
        low = extremes.minimum if extremes.minimum >= 0 else max(float(low), extremes.minimum)
        high = extremes.maximum if extremes.maximum <= 0 else min(float(high), extremes.maximum)
        return Range(min(low, high), max(low, high))

    return choose


def mse_range(counts: Counts, centers: Counts, extremes: Range) -> Range:
    """The range with the least expected squared error of 8-bit rounding and clipping over the histogram.

    Both ends shrink on a grid of their own, one after the other, from the full range; the error of a value inside is
    its true rounding error at the bin's center, outside its distance to the end.
    """
    full = extremes.with_zero()
    used = counts > 0
    weights = counts[used]
    values: Counts = centers[used]

    def error(low: float, high: float) -> float:
        scale = (high - low) / INT8_STEPS
        steps = np.round((np.clip(values, low, high) - low) / scale)
        return float(weights @ np.square(low + steps * scale - values))

    best = (error(full.minimum, full.maximum), full.minimum, full.maximum)
    for shrink in np.linspace(0.98, 0.2, 40):  # both ends together, then each alone
        low, high = full.minimum * shrink, full.maximum * shrink
        best = min(best, (error(low, high), low, high))
    for end in (0, 1):
        _, low, high = best
        for shrink in np.linspace(1.0, 0.3, 36):
            pair = (full.minimum * shrink, high) if end == 0 else (low, full.maximum * shrink)
            if pair[1] > pair[0]:
                best = min(best, (error(*pair), *pair))
    return Range(float(best[1]), float(best[2]))


def make_observer(method: RangeMethod, percentile: float) -> MinMaxObserver:
    """The observer of a range method."""
    if method == "minmax":
        return MinMaxObserver()
    return HistogramObserver(mse_range if method == "mse" else percentile_range(percentile))
