"""Whole pipelines on published networks: what is left, and that the numbers stay.

The light networks come with the `onnx` package, without trained weights: random ones take their place.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.frontends.onnx import load_onnx
from edgec.ir.graph import Module
from edgec.passes.base import PassContext
from edgec.passes.catalogue import PASSES
from edgec.passes.manager import run_passes
from edgec.runtime.litert import LiteRTSession
from edgec.target import load_target

RELATIVE = 1e-4  # of the largest output: float32 sums in another order through 60 to 120 layers
WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected")


def light(name: str) -> Path:
    import onnx

    path = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip(f"this build of onnx comes without {path.name}")
    return path


def fill(module: Module) -> None:
    """Random weights; scales below one keep residual sums from growing."""
    rng = np.random.default_rng(11)
    for op in module.main.ops:
        for value in op.operands:
            if value is None or not value.is_constant or not value.dtype.is_float:
                continue
            shape = value.shape
            if op.opcode in WEIGHTED and len(shape) > 1:
                value.data = (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
            elif op.opcode == "mul":
                value.data = rng.uniform(0.3, 0.9, shape).astype(np.float32)
            elif op.opcode == "add":
                value.data = (rng.standard_normal(shape) * 0.1).astype(np.float32)


def run(module: Module, feeds: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs in the layout of the source for inputs in the layout of the source, in LiteRT's own kernels."""
    graph = module.main
    inputs = [x.transpose(module.input_layout.get(v.name, range(x.ndim))) for v, x in zip(graph.inputs, feeds)]
    results = LiteRTSession(serialize(module), xnnpack=False).run([np.ascontiguousarray(x) for x in inputs])
    back = [module.output_layout.get(v.name, tuple(range(r.ndim))) for v, r in zip(graph.outputs, results)]
    return [r.transpose(np.argsort(order)) for r, order in zip(results, back)]


def compiled(module: Module, target: str) -> Counter[str]:
    """Run a target's pipeline (all but compression), compare the numbers, and count the ops that are left."""
    rng = np.random.default_rng(5)
    feeds = [rng.standard_normal(v.shape).astype(np.float32) for v in module.main.inputs]
    before = run(module, feeds)
    chosen = load_target(target)
    steps = [PASSES.create(s.name, s.options) for s in chosen.pipeline.passes if s.name in PASSES]
    run_passes(module, steps, PassContext(target=chosen))
    for old, new in zip(before, run(module, feeds), strict=True):
        largest = float(np.abs(old).max())
        assert np.median(np.abs(old)) > 1e-3 * largest  # an output of one value, or a saturated one, proves nothing
        np.testing.assert_allclose(new, old, rtol=0, atol=RELATIVE * largest)
    again = run_passes(module, steps, PassContext(target=chosen))
    assert [record.name for record in again if record.changed] == []
    return Counter(op.opcode for op in module.main.ops)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["mobile-cpu", "mcu-int8"])
@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("resnet50", {"conv_2d": 53, "add": 16, "pad": 5, "max_pool_2d": 1, "mean": 1, "fully_connected": 1,
                      "softmax": 1}),
        ("inception_v2", {"conv_2d": 69, "concatenation": 10, "average_pool_2d": 7, "pad": 5, "max_pool_2d": 5,
                          "mean": 1, "fully_connected": 1, "softmax": 1}),
        ("densenet121", {"conv_2d": 121, "depthwise_conv_2d": 62, "concatenation": 58, "average_pool_2d": 3, "pad": 2,
                         "max_pool_2d": 1, "mean": 1, "reshape": 1}),
    ],
)  # fmt: skip
def test_light_networks(name: str, left: dict[str, int], target: str) -> None:
    module = load_onnx(light(name))
    fill(module)
    assert compiled(module, target) == left


@pytest.mark.slow
def test_efficientnet_lite0() -> None:
    path = Path(os.environ.get("EDGEC_BENCH_MODELS", "")) / "efficientnet_lite0.onnx"
    if not path.is_file():
        pytest.skip("EDGEC_BENCH_MODELS names no folder with efficientnet_lite0.onnx (see benchmarks/README.md)")
    module = load_onnx(path)
    left = compiled(module, "mobile-cpu")
    assert left == {"conv_2d": 33, "depthwise_conv_2d": 16, "add": 9, "mean": 1, "fully_connected": 1}
    fused = Counter(op.attributes.get("fused_activation_function") for op in module.main.ops)
    assert fused["RELU6"] == 33
