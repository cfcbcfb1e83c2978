"""Whole models: the nine of the onnx wheel and the shared ones, against onnxruntime."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgec.backends.tflite import serialize
from edgec.frontends.onnx import load_onnx
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.onnx_source import OnnxSession

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LARGEST_ERROR = 1e-4  # of the output's range: what the project promises
NAMES = ["densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "zfnet512"]
LARGE_NAMES = ["bvlc_alexnet", "vgg19"]  # hundreds of megabytes of weights
# name below models/, and what its pixels range to
SHARED = [
    ("detection/FastestDet.onnx", 1.0), ("face/ulface_slim-320_simplified.onnx", 1.0),
    ("face/yunet_n_320_320.onnx", 255.0), ("mlperf_tiny/pretrainedResnet.onnx", 255.0),
    ("mlperf_tiny/vww_96_float.onnx", 1.0),
]  # fmt: skip


def largest_error(path: Path, scale: float) -> float:
    """The largest error of any output, relative to its range, or to its magnitude where all of it is one number."""
    module = load_onnx(path)
    rng = np.random.default_rng(0)
    feeds = {v.name: rng.uniform(0, scale, v.shape).astype(v.dtype.numpy) for v in module.main.inputs}
    expected = OnnxSession(path).run(feeds)
    found = LiteRTSession(serialize(module)).run(list(feeds.values()))
    assert [f.shape for f in found] == [e.shape for e in expected]
    errors = []
    for got, wanted in zip(found, expected):
        span = float(np.ptp(wanted)) if np.ptp(wanted) > 1e-6 * np.abs(wanted).max() else float(np.abs(wanted).max())
        errors.append(float(np.abs(got.astype(np.float64) - wanted).max()) / span)
    return max(errors)


@pytest.mark.parametrize("name", [*NAMES, *[pytest.param(n, marks=pytest.mark.slow) for n in LARGE_NAMES]])
def test_light_models(name: str) -> None:
    assert largest_error(LIGHT / f"light_{name}.onnx", 1.0) <= LARGEST_ERROR


@pytest.mark.parametrize(("name", "scale"), SHARED)
def test_shared_models(shared_data: Path, name: str, scale: float) -> None:
    path = shared_data / "models" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    assert largest_error(path, scale) <= LARGEST_ERROR


def test_import_is_quick() -> None:
    started = time.process_time()
    module = load_onnx(LIGHT / "light_densenet121.onnx")
    assert len(module.main) > 600
    assert time.process_time() - started < 2.0  # about 0.2 s here


def test_constant_fills_take_no_memory(compare: Any) -> None:
    module = load_onnx(LIGHT / "light_vgg19.onnx")
    fills = [v.array() for v in module.main.constants() if v.type.bytes > 1 << 24]
    assert fills
    assert all(fill.strides == (0, 0) for fill in fills)  # 470 MB of one number
