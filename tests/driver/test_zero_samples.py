"""Calibration samples of zeros alone are compiled with, and warned of."""

from pathlib import Path

import numpy as np
import pytest

from edgec.driver import CompileOptions, compile_model

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits.onnx"


@pytest.mark.parametrize(("filled", "warned"), [(0, True), (1, False)])
def test_samples_of_zeros_are_warned_of(tmp_path: Path, filled: int, warned: bool) -> None:
    samples = np.zeros((4, 1, 8, 8), np.float32)
    samples[:filled] = np.random.default_rng(0).random((filled, 1, 8, 8))
    np.savez(tmp_path / "samples.npz", x=samples)
    options = CompileOptions(device="rpi4", scheme="w8a8", calibration=tmp_path / "samples.npz")
    found = [
        d
        for d in compile_model(DIGITS, options).report.diagnostics
        if d.op == "calibration" and d.severity == "warning"
    ]
    assert len(found) == warned
    if warned:
        assert "is zero in every sample of" in found[0].message
        assert "give real samples" in found[0].message
