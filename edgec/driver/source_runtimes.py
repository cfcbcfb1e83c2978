"""The runtimes that define what a source model computes: onnxruntime, torch, TensorFlow, LiteRT's own kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgec.errors import ImportFailure, RuntimeFailure
from edgec.runtime.onnx_process import OnnxProcess

if TYPE_CHECKING:
    from edgec.frontends.tensorflow import TensorflowImport
    from edgec.frontends.torch import TorchImport
    from edgec.runtime.litert import LiteRTSession

# Largest error of a translation relative to the output's range: kernels sum in other orders, and a source that
# computes in float16 rounds on its own at every step (0.1 % seen on MLPerf Tiny's ResNet).
# bfloat16 has three bits less.
FLOAT_TOLERANCE, HALF_TOLERANCE, BFLOAT_TOLERANCE = 1e-3, 1e-2, 8e-2
# A source with QDQ pairs rounds its activations to 256 steps: what falls on the other side of a step there is no fault
# (2.5 % of the range seen on one convolution). This wide bar still catches a wrong layout or a wrong attribute.
ROUNDING_TOLERANCE = 0.25

Stated = Sequence[Sequence[int | str | None]]


class SourceRuntime(Protocol):
    """Runs the source model; inputs by name and outputs in order, both in the source's own layout.

    `stated_shapes` are those that the file declares for its outputs, which a run may belie; empty where it declares
    none.
    """

    name: str
    stated_shapes: Stated

    @property
    def tolerance(self) -> float | None:
        """The largest error relative to an output's range that is no fault; None sets no bar."""

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs for one set of inputs."""


class OnnxRuntime:
    """onnxruntime in another process.

    Inputs are given in the source's own element types, which ours may have widened or narrowed.
    """

    def __init__(self, process: OnnxProcess, tolerance: float) -> None:
        self._session = process
        self._dtypes = {info.name: info.dtype for info in self._session.inputs}
        self.name = package_version("onnxruntime")
        self.tolerance = tolerance
        self.stated_shapes: Stated = [info.shape for info in self._session.outputs]

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs for one set of inputs; raises RuntimeFailure."""
        return list(self._session.run({n: a.astype(self._dtypes[n], copy=False) for n, a in feeds.items()}))


class TorchRuntime:
    """The network itself, eagerly in torch."""

    stated_shapes: Stated = ()

    def __init__(self, network: TorchImport) -> None:
        from edgec.runtime.torch_source import TorchSession

        self._session = TorchSession(network.network, network.spec, network.inputs, network.dtypes, network.leaves)
        self.name = str(self._session.runtime)
        halves = "float16" in network.module.extra.get("source_dtypes", ())
        self.tolerance = HALF_TOLERANCE if halves else FLOAT_TOLERANCE

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs for one set of inputs; raises RuntimeFailure."""
        return self._session.run(feeds)


class TensorflowRuntime:
    """The model itself in TensorFlow, in the process that converted it."""

    stated_shapes: Stated = ()

    def __init__(self, found: TensorflowImport, has_steps: bool) -> None:
        self._found = found
        self.name = found.runtime
        bars = {"float16": HALF_TOLERANCE, "bfloat16": BFLOAT_TOLERANCE}
        widest = max(bars.get(name, FLOAT_TOLERANCE) for name in ("float32", *found.other_floats))
        self.tolerance = ROUNDING_TOLERANCE if has_steps else widest

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs for one set of inputs; raises RuntimeFailure."""
        try:
            return self._found.run(feeds)
        except ImportFailure as error:
            raise RuntimeFailure(str(error)) from error


class TfliteRuntime:
    """The `.tflite` itself in LiteRT's own kernels; the first run is tried in a child process, as it may crash.

    State is kept from run to run, as in every session. Inputs and outputs are real values where the file's have a
    scale. No `tolerance` bounds the float form of a quantized file: what its integers cut off may be anything.
    """

    stated_shapes: Stated = ()

    def __init__(self, model: bytes, tolerance: float | None) -> None:
        from edgec.runtime.litert import runtime_version

        self.tolerance = tolerance
        self._model = model
        self._session: LiteRTSession | None = None
        self.name = str(runtime_version())

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs for one set of inputs; raises RuntimeFailure."""
        from edgec.driver.runner import dequantized, quantized
        from edgec.runtime.isolated import run_isolated
        from edgec.runtime.litert import LiteRTSession

        if self._session is None:
            run_isolated("litert", self._model, [], xnnpack=False)
            self._session = LiteRTSession(self._model, xnnpack=False)
        arrays = [quantized(a, info) for a, info in zip(feeds.values(), self._session.input_details)]
        return [dequantized(a, info) for a, info in zip(self._session.run(arrays), self._session.output_details)]


def package_version(name: str) -> str:
    """A package's name and version, the name alone where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name
