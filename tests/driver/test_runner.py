"""Artifacts in their target's runtime."""

from pathlib import Path

import numpy as np
import pytest

from edgec.driver.runner import ArtifactRunner
from edgec.frontends.tflite import read_tflite
from edgec.target.load import load_target


@pytest.mark.parametrize("target", ["mobile-cpu", pytest.param("mcu-int8", marks=pytest.mark.mcu)])
def test_a_fresh_run_forgets_what_came_before(shared_data: Path, target: str) -> None:
    if target == "mcu-int8":
        pytest.importorskip("tflite_micro", reason="the extra 'mcu' is not installed")
    model = (shared_data / "models" / "micro_wake_word" / "okay_nabu_v2.tflite").read_bytes()
    runner = ArtifactRunner(model, read_tflite(model), load_target(target))
    assert runner.has_state
    feed = {runner.names[0]: np.random.default_rng(0).integers(-128, 128, (1, 3, 40)).astype(np.int8)}
    first = runner.run_fresh(feed)[0]
    kept = [runner.run(feed)[0] for _ in range(20)]
    assert any(not np.array_equal(first, other) for other in kept)
    assert np.array_equal(first, runner.run_fresh(feed)[0])
