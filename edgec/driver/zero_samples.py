"""Calibration samples that hold nothing but zeros, which fit no range: a file that was never filled, most likely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from edgec.data.samples import SampleSet
from edgec.diagnostics import Note, Severity


class WatchedSamples:
    """Hands out the feeds of a set, and knows which inputs were zero in each of those that were read."""

    def __init__(self, samples: SampleSet) -> None:
        self._samples = samples
        self._floats: set[str] = set()
        self._zero: set[str] = set()
        self._other: set[str] = set()

    def iter_feeds(self) -> Iterator[Mapping[str, np.ndarray]]:
        """The set's feeds."""
        for feed in self._samples.iter_feeds():
            for name, array in feed.items():
                if array.dtype.kind == "f":
                    self._floats.add(name)
                if name not in self._other:
                    (self._other if np.any(array) else self._zero).add(name)
            yield feed

    def warnings(self) -> list[Note]:
        """One for each float input that was always zero, or for all inputs where every one was.

        Integers may well be zero throughout: the segments of a text, say.
        """
        zero = self._zero - self._other
        suspect = sorted(zero if not self._other else zero & self._floats)
        return [Note(Severity.WARNING, "calibration", _text(name, self._samples.origin)) for name in suspect]


def _text(name: str, origin: str) -> str:
    return (
        f"input '{name}' is zero in every sample of '{origin}', so the ranges found there fit nothing else; give real "
        "samples"
    )
