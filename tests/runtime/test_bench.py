from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgec.errors import RuntimeFailure
from edgec.runtime.bench import measure_latency
from edgec.runtime.litert import LiteRTSession, RuntimeVersion, runtime_version


class CountingSession:
    threads = 3
    runtime = RuntimeVersion("counting", "1")

    def __init__(self) -> None:
        self.prepared, self.invoked = 0, 0

    def prepare(self, inputs: Sequence[Any]) -> None:
        self.prepared += 1

    def invoke(self) -> None:
        self.invoked += 1


def test_runs_are_counted_without_warmup() -> None:
    session = CountingSession()
    measured = measure_latency(session, [], warmup=4, runs=10, min_seconds=0)
    assert (measured.runs, measured.threads, measured.runtime.name) == (10, 3, "counting")
    assert (session.prepared, session.invoked) == (1, 14)


def test_real_model_is_timed(tiny_models: Any) -> None:
    session = LiteRTSession(tiny_models.two_convs_int8(), threads=2)
    measured = measure_latency(session, [np.zeros((1, 8, 8, 4), np.int8)], runs=5, min_seconds=0.05)
    assert measured.runs > 5
    assert 0 < measured.p10_ms <= measured.median_ms <= measured.p90_ms < 1000
    assert (measured.threads, measured.runtime) == (2, runtime_version())


def test_no_runs_and_wrong_inputs_are_refused(tiny_models: Any) -> None:
    with pytest.raises(ValueError, match="runs must be at least 1, is 0"):
        measure_latency(CountingSession(), [], runs=0)
    with pytest.raises(RuntimeFailure, match="it takes 2 inputs, 0 were given"):
        measure_latency(LiteRTSession(tiny_models.add_int8()), [])
