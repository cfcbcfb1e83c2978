"""Labels and target values of a sample set: from an array, a CSV file or folder names."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgec.data.manifest import LabelSource
from edgec.data.sources import ImageFolder, Source, load_array
from edgec.errors import DataError

Array = npt.NDArray[Any]


def load_labels(source: LabelSource, base: Path, samples: Source, numeric_targets: bool) -> tuple[Array, list[str]]:
    """One label for every stored sample, in stored order, and notes on how they were read.

    Args:
        source: the manifest's [labels] table.
        base: the manifest's folder.
        samples: the first input's samples; labels without a path of their own are looked for in its file.
        numeric_targets: keep values as float32 targets (metric `mean_error`) and do not read them as classes.

    Raises:
        DataError: labels are missing, of another number than the samples, or no class indices.
    """
    raw, where = _stored_labels(source, base, samples)
    if len(raw) != len(samples):
        raise DataError(f"reading labels from {where}: found {len(raw)} for {len(samples)} samples, one each is needed")
    if numeric_targets:
        return _targets(raw, where), []
    return _class_indices(raw, source, where), _numbering_notes(raw, source, where)


def _stored_labels(source: LabelSource, base: Path, samples: Source) -> tuple[Array, str]:
    if source.folders:
        return _folder_names(samples), f"the folder names in '{samples.path}'"
    if source.csv is not None:
        path = base / source.csv
        return _csv_column(path, source, samples), f"column '{source.column}' of '{path}'"
    path = base / source.path if source.path is not None else samples.path
    if path.is_dir() or path.suffix.lower() not in (".npz", ".npy"):
        raise DataError(f"reading labels from '{path}': a .npz or .npy file is needed, or give csv or folders")
    if path.suffix.lower() == ".npy":
        return load_array(path, None), f"'{path}'"
    if source.array is None:
        raise DataError(f"reading labels from '{path}': say which array, labels.array = \"NAME\"")
    return load_array(path, source.array), f"array '{source.array}' of '{path}'"


def _folder_names(samples: Source) -> Array:
    if not isinstance(samples, ImageFolder):
        raise DataError(f"reading labels: folders = true needs a folder of pictures, '{samples.path}' is not one")
    return np.array([file.parent.name for file in samples.files])


def _csv_column(path: Path, source: LabelSource, samples: Source) -> Array:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = list(reader.fieldnames or [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"reading labels from '{path}': not a readable CSV file: {error}") from error
    for wanted in (source.column, source.file_column):
        if wanted is not None and wanted not in columns:
            raise DataError(f"reading labels from '{path}': no column '{wanted}' among {', '.join(columns) or 'none'}")
    if source.file_column is None:
        return np.array([row[source.column] or "" for row in rows], dtype=np.str_)
    if not isinstance(samples, ImageFolder):
        raise DataError(f"reading labels from '{path}': file_column needs a folder of pictures as input")
    by_file = {str(row[source.file_column]): row[source.column] or "" for row in rows}
    return np.array([_label_of(file, samples.path, by_file, path) for file in samples.files])


def _label_of(file: Path, folder: Path, by_file: dict[str, str], table: Path) -> str:
    relative = file.relative_to(folder).as_posix()
    for key in (relative, file.name):
        if key in by_file:
            return by_file[key]
    raise DataError(f"reading labels from '{table}': no row for picture '{relative}'")


def _targets(raw: Array, where: str) -> Array:
    try:
        targets = raw.astype(np.float32)
    except ValueError as error:
        raise DataError(f"reading target values from {where}: numbers are needed: {error}") from error
    if not np.isfinite(targets).all():
        row = int(np.argwhere(~np.isfinite(targets))[0][0])
        raise DataError(f"reading target values from {where}: the value of sample {row} is not finite")
    return targets


def _class_indices(raw: Array, source: LabelSource, where: str) -> Array:
    values = raw.reshape(len(raw)) if raw.size == len(raw) else raw
    if values.ndim != 1:
        raise DataError(f"reading labels from {where}: found shape {raw.shape}, one class index a sample is needed")
    if values.dtype.kind in "US":
        indices = _named_classes([str(value) for value in values], source.classes, where)
    else:
        indices = values.astype(np.int64) if values.dtype.kind in "biu" else _whole(values, where)
    shifted = indices + source.offset
    if shifted.size and shifted.min() < 0:
        row = int(np.argmin(shifted))
        raise DataError(
            f"reading labels from {where}: sample {row} has label {indices[row]}, with offset {source.offset} "
            "it falls below 0; change labels.offset"
        )
    return shifted


def _whole(values: Array, where: str) -> Array:
    if values.dtype.kind != "f" or not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise DataError(f"reading labels from {where}: class indices must be whole numbers, found {values.dtype}")
    return values.astype(np.int64)


def _named_classes(values: Sequence[str], classes: tuple[str, ...] | None, where: str) -> Array:
    """Indices of class names; without a list of classes, whole numbers as text, else sorted names count from 0."""
    if classes is None and all(_is_whole(value) for value in values):
        return np.array([int(value) for value in values], dtype=np.int64)
    for row, value in enumerate(values):
        if not value or (classes is None and _is_whole(value)):
            raise DataError(
                f"reading labels from {where}: sample {row} has label '{value}' among class names; "
                "give every sample a name, or every sample a number"
            )
    order = list(classes) if classes is not None else sorted(set(values))
    position = {name: index for index, name in enumerate(order)}
    for row, value in enumerate(values):
        if value not in position:
            raise DataError(
                f"reading labels from {where}: sample {row} has label '{value}', allowed: {', '.join(order)}"
            )
    return np.array([position[value] for value in values], dtype=np.int64)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _numbering_notes(raw: Array, source: LabelSource, where: str) -> list[str]:
    if raw.dtype.kind not in "US" or source.classes is not None or all(_is_whole(str(value)) for value in raw.flat):
        return []
    names = sorted({str(value) for value in raw.flat})
    return [
        f"{len(names)} class names from {where} are numbered in sorted order, from '{names[0]}' = 0 to "
        f"'{names[-1]}' = {len(names) - 1}; give labels.classes if the model's outputs are in another order"
    ]
