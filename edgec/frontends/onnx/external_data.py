"""Reads weights that an ONNX model keeps in other files, which are regular files inside the model's own folder.

Absolute paths, `..` and links that lead out of the folder are refused. The data is mapped, not read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgec.errors import ImportFailure

if TYPE_CHECKING:
    from onnx import TensorProto

EXTERNAL = 1  # TensorProto.data_location
LONGEST_SHOWN = 200  # characters of a path


def external_array(tensor: TensorProto, folder: Path | None, name: str) -> np.ndarray:
    """The data of a tensor, a read-only view of its file; `folder` is that of the model called `name`.

    Raises:
        ImportFailure: the file lies outside of the folder, is missing, or has no such bytes.
    """
    from onnx import helper

    where = f"Reading '{name}': external data of initializer '{tensor.name}'"
    fields = {entry.key: entry.value for entry in tensor.external_data}
    path = _checked_path(folder, fields.get("location", ""), where)
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    except (KeyError, TypeError):
        raise ImportFailure(f"{where} is of element type {tensor.data_type}, which ONNX does not have.") from None
    shape = tuple(tensor.dims)
    elements = int(np.prod(shape, dtype=object)) if shape else 1
    try:
        offset = int(fields.get("offset") or 0)
        length = int(fields.get("length") or elements * dtype.itemsize)
    except ValueError:
        raise ImportFailure(f"{where} has an offset or length that is no number.") from None
    size = path.stat().st_size
    if min(offset, length, *shape, 0) < 0 or length != elements * dtype.itemsize or offset + length > size:
        raise ImportFailure(f"{where} names {length} bytes at {offset} of '{path.name}', which has {size} bytes.")
    try:
        return np.memmap(path, dtype, "r", offset, shape) if elements else np.empty(shape, dtype)
    except (OSError, ValueError, OverflowError) as error:
        raise ImportFailure(f"{where} cannot be mapped: {error}.") from error


def _checked_path(folder: Path | None, location: str, where: str) -> Path:
    if folder is None:
        raise ImportFailure(f"{where} cannot be read: the model was given as bytes, without a folder.")
    shown = location if len(location) <= LONGEST_SHOWN else f"{location[:LONGEST_SHOWN]}…"
    if not location or os.path.isabs(location) or ".." in Path(location).parts or "\0" in location:
        raise ImportFailure(f"{where} is refused: '{shown}' leads out of the model's folder.")
    try:
        root = folder.resolve()
        path = (root / location).resolve()
        inside, is_file = path.is_relative_to(root), path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a circle of links, no text of a file system
        reason = error.strerror if isinstance(error, OSError) else None
        raise ImportFailure(f"{where} is refused: '{shown}' is no path ({reason or type(error).__name__}).") from error
    if not inside:
        raise ImportFailure(f"{where} is refused: '{shown}' is a link that leads out of the model's folder.")
    if not is_file:
        raise ImportFailure(f"{where} is missing: there is no file '{shown}' beside the model.")
    return path
