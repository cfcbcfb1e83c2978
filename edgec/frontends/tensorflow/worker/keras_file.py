"""Reads `.keras` and `.h5` files."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .keras_config import custom, layers, refuse_code, repair
from .model import Model
from .refusal import Refusal, tensorflow

MOST_UNPACKED = 20  # times the size of a .keras file, whose weights are hardly smaller when they are packed
SMALL_BYTES = 64 << 20


def load_keras(path: Path, folder: Path) -> tuple[Model, list[str]]:
    """A `.keras` or `.h5` file; older files are repaired in a copy inside `folder`."""
    keras = importlib.import_module("keras")
    repaired = repaired_h5(path, folder) if path.suffix.lower() in (".h5", ".hdf5") else checked_keras(path)
    try:
        model = keras.saving.load_model(str(repaired), compile=False, safe_mode=True)
    except (TypeError, ValueError) as error:
        unknown = re.search(r"(?:Unknown \w+|Could not locate \w+):? '([^']+)'", str(error))
        raise (custom(unknown[1]) if unknown else error) from error
    if not getattr(model, "inputs", None):
        raise Refusal("the model was saved without its inputs' shapes; export it as a SavedModel")

    def call(*tensors: Any) -> Any:
        return tensorflow().nest.flatten(model(_arranged(model, tensors), training=False))

    inputs = [(t.name.split(":")[0], tuple(t.shape), tensorflow().as_dtype(t.dtype)) for t in model.inputs]
    return Model(call, model, inputs), [str(n) for n in getattr(model, "output_names", [])]


def _arranged(model: Any, tensors: Sequence[Any]) -> Any:
    """The tensors in the structure that the model is called with."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is not None:
        return importlib.import_module("keras").tree.pack_sequence_as(structure, list(tensors))
    return tensors[0] if len(tensors) == 1 else list(tensors)


def checked_keras(path: Path) -> Path:
    """A `.keras` file that may be loaded: no code in it, no other files' weights, no bomb."""
    if not zipfile.is_zipfile(path):
        raise Refusal("it is no .keras file: those are zip archives")
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            raise Refusal("it is no .keras file: it holds no config.json")
        unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > MOST_UNPACKED * path.stat().st_size + SMALL_BYTES:
            raise Refusal(f"it unpacks to {unpacked} bytes, far more than weights ever do")
        refuse_code(json.loads(archive.read("config.json")))
        for info in archive.infolist():
            if info.filename.endswith(".h5"):
                with archive.open(info) as member:
                    _refuse_outside(member)
    return path


def _refuse_outside(file: Any) -> None:
    """Refuse an HDF5 file, a path or an open one, whose weights lie in other files."""
    h5py = importlib.import_module("h5py")
    with h5py.File(file, "r") as opened:
        parts = [opened]
        opened.visititems(lambda _, part: parts.append(part))
        for part in parts:
            if isinstance(part, h5py.Dataset):
                outside = bool(part.external) or part.is_virtual
            else:
                outside = any(isinstance(part.get(name, getlink=True), h5py.ExternalLink) for name in part)
            if outside:
                raise Refusal(f"its part '{part.name}' lies in another file, which edgec does not read; save it whole")


def repaired_h5(path: Path, folder: Path) -> Path:
    """A `.h5` file that may be loaded, a copy in `folder` where its layers carry what current Keras rejects."""
    h5py = importlib.import_module("h5py")
    if not h5py.is_hdf5(path):
        raise Refusal("it is no HDF5 file")
    _refuse_outside(path)
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise Refusal("it holds weights only; save the whole model with model.save()")
    config = json.loads(text)
    refuse_code(config)
    if not sum(repair(layer) for layer in layers(config)):
        return path
    copy = folder / "repaired.h5"
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    return copy
