"""A few hundred cases of each fuzz target of `benchmarks/fuzz`: every one is read or refused in a sentence.

Whole runs, with every operator's models, watched memory and watched files: `python benchmarks/fuzz/run.py TARGET`.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgec.errors import EdgecError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SEED = 0
SLICES = {"onnx": 250, "onnx-external": 250, "tflite": 150, "text": 100, "profile": 120, "samples": 120}
COMPILES = {"compile"}  # whole compilations are for the long runs


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The registry and the worker of the fuzzer, with the small corpus."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("FUZZ_OWN_MODELS", "1")
    monkeypatch.setenv("EDGEC_SHARED_DATA", str(BENCHMARKS / "nowhere"))
    return importlib.import_module("fuzz.worker")


def outcome(target: Any, case: Any, folder: Path) -> str:
    path = case.write(folder / "model")
    said = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.run(path, case)
        except EdgecError as error:
            said = str(error)
    assert said is None or 0 < len(said) < 20_000
    return "accepted" if said is None else "refused"


@pytest.mark.parametrize("name", SLICES)
def test_every_case_is_read_or_refused(fuzz: Any, name: str, tmp_path: Path) -> None:
    target = fuzz.target_named(name)
    outcomes: Counter[str] = Counter()
    start = time.process_time()
    for index in range(SLICES[name]):
        case = fuzz.case_of(target, SEED, index)
        if case.mode not in COMPILES:
            outcomes[outcome(target, case, tmp_path)] += 1
    assert outcomes["refused"] > 10
    assert outcomes["accepted"] > 2
    assert time.process_time() - start < 60


def test_a_case_follows_from_its_number_alone(fuzz: Any) -> None:
    for name in SLICES:
        target = fuzz.target_named(name)
        assert fuzz.case_of(target, 3, 17) == fuzz.case_of(target, 3, 17)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_cases_that_hypothesis_chooses(fuzz: Any, tmp_path: Path, random: Any) -> None:
    target = fuzz.target_named("onnx")
    case = target.make(random)
    if case.mode not in COMPILES:
        outcome(target, case, tmp_path)


def test_what_a_case_does_beside_parsing_is_seen(fuzz: Any, tmp_path: Path) -> None:
    """The watch itself: an exception, a file outside and a started program are findings, a refusal is none."""
    code = """
import sys, os, json
from pathlib import Path
from fuzz.case import Case
from fuzz.worker import Runner
from edgec.errors import ImportFailure

class Target:
    name = "test"
    def make(self, random): ...
    def run(self, path, case):
        if case.mode == "refuse": raise ImportFailure("no")
        if case.mode == "raise": raise KeyError("x")
        if case.mode == "open": open(path.parent.parent / "bait" / "secret.bin").close()
        if case.mode == "native": os.stat(path); os.close(os.open(path.parent / "../bait/secret.bin", os.O_RDONLY))
        if case.mode == "memory": bytearray(b"x") * (1200 << 20)

runner = Runner(Target(), Path(sys.argv[1]))
found = {}
for mode in ("accept", "refuse", "raise", "open", "native", "memory"):
    outcome, finding = runner.run(Case("a", {"a": b"x"}, mode=mode))
    found[mode] = [outcome, finding and finding["kind"]]
print(json.dumps(found))
"""
    repository = BENCHMARKS.parent
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": f"{BENCHMARKS}:{repository}", "PATH": ""},
    )  # fmt: skip
    assert json.loads(run.stdout) == {
        "accept": ["accepted", None],
        "refuse": ["refused", None],
        "raise": ["finding", "exception"],
        "open": ["finding", "access"],
        "native": ["finding", "access"],
        "memory": ["finding", "memory"],
    }
