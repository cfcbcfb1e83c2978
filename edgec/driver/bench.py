"""Runs an artifact on this machine, in a child process: the file may come from anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgec.driver.feeds import trial_inputs
from edgec.driver.runner import Session
from edgec.errors import ImportFailure, RuntimeFailure
from edgec.frontends.tflite import load_tflite
from edgec.runtime.bench import measure_latency
from edgec.runtime.isolated import call_isolated
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.sample_inputs import sample_inputs
from edgec.runtime.smallest_arena import smallest_arena
from edgec.runtime.tflm import AMPLE_ARENA_BYTES, TFLMSession

RUNTIMES = ("litert", "builtin", "tflm")
TIMEOUT_S = 300.0


def bench_artifact(path: Path, runtime: str, *, threads: int, runs: int) -> dict[str, Any]:
    """Latency here, arena (TFLM) and outputs of an artifact on generated inputs.

    Raises:
        ImportFailure: the file is no sound `.tflite`.
        RuntimeFailure: there is no such runtime, or it refuses the artifact or crashes on it.
    """
    if runtime not in RUNTIMES:
        raise RuntimeFailure(f"Running '{path}': there is no runtime '{runtime}'; use {', '.join(RUNTIMES)}.")
    if not path.is_file():
        raise ImportFailure(f"Reading '{path}': there is no such file.")
    module = load_tflite(path)  # refuses a damaged file before a runtime sees it
    inputs = trial_inputs(module)
    model = path.read_bytes()
    reply = call_isolated(
        "edgec.driver.bench:run_here", model, inputs, options={"runtime": runtime, "threads": threads, "runs": runs},
        doing=f"running '{path.name}' in {runtime}", timeout_s=TIMEOUT_S,
    )  # fmt: skip
    found: dict[str, Any] = {"artifact": str(path), "bytes": len(model), **reply.values}
    if runtime == "tflm":
        arena = smallest_arena(model, inputs=inputs)
        found["arena"] = {
            "arena_bytes": arena.arena_bytes, "head_bytes": arena.head_bytes, "tail_bytes": arena.tail_bytes,
            "one_step_less_fails": arena.one_step_less_fails,
        }  # fmt: skip
    return found


def run_here(
    model: bytes, arrays: Sequence[np.ndarray], runtime: str, threads: int, runs: int
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Time one model in this process, without `arrays` on `sample_inputs`."""
    session: Session = (
        TFLMSession(model, AMPLE_ARENA_BYTES)
        if runtime == "tflm"
        else LiteRTSession(model, threads=threads, xnnpack=runtime == "litert")
    )
    inputs = list(arrays) or sample_inputs(session.input_details)
    outputs = session.run(inputs)
    measured = measure_latency(session, inputs, runs=runs)
    values = {
        "runtime": str(measured.runtime), "threads": measured.threads, "median_ms": measured.median_ms,
        "p10_ms": measured.p10_ms, "p90_ms": measured.p90_ms, "runs": measured.runs,
        "outputs": [
            {"shape": list(a.shape), "dtype": str(a.dtype), "sha256": hashlib.sha256(a.tobytes()).hexdigest()[:16]}
            for a in outputs
        ],
    }  # fmt: skip
    return values, []
