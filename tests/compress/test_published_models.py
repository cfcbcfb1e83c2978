"""The published int8 models, channel for channel."""

import time
from pathlib import Path

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.compress.dead_channels import EliminateDeadChannels
from edgec.compress.pruning import apply_pruning, plan_pruning
from edgec.cost.macs import module_macs
from edgec.frontends.tflite import load_tflite
from edgec.ops import verify
from edgec.passes.base import PassContext
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.sample_inputs import sample_inputs
from edgec.runtime.tflm import TFLMSession

ARENA_BYTES = 4 << 20
MLPERF = "models/mlperf_tiny"


def _pictures(shared_data: Path, scale: float, zero_point: int) -> list[np.ndarray]:
    """50 real pictures, noise, and the extremes, as int8."""
    pictures = np.load(shared_data / "datasets/vww01/vww01_shared_500.npz")["x"][:50].astype(np.float32) / 255
    stored = np.clip(np.round(pictures / scale) + zero_point, -128, 127).astype(np.int8)
    noise = np.random.default_rng(0).integers(-128, 128, (5, *stored.shape[1:])).astype(np.int8)
    flat = [np.full(stored.shape[1:], value, np.int8) for value in (-128, 0, zero_point, 127)]
    return [picture[None] for picture in (*stored, *noise, *flat)]


def test_vww_keeps_every_bit_with_half_the_macs(shared_data: Path) -> None:
    pytest.importorskip("tflite_micro", reason="bit-exactness is judged in TFLM: pip install 'edgec[mcu]'")
    path = shared_data / MLPERF / "vww_96_int8.tflite"
    module = load_tflite(path)
    assert module_macs(module) == 7_489_664
    start = time.perf_counter()
    assert EliminateDeadChannels().run(module, PassContext()).changed
    assert time.perf_counter() - start < 2
    verify(module)
    assert module_macs(module) <= 4_200_000
    slim = serialize(module)
    assert len(slim) < path.stat().st_size / 3
    quant = module.main.inputs[0].quant
    assert quant is not None
    before, after = TFLMSession(path.read_bytes(), ARENA_BYTES), TFLMSession(slim, ARENA_BYTES)
    for picture in _pictures(shared_data, quant.scale[0], quant.zero_point[0]):
        assert before.run([picture])[0].tobytes() == after.run([picture])[0].tobytes()


@pytest.mark.parametrize(
    ("name", "most_macs"),
    [("tflm/person_detect.tflite", 7_080_000), ("tinyengine/mcunet_vww_80.tflite", 10_940_000)],
)
def test_other_models_keep_every_bit_in_tflm(shared_data: Path, name: str, most_macs: int) -> None:
    pytest.importorskip("tflite_micro", reason="bit-exactness is judged in TFLM: pip install 'edgec[mcu]'")
    path = shared_data / "models" / name
    module = load_tflite(path)
    assert EliminateDeadChannels().run(module, PassContext()).changed
    verify(module)
    assert module_macs(module) <= most_macs
    before, after = TFLMSession(path.read_bytes(), ARENA_BYTES), TFLMSession(serialize(module), ARENA_BYTES)
    for seed in range(6):
        inputs = sample_inputs(before.input_details, seed)
        assert before.run(inputs)[0].tobytes() == after.run(inputs)[0].tobytes()


@pytest.mark.parametrize("name", ["kws_ref_model_float32", "pretrainedResnet", "vww_96_float", "ad01_fp32"])
def test_pruned_float_models_run(shared_data: Path, name: str) -> None:
    module = load_tflite(shared_data / MLPERF / f"{name}.tflite")
    result = apply_pruning(module, plan_pruning(module, 0.3, channel_multiple=8))
    verify(module)
    assert result.macs_after < 0.8 * result.macs_before
    session = LiteRTSession(serialize(module))
    assert all(np.isfinite(output).all() for output in session.run(sample_inputs(session.input_details)))
