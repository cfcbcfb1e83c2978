"""Times a loaded model on this machine."""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgec.runtime.litert import RuntimeVersion
from edgec.runtime.tensor_info import Array

_MOST_RUNS = 100_000


class TimedSession(Protocol):
    """What a session needs so that it can be timed: `LiteRTSession` and `TFLMSession` have it."""

    threads: int
    runtime: RuntimeVersion

    def prepare(self, inputs: Sequence[Array]) -> None:
        """Copy the inputs in."""

    def invoke(self) -> None:
        """Run once."""


@dataclass(frozen=True, slots=True)
class LatencyMeasurement:
    """Time of one inference on this machine, without copying inputs and outputs, over `runs` inferences."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int
    threads: int
    runtime: RuntimeVersion


def measure_latency(
    session: TimedSession, inputs: Sequence[Array], *, warmup: int = 3, runs: int = 20, min_seconds: float = 0.2
) -> LatencyMeasurement:
    """Run `warmup` times untimed, then until both `runs` inferences are done and `min_seconds` have passed.

    Raises:
        ValueError: `runs` is below 1.
        RuntimeFailure: an input does not fit the model, or a kernel fails.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, is {runs}")
    session.prepare(inputs)
    for _ in range(warmup):
        session.invoke()
    times_ms = np.asarray(_timed_invocations(session, runs, min_seconds)) / 1e6
    p10, median, p90 = (float(value) for value in np.percentile(times_ms, (10, 50, 90)))
    return LatencyMeasurement(median, p10, p90, len(times_ms), session.threads, session.runtime)


def _timed_invocations(session: TimedSession, runs: int, min_seconds: float) -> list[int]:
    """Return the nanoseconds of each inference, garbage collection held off meanwhile."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        times_ns: list[int] = []
        end = time.perf_counter() + min_seconds
        while len(times_ns) < runs or (time.perf_counter() < end and len(times_ns) < _MOST_RUNS):
            start = time.perf_counter_ns()
            session.invoke()
            times_ns.append(time.perf_counter_ns() - start)
        return times_ns
    finally:
        if collecting:
            gc.enable()
