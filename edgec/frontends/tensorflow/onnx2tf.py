"""onnx2tf's translation of an ONNX file: the float `.tflite` it writes, from its own environment."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgec.errors import ImportFailure
from edgec.frontends.tensorflow.process import interpreter, package_versions, run_once

TIMEOUT_S = 900.0
_MISSING = (
    "it pins versions that clash with most, so install it into an environment of its own and name its Python with "
    "--python"
)
_SUFFIX = "_float32.tflite"


@dataclass(frozen=True)
class Onnx2tfImport:
    """The bytes of the float `.tflite`, and the file's own names and shapes of outputs (None: not fixed).

    Inputs stand as in the file; onnx2tf lets 4-D outputs stand channels last. `versions` are those of onnx2tf and of
    the TensorFlow it used.
    """

    data: bytes
    inputs: tuple[str, ...]
    outputs: dict[str, tuple[int | None, ...]]
    versions: dict[str, str] = field(default_factory=dict)


def convert_onnx2tf(
    path: Path, shapes: Mapping[str, Sequence[int]] | None = None, *, python: str | Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Onnx2tfImport:  # fmt: skip
    """Have onnx2tf translate a copy of `path` (it overwrites its input) and read back what it wrote.

    Raises:
        ImportFailure: it fails, takes too long or writes no float `.tflite`.
        MissingExtra: no interpreter with onnx2tf is known.
    """
    doing = f"Reading '{path}' with onnx2tf"
    program = find_onnx2tf(python, doing)
    with tempfile.TemporaryDirectory(prefix="edgec-") as name:
        folder = Path(name)
        shutil.copyfile(path, folder / "model.onnx")
        _copy_external(path, folder)
        inputs, outputs = _borders(path, doing)
        command = [program, "-m", "onnx2tf", "-i", "model.onnx", "-o", "out", "-coion", "-n", "-kat", *inputs]
        command += ["-b", "1"] if not shapes else []
        for key, sizes in (shapes or {}).items():
            command += ["-ois", f"{key}:{','.join(str(size) for size in sizes)}"]
        run_once(command, folder, doing=doing, timeout_s=timeout_s)
        found = sorted((folder / "out").glob(f"*{_SUFFIX}"))
        if not found:
            raise ImportFailure(f"{doing}: it ended well but wrote no float .tflite; use edgec's own front end.")
        return Onnx2tfImport(
            found[0].read_bytes(), inputs, outputs, package_versions(program, ("onnx2tf", "tensorflow"))
        )


def find_onnx2tf(python: str | Path | None, doing: str) -> str:
    """The Python to run onnx2tf with; raises ImportFailure or MissingExtra as `interpreter`."""
    return interpreter(python, "onnx2tf", doing, _MISSING)


def _borders(path: Path, doing: str) -> tuple[tuple[str, ...], dict[str, tuple[int | None, ...]]]:
    """Names of the inputs, and shapes of the outputs by name, as the file declares them."""
    import onnx

    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # the protobuf library's errors have no common base
        raise ImportFailure(f"{doing}: it is no ONNX model.") from error
    constants = {tensor.name for tensor in graph.initializer}
    inputs = tuple(value.name for value in graph.input if value.name not in constants)
    return inputs, {value.name: _declared(value) for value in graph.output}


def _declared(value: Any) -> tuple[int | None, ...]:
    return tuple(size.dim_value or None for size in value.type.tensor_type.shape.dim)


def _copy_external(path: Path, folder: Path) -> None:
    """Copy the usual companions of an ONNX file with external data: `net.onnx.data`, `net.data`."""
    for name in (f"{path.name}.data", f"{path.stem}.data", f"{path.name}_data"):
        companion = path.with_name(name)
        if companion.is_file() and not companion.is_symlink():
            shutil.copyfile(companion, folder / companion.name)
