"""Small float graphs, real-valued runs of int8 artifacts, and targets, for the tests of quantization."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.ir import DType, Module, TensorType, Value
from edgec.ir.builder import Builder
from edgec.ops import build, verify
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import TFLMSession
from edgec.target import load_target
from edgec.target.target import Target

ARENA_BYTES = 4 << 20
Array = np.ndarray
Body = Callable[[Builder, list[Value]], Value | list[Value]]


class Kit:
    """What most tests here need."""

    def __init__(self) -> None:
        self.mobile = per_channel_fully_connected(load_target("mobile-cpu"))
        self.mcu = per_channel_fully_connected(load_target("mcu-int8"))

    @staticmethod
    def module(shapes: Iterable[tuple[int, ...]], body: Body, name: str = "small") -> Module:
        """A module with float inputs x0, x1 … of the given shapes."""
        module = Module(name=name)
        graph = module.main
        inputs = [graph.add_input(f"x{i}", TensorType(s, DType.FLOAT32)) for i, s in enumerate(shapes)]
        results = body(build(graph), inputs)
        graph.outputs = results if isinstance(results, list) else [results]
        verify(module)
        return module

    @staticmethod
    def samples(module: Module, count: int = 8, seed: int = 0, spread: float = 1.0) -> list[dict[str, Array]]:
        """Normal noise for every input, as calibration samples are given."""
        rng = np.random.default_rng(seed)
        inputs = module.main.inputs
        return [
            {v.name: (spread * rng.standard_normal(v.shape)).astype(np.float32) for v in inputs} for _ in range(count)
        ]

    @staticmethod
    def run_float(module: Module, feeds: dict[str, Array]) -> list[Array]:
        return LiteRTSession(serialize(module)).run(list(feeds.values()))

    @staticmethod
    def run(module: Module, feeds: dict[str, Array], runtime: str = "litert", **kernels: Any) -> list[Array]:
        """Real-valued outputs of an artifact for real-valued inputs."""
        if runtime == "tflm":
            pytest.importorskip("tflite_micro", reason="needs the extra mcu")
        data = serialize(module)
        session = TFLMSession(data, ARENA_BYTES) if runtime == "tflm" else LiteRTSession(data, **kernels)
        given = [_quantized(a, v) for a, v in zip(feeds.values(), module.main.inputs)]
        return [_dequantized(a, v) for a, v in zip(session.run(given), module.main.outputs)]


def per_channel_fully_connected(target: Target) -> Target:
    granularity = {**target.weights_granularity, "fully_connected": "per_channel"}
    return target.model_copy(update={"weights_granularity": granularity})


def _quantized(array: Array, value: Value) -> Array:
    if value.quant is None:
        return array
    steps = np.rint(array / value.quant.scale[0]) + value.quant.zero_point[0]
    return np.asarray(np.clip(steps, -128, 127).astype(np.int8))


def _dequantized(array: Array, value: Value) -> Array:
    if value.quant is None:
        return array
    return np.asarray((array.astype(np.float64) - value.quant.zero_point[0]) * value.quant.scale[0], np.float32)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()


@pytest.fixture(scope="session")
def manifests() -> Path:
    return Path(__file__).resolve().parents[2] / "benchmarks" / "manifests"
