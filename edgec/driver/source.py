"""The source model: which front end reads it, and how its own runtime runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgec.errors import ImportFailure
from edgec.ir.graph import Module

if TYPE_CHECKING:
    from edgec.runtime.litert import LiteRTSession

Shapes = Mapping[str, Sequence[int]]
_LATER = {
    ".pt2": "PyTorch", ".pt": "PyTorch", ".pth": "PyTorch", ".th": "PyTorch",
    ".keras": "Keras", ".h5": "Keras", ".pb": "TensorFlow",
}  # fmt: skip
HASH_CHUNK = 1 << 20
# Largest error of a translation relative to the output's range: kernels sum in other orders, and a source that
# computes in float16 rounds on its own at every step (0.1 % seen on MLPerf Tiny's ResNet).
FLOAT_TOLERANCE, HALF_TOLERANCE = 1e-3, 1e-2


class SourceRuntime(Protocol):
    """Runs the source model; inputs by name and outputs in order, both in the source's own layout."""

    name: str
    tolerance: float

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs for one set of inputs."""


@dataclass(frozen=True)
class SourceModel:
    """A model file as it was read: `module` is translated, nothing else was done to it."""

    path: Path
    format: str
    sha256: str
    bytes: int
    module: Module

    def runtime(self) -> SourceRuntime:
        """The runtime that defines what the model computes."""
        if self.format != "onnx":
            return _TfliteRuntime(self.path)
        halves = "float16" in self.module.extra.get("source_dtypes", ())
        return _OnnxRuntime(self.path, HALF_TOLERANCE if halves else FLOAT_TOLERANCE)


def load_source(path: str | Path, shapes: Shapes | None = None) -> SourceModel:
    """Read a model file with the front end that its name asks for.

    Raises:
        ImportFailure: there is no such file, its kind is not read, or the front end refuses it.
    """
    path = Path(path)
    if path.is_dir() or not path.exists():
        found = "it is a folder" if path.is_dir() else "there is no such file"
        raise ImportFailure(f"Reading '{path}': {found}; give an .onnx or .tflite file.")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from edgec.frontends.onnx import load_onnx

        module = load_onnx(path, shapes)
    elif suffix == ".tflite":
        from edgec.frontends.tflite import load_tflite

        if shapes:
            raise ImportFailure(f"Reading '{path}': --shape is for ONNX models; a .tflite carries its shapes.")
        module = load_tflite(path)
    else:
        kind = f"{_LATER[suffix]} files are" if suffix in _LATER else f"files named '{suffix or path.name}' are"
        raise ImportFailure(f"Reading '{path}': {kind} not read; export the model to ONNX or TFLite first.")
    return SourceModel(path, suffix[1:], _sha256(path), path.stat().st_size, module)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class _OnnxRuntime:
    """onnxruntime; inputs are given in the source's own element types, which ours may have widened or narrowed."""

    def __init__(self, path: Path, tolerance: float) -> None:
        from edgec.runtime.onnx_source import OnnxSession

        self._session = OnnxSession(path)
        self._dtypes = {info.name: info.dtype for info in self._session.inputs}
        self.name = _package_version("onnxruntime")
        self.tolerance = tolerance

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return list(self._session.run({n: a.astype(self._dtypes[n], copy=False) for n, a in feeds.items()}))


class _TfliteRuntime:
    """The `.tflite` itself in LiteRT's own kernels; the first run is tried in a child process, as it may crash.

    State is kept from run to run, as in every session.
    """

    tolerance = FLOAT_TOLERANCE

    def __init__(self, path: Path) -> None:
        from edgec.runtime.litert import runtime_version

        self._model = path.read_bytes()
        self._session: LiteRTSession | None = None
        self.name = str(runtime_version())

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        from edgec.runtime.isolated import run_isolated
        from edgec.runtime.litert import LiteRTSession

        arrays = list(feeds.values())
        if self._session is None:
            run_isolated("litert", self._model, arrays, xnnpack=False)
            self._session = LiteRTSession(self._model, xnnpack=False)
        return self._session.run(arrays)


def _package_version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def versions() -> dict[str, Any]:
    """Versions of everything that has a say in the result; None for what is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    from edgec import __version__
    from edgec.runtime.litert import runtime_version

    found: dict[str, Any] = {"edgec": __version__, "litert": str(runtime_version())}
    for key, package in (
        ("tflm", "tflite-micro"),
        ("onnx", "onnx"),
        ("onnxruntime", "onnxruntime"),
        ("numpy", "numpy"),
    ):
        try:
            found[key] = version(package)
        except PackageNotFoundError:
            found[key] = None
    return found
