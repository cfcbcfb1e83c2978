"""The source model: which front end reads it, and which runtime defines what it computes."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgec.driver.source_runtimes import (
    FLOAT_TOLERANCE,
    HALF_TOLERANCE,
    ROUNDING_TOLERANCE,
    OnnxRuntime,
    SourceRuntime,
    TensorflowRuntime,
    TfliteRuntime,
    TorchRuntime,
)
from edgec.errors import ImportFailure
from edgec.ir.graph import Module
from edgec.runtime.onnx_process import OnnxProcess

if TYPE_CHECKING:
    from edgec.frontends.tensorflow import TensorflowImport
    from edgec.frontends.torch import TorchImport

Shapes = Mapping[str, Sequence[int]]
_RUNS_CODE = (".pt", ".pth", ".th", ".ptl", ".pkl")  # TorchScript, pickled modules, pickled state dicts
ONNX2TF = "onnx2tf"
READ_FORMATS = "an .onnx, .tflite, .pt2, .keras, .h5 or frozen .pb file or a SavedModel folder"
HASH_CHUNK = 1 << 20
LARGE_BYTES = 64 << 20


@dataclass(frozen=True)
class ReadOptions:
    """How a file of another framework is read.

    `frontend` is None or `onnx2tf`; `python` the interpreter for TensorFlow or onnx2tf, None for this one; `inputs` and
    `outputs` cut a frozen TensorFlow graph; `unroll` writes out recurrent layers and loops of ONNX and torch.
    """

    frontend: str | None = None
    python: str | None = None
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()
    unroll: bool = False


@dataclass(frozen=True)
class SourceModel:
    """A model as it was read: `module` is translated, nothing else was done to it.

    `path` is the file, or the name of a torch network that came from none; `network` is what torch runs, `tensorflow`
    what TensorFlow runs. `shapes`, `frontend` and `unroll` are as they were asked for, to read it once more.
    """

    path: Path
    format: str
    sha256: str
    bytes: int
    module: Module
    network: TorchImport | None = None
    tensorflow: TensorflowImport | None = None
    shapes: Shapes | None = None
    frontend: str | None = None
    unroll: bool = False
    requantized: bool = False

    @property
    def tool_versions(self) -> dict[str, str]:
        """Versions of the programs of other environments that translated the model."""
        from edgec.driver.foreign import TOOL_VERSIONS

        return dict(self.module.extra.get(TOOL_VERSIONS, {}))

    @property
    def rounds_at_run_time(self) -> bool:
        """Whether the source is quantized dynamically: small weights, activations rounded as they come."""
        return bool(self.module.extra.get("rounds_at_run_time"))

    def runtime(self) -> SourceRuntime:
        """The runtime that defines what the model computes."""
        if self.network is not None:
            return TorchRuntime(self.network)
        if self.tensorflow is not None:
            return TensorflowRuntime(self.tensorflow, _has_steps(self.module))
        if self.format != "onnx":
            return TfliteRuntime(self.tflite_bytes(), None if self.requantized else FLOAT_TOLERANCE)
        halves = "float16" in self.module.extra.get("source_dtypes", ())
        tolerance = HALF_TOLERANCE if halves else FLOAT_TOLERANCE
        if self.rounds_at_run_time or _has_steps(self.module):
            tolerance = ROUNDING_TOLERANCE
        return OnnxRuntime(OnnxProcess(self.path, lean=True) if self.is_large else self._onnx_process, tolerance)

    def prepare_runtime(self) -> None:
        """Start what `runtime` will need, where that can be done while this process works."""
        if self.format == "onnx" and not self.is_large:
            _ = self._onnx_process  # starts now, is used by `runtime`

    @cached_property
    def _onnx_process(self) -> OnnxProcess:
        return OnnxProcess(self.path)

    def tflite_bytes(self) -> builtins.bytes:
        """The `.tflite` as LiteRT runs it: with open inputs where other sizes than the file's were asked for."""
        return _with_open_inputs(self.path) if self.shapes else self.path.read_bytes()

    @property
    def is_large(self) -> bool:
        """Whether its weights take so much memory that no runtime should hold them twice."""
        constants = (value for graph in self.module.graphs for value in graph.constants())
        return sum(value.type.bytes for value in constants) > LARGE_BYTES


def load_source(
    model: object, shapes: Shapes | None = None, example_inputs: object = None, options: ReadOptions | None = None
) -> SourceModel:
    """Read a model with the front end that its name asks for, or translate a `torch.nn.Module`.

    `model` is a path, `package.module:function` (see `edgec.frontends.torch.load_factory`), or a network of torch's
    with its `example_inputs`.

    Raises:
        ImportFailure: there is no such file, its kind is not read, or the front end refuses it.
    """
    options = options or ReadOptions()
    if not isinstance(model, (str, Path)):
        return _load_network(model, shapes, example_inputs, options.unroll)
    if example_inputs is not None:
        raise ImportFailure(f"Reading '{model}': example inputs go with a torch.nn.Module; a file has its own inputs.")
    if ":" in str(model):
        from edgec.frontends.torch import is_factory, load_factory

        if is_factory(str(model)):
            imported = load_factory(str(model), shapes, unroll=options.unroll)
            return _from_torch(Path(str(model)), imported, shapes)
    path = Path(model)
    foreign = load_foreign(path, shapes, options)
    if foreign is not None:
        return foreign
    if path.is_dir() or not path.exists():
        found = "it is a folder without a saved_model.pb" if path.is_dir() else "there is no such file"
        raise ImportFailure(f"Reading '{path}': {found}; give {READ_FORMATS}.")
    return _load_file(path, shapes, options.unroll)


def load_foreign(path: Path, shapes: Shapes | None, options: ReadOptions) -> SourceModel | None:
    """A model that another program translates: TensorFlow's formats, and ONNX where onnx2tf was asked for.

    None for everything else; raises as `load_source`.
    """
    from edgec.frontends.tensorflow.importer import kind_of

    kind = kind_of(path) if path.exists() else None
    if (options.inputs or options.outputs) and path.exists() and kind != "pb":
        raise ImportFailure(f"Reading '{path}': --inputs and --outputs are for frozen TensorFlow graphs (.pb).")
    if options.frontend is not None:
        return _by_front_end(path, shapes, options)
    if kind is None:
        return None
    from edgec.driver.foreign import load_tensorflow

    module, found = load_tensorflow(path, shapes, options.python, options.inputs, options.outputs)
    size, digest = _size_and_sha256(path)
    return SourceModel(path, kind, digest, size, module, tensorflow=found, shapes=shapes)


def _by_front_end(path: Path, shapes: Shapes | None, options: ReadOptions) -> SourceModel:
    if options.frontend != ONNX2TF:
        raise ImportFailure(f"Reading '{path}': there is no front end '{options.frontend}' to choose; it is {ONNX2TF}.")
    if path.suffix.lower() != ".onnx" or not path.is_file():
        raise ImportFailure(f"Reading '{path}' with onnx2tf: it is no .onnx file, and onnx2tf reads nothing else.")
    from edgec.driver.foreign import load_onnx2tf

    module = load_onnx2tf(path, shapes, options.python)
    return SourceModel(
        path, "onnx", _sha256(path), path.stat().st_size, module, shapes=shapes, frontend=options.frontend
    )


def _size_and_sha256(path: Path) -> tuple[int, str]:
    """Bytes and digest of a file; of a folder, those of its files' names and contents in order."""
    if path.is_file():
        return path.stat().st_size, _sha256(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()}\0{_sha256(file)}\n".encode())
    return sum(f.stat().st_size for f in files), digest.hexdigest()


def _load_file(path: Path, shapes: Shapes | None, unroll: bool) -> SourceModel:
    suffix = path.suffix.lower()
    network = None
    if suffix == ".onnx":
        from edgec.frontends.onnx import load_onnx

        module = load_onnx(path, shapes, unroll=unroll)
    elif suffix == ".tflite":
        from edgec.frontends.tflite import load_tflite

        module = load_tflite(path)
        if shapes:
            from edgec.passes.canonicalize.resize_inputs import resize_inputs

            resize_inputs(module, shapes, f"Reading '{path}' with --shape")
        else:
            module = _with_fixed_batch(path, module)
    elif suffix == ".pt2":
        from edgec.frontends.torch import load_pt2

        network = load_pt2(path, shapes, unroll=unroll)
        module = network.module
    else:
        raise ImportFailure(f"Reading '{path}': {_not_read(path, suffix)}.")
    size = path.stat().st_size
    return SourceModel(path, suffix[1:], _sha256(path), size, module, network, shapes=shapes, unroll=unroll)


def _with_fixed_batch(path: Path, module: Module) -> Module:
    """The file with the batch that it states, where that alone is open and shapes in it are computed from it.

    TensorFlow's converter writes such files: every shape behind a computed one is stored as 1 for what is not known.
    """
    from edgec.frontends.tflite import load_tflite
    from edgec.passes.canonicalize.fix_batch import only_batch_open
    from edgec.passes.canonicalize.resize_inputs import resize_inputs

    graph = module.main
    opened = [value for value in graph.inputs if value.type.is_dynamic]
    computed = any(op.opcode == "shape" for op in graph.ops)
    if not opened or not computed or not all(only_batch_open(value) for value in opened) or len(module.graphs) > 1:
        return module
    fixed = load_tflite(path)
    try:
        resize_inputs(fixed, {value.name: value.shape for value in opened}, f"Reading '{path}'")
    except ImportFailure:  # something else in it is open: it stays as it is
        return module
    return fixed


def _not_read(path: Path, suffix: str) -> str:
    if suffix in _RUNS_CODE:
        return (
            "TorchScript files and pickles can run code while they are read, so edgec does not load them; save the "
            "network with torch.export as a .pt2, or name a function of yours, package.module:function, that builds it "
            "and reads its weights by torch.load(..., weights_only=True)"
        )
    return f"files named '{suffix or path.name}' are not read; give {READ_FORMATS}"


def _load_network(network: Any, shapes: Shapes | None, example_inputs: object, unroll: bool) -> SourceModel:
    from edgec.frontends.torch import import_network

    name = type(network).__name__
    return _from_torch(Path(name), import_network(network, example_inputs, name, shapes, unroll=unroll), shapes)


def _from_torch(path: Path, imported: TorchImport, shapes: Shapes | None) -> SourceModel:
    return SourceModel(
        path, "torch", imported.sha256, imported.bytes, imported.module, imported, shapes=shapes, unroll=imported.unroll
    )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _with_open_inputs(path: Path) -> bytes:
    """A `.tflite` whose inputs LiteRT resizes: it asks for a signature that leaves their sizes open."""
    from edgec.backends.tflite import serialize
    from edgec.frontends.tflite import load_tflite

    module = load_tflite(path)
    for value in module.main.inputs:
        value.type = replace(value.type, signature=(-1,) * value.type.rank)
    return serialize(module)


def _has_steps(module: Module) -> bool:
    """Whether the source rounds its activations to steps, by QDQ pairs or fake quantization."""
    return any(op.opcode == "quantize" for op in module.main.ops)


def versions(tools: Mapping[str, str]) -> dict[str, Any]:
    """Versions of everything that has a say in the result; None for what is not installed.

    `tools` are the programs of other environments that took part.
    """
    from importlib.metadata import PackageNotFoundError, version

    from edgec import __version__
    from edgec.runtime.litert import runtime_version

    found: dict[str, Any] = {"edgec": __version__, "litert": str(runtime_version())}
    for key, package in (
        ("tflm", "tflite-micro"),
        ("onnx", "onnx"),
        ("onnxruntime", "onnxruntime"),
        ("numpy", "numpy"),
        ("torch", "torch"),
    ):
        try:
            found[key] = version(package)
        except PackageNotFoundError:
            found[key] = None
    return {**found, **tools}
