"""SavedModels, Keras files and frozen graphs into a float `.tflite`, by TensorFlow in another process."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edgec.errors import ImportFailure
from edgec.frontends.tensorflow.process import Worker, interpreter

Kind = Literal["saved_model", "keras", "h5", "pb"]
KINDS: dict[str, Kind] = {".keras": "keras", ".h5": "h5", ".hdf5": "h5", ".pb": "pb"}
CONVERT_TIMEOUT_S = 900.0
RUN_TIMEOUT_S = 120.0
_MISSING = "install it with pip install 'edgec[tensorflow]', or name a Python that has it with --python"
_SCRIPT = Path(__file__).with_name("worker") / "__main__.py"


@dataclass(frozen=True)
class TensorflowImport:
    """A converted model: the bytes of a float `.tflite`, and the names of inputs and outputs in their order.

    `dims` holds the model's own dimensions of each input, None for an open one and for a shape that is not known.
    `other_floats` names the float types, apart from float32, that the model computes in: they became float32.
    The process that converted it stays, to run the model as its author wrote it, until this object goes.
    """

    kind: Kind
    data: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    runtime: str
    worker: Worker
    dims: tuple[tuple[int | None, ...] | None, ...] = ()
    other_floats: tuple[str, ...] = ()

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of TensorFlow itself for arrays by input name; raises ImportFailure."""
        folder = self.worker.folder
        stored = {f"array_{i}": feeds[name] for i, name in enumerate(self.inputs)}
        np.savez(folder / "feeds.npz", allow_pickle=False, **stored)
        request = {"feeds": str(folder / "feeds.npz"), "names": self.inputs, "to": str(folder / "outputs.npz")}
        self.worker.ask(request, RUN_TIMEOUT_S)
        with np.load(folder / "outputs.npz", allow_pickle=False) as found:
            return [found[f"array_{i}"] for i in range(len(found.files))]


def kind_of(path: Path) -> Kind | None:
    """Which TensorFlow format a path has, by its name or, for a folder, by its `saved_model.pb`; None for no such."""
    if path.is_dir():
        return "saved_model" if (path / "saved_model.pb").is_file() else None
    return KINDS.get(path.suffix.lower())


def convert_tensorflow(
    path: Path, shapes: Mapping[str, Sequence[int]] | None = None, *, python: str | Path | None = None,
    inputs: Sequence[str] = (), outputs: Sequence[str] = (), timeout_s: float = CONVERT_TIMEOUT_S,
) -> TensorflowImport:  # fmt: skip
    """Convert a model without quantization; the batch dimension becomes 1 unless `shapes` says otherwise.

    `python` is an interpreter with TensorFlow, this one where it is None. `inputs` and `outputs` cut a frozen `.pb`.

    Raises:
        ImportFailure: TensorFlow refuses the model, TFLite's builtins cannot express it, or a dimension is not fixed.
        MissingExtra: no interpreter with TensorFlow is known.
    """
    kind = kind_of(path)
    doing = f"Reading '{path}' with TensorFlow"
    if kind is None:
        raise ImportFailure(f"{doing}: it is no SavedModel folder, .keras, .h5 or .pb file.")
    _check_file(path, kind, inputs, outputs, doing)
    program = interpreter(python, "tensorflow", doing, _MISSING)
    worker = Worker([program, str(_SCRIPT)], doing=doing)
    target = worker.folder / "model.tflite"
    request = {
        "path": str(path.resolve()), "kind": kind, "inputs": list(inputs), "outputs": list(outputs),
        "shapes": {name: list(sizes) for name, sizes in (shapes or {}).items()}, "to": str(target),
    }  # fmt: skip
    try:
        reply = worker.ask(request, timeout_s)
        data = target.read_bytes()
    except BaseException:
        worker.close()
        raise
    runtime = f"tensorflow {reply['tensorflow']}"
    dims = tuple(None if sizes is None else tuple(sizes) for sizes in reply["dims"])
    names = (tuple(reply["inputs"]), tuple(reply["outputs"]))
    return TensorflowImport(kind, data, *names, runtime, worker, dims, tuple(reply["other_floats"]))


def _check_file(path: Path, kind: Kind, inputs: Sequence[str], outputs: Sequence[str], doing: str) -> None:
    """Refuse at once what needs no TensorFlow to be seen."""
    if kind != "pb" and (inputs or outputs):
        raise ImportFailure(f"{doing}: --inputs and --outputs are for frozen .pb graphs; this model names its own.")
    if kind == "saved_model":
        return
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ImportFailure(f"{doing}: {error.strerror or error}.") from error
    if kind == "h5" and start != b"\x89HDF\r\n\x1a\n":
        raise ImportFailure(f"{doing}: it is no HDF5 file.")
    if kind == "keras" and not zipfile.is_zipfile(path):
        raise ImportFailure(f"{doing}: it is no .keras file, those are zip archives.")
    if kind == "pb" and path.name == "saved_model.pb":
        raise ImportFailure(f"{doing}: it is the graph of a SavedModel; give the folder '{path.parent}' instead.")
    if kind == "pb" and not start:
        raise ImportFailure(f"{doing}: the file is empty.")
