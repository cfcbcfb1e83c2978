"""Stored samples that are read by position, a few at a time: arrays in .npz and .npy files, folders, packed images."""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from edgec.data.images import IMAGE_FORMATS, IMAGE_SUFFIXES, decode_image
from edgec.data.manifest import InputSource
from edgec.errors import DataError

Array = npt.NDArray[Any]

ROWS_AT_ONCE = 64
_READ_ERRORS = (
    OSError, ValueError, TypeError, EOFError, KeyError, SyntaxError, TokenError, OverflowError, RecursionError,
    MemoryError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error, NotImplementedError,
)  # fmt: skip


class Source(Protocol):
    """Samples of one model input, as stored."""

    path: Path
    is_image: bool

    def __len__(self) -> int: ...

    def iter_rows(self, positions: Sequence[int]) -> Iterator[Array]:
        """Yield the stored samples at `positions`, in that order, without holding them all."""
        ...

    def name_of(self, position: int) -> str:
        """How a message names one sample."""
        ...

    def describe(self) -> str:
        """One phrase for the log: what kind of source, and which."""
        ...


class NpyArray:
    """The rows of an array in a .npy file, memory-mapped."""

    is_image = False

    def __init__(self, path: Path) -> None:
        self.path = path
        rows = self._open()
        _check_rows(rows.shape, rows.dtype, f"'{path}'")
        self._count = int(rows.shape[0])

    def _open(self) -> Array:
        with reading(self.path):
            return np.load(self.path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return self._count

    def iter_rows(self, positions: Sequence[int]) -> Iterator[Array]:
        """Yield the rows at `positions`."""
        rows = self._open()
        for position in positions:
            yield np.array(rows[position])

    def name_of(self, position: int) -> str:
        """The row and the file."""
        return f"sample {position} of '{self.path}'"

    def describe(self) -> str:
        """The file."""
        return f"'{self.path}'"


class NpzArray:
    """The rows of one array in a .npz file, read forward through the compressed member, never as a whole.

    Positions in rising order cost one pass; others cost at most one pass for each `ROWS_AT_ONCE` rows.
    """

    is_image = False

    def __init__(self, path: Path, array: str) -> None:
        self.path, self.array = path, array
        with self._member() as member:
            self._shape, self._fortran, self._dtype = _read_npy_header(member)
            self._data_offset = member.tell()
        _check_rows(self._shape, self._dtype, f"array '{array}' of '{path}'")

    @contextmanager
    def _member(self) -> Iterator[IO[bytes]]:
        with reading(self.path):
            archive = zipfile.ZipFile(self.path)
        with archive:
            names = archive.namelist()
            member = f"{self.array}.npy" if f"{self.array}.npy" in names else self.array
            if member not in names:
                raise DataError(
                    f"reading '{self.path}': it has no array '{self.array}', it has {_listed(array_names(self.path))}"
                )
            with reading(self.path), archive.open(member) as stream:
                yield stream

    def __len__(self) -> int:
        return self._shape[0]

    def iter_rows(self, positions: Sequence[int]) -> Iterator[Array]:
        """Yield the rows at `positions`."""
        if self._fortran:  # a row is not contiguous in the file
            whole = load_array(self.path, self.array)
            yield from (np.array(whole[position]) for position in positions)
            return
        with self._member() as member:
            for begin in range(0, len(positions), ROWS_AT_ONCE):
                chunk = positions[begin : begin + ROWS_AT_ONCE]
                rows = {position: self._read_row(member, position) for position in sorted(set(chunk))}
                yield from (rows[position] for position in chunk)

    def _read_row(self, member: IO[bytes], position: int) -> Array:
        row_shape = self._shape[1:]
        row_bytes = self._dtype.itemsize * int(np.prod(row_shape))
        member.seek(self._data_offset + position * row_bytes)
        data = member.read(row_bytes)
        if len(data) != row_bytes:
            raise DataError(f"reading {self.name_of(position)}: the file ends too early")
        return np.frombuffer(data, dtype=self._dtype).reshape(row_shape)

    def name_of(self, position: int) -> str:
        """The row, the array and the file."""
        return f"sample {position} of '{self.path}' (array '{self.array}')"

    def describe(self) -> str:
        """The file and the array."""
        return f"'{self.path}' (array '{self.array}')"


class ImageFolder:
    """The pictures of a folder in the order of their paths; one file is open at a time."""

    is_image = True

    def __init__(self, path: Path, glob: str | None) -> None:
        self.path = path
        try:
            found = path.glob(glob) if glob is not None else path.rglob("*")
            files = [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        except (OSError, ValueError, NotImplementedError, IndexError) as error:  # what glob raises on odd patterns
            raise DataError(f"reading folder '{path}': '{glob}' cannot be looked for ({error})") from error
        self.files = sorted(files, key=lambda file: file.relative_to(path).as_posix())
        if not self.files:
            pattern = f" that match '{glob}'" if glob is not None else ""
            raise DataError(
                f"reading folder '{path}': it holds no pictures{pattern}, looked for {', '.join(IMAGE_SUFFIXES)}"
            )

    def __len__(self) -> int:
        return len(self.files)

    def iter_rows(self, positions: Sequence[int]) -> Iterator[Array]:
        """Yield the decoded pictures at `positions`."""
        for position in positions:
            yield decode_image(self.files[position], self.name_of(position))

    def name_of(self, position: int) -> str:
        """The picture's path."""
        return f"picture '{self.files[position]}'"

    def describe(self) -> str:
        """The folder."""
        return f"folder '{self.path}'"


class PackedImages:
    """Encoded pictures joined in one uint8 array of a .npz file; picture k is bytes[offsets[k]:offsets[k + 1]]."""

    is_image = True

    def __init__(self, path: Path, source: InputSource) -> None:
        self.path, self.encoding = path, source.encoding or "jpeg"
        self._bytes_name = source.bytes_array
        self._offsets = load_array(path, source.offsets).reshape(-1)
        self._bytes = load_array(path, source.bytes_array)
        self._check(source)

    def _check(self, source: InputSource) -> None:
        if self._bytes.dtype != np.uint8 or self._bytes.ndim != 1:
            raise DataError(
                f"reading '{self.path}': array '{source.bytes_array}' must be uint8 with one axis, "
                f"found {self._bytes.dtype} of shape {self._bytes.shape}"
            )
        borders = self._offsets
        kind_is_whole = borders.dtype.kind in "iu"
        if not kind_is_whole or len(borders) < 1 or borders[0] < 0 or borders[-1] > len(self._bytes):
            raise DataError(
                f"reading '{self.path}': array '{source.offsets}' must hold whole numbers from 0 to the "
                f"{len(self._bytes)} bytes of '{source.bytes_array}'"
            )
        if (np.diff(borders.astype(np.int64)) <= 0).any():
            raise DataError(f"reading '{self.path}': array '{source.offsets}' does not rise from picture to picture")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def iter_rows(self, positions: Sequence[int]) -> Iterator[Array]:
        """Yield the decoded pictures at `positions`."""
        formats = tuple(name for name in IMAGE_FORMATS if name.lower() == self.encoding)
        for position in positions:
            begin, end = int(self._offsets[position]), int(self._offsets[position + 1])
            yield decode_image(self._bytes[begin:end].tobytes(), self.name_of(position), formats)

    def name_of(self, position: int) -> str:
        """The picture's number and the file."""
        return f"picture {position} of '{self.path}'"

    def describe(self) -> str:
        """The file and the encoding."""
        return f"'{self.path}' ({self.encoding} pictures in '{self._bytes_name}')"


def open_source(path: Path, source: InputSource) -> Source:
    """Open what an input table names.

    Raises:
        DataError: nothing is there, it is of another kind, or it is damaged.
    """
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:  # a name too long for the file system
        raise DataError(f"reading samples from '{path.name[:60]}…': {error.strerror or error}") from error
    if is_folder:
        if source.array is not None or source.encoding is not None:
            raise DataError(f"reading '{path}': array and encoding are for .npz files, this is a folder")
        return ImageFolder(path, source.glob)
    if source.glob is not None:
        raise DataError(f"reading '{path}': glob needs a folder, this is not one")
    if not exists:
        raise DataError(f"reading samples from '{path}': there is no such file or folder")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return PackedImages(path, source) if source.encoding else NpzArray(path, source.array or default_array(path))
    if suffix == ".npy":
        if source.array is not None or source.encoding is not None:
            raise DataError(f"reading '{path}': array and encoding are for .npz files, a .npy file holds one array")
        return NpyArray(path)
    raise DataError(
        f"reading samples from '{path}': '{path.suffix}' files are not supported, "
        "give a .npz or .npy file or a folder of PNG, JPEG or BMP pictures"
    )


def default_array(path: Path) -> str:
    """The array taken where none is named: `x`, else the first one in the file."""
    names = array_names(path)
    if not names:
        raise DataError(f"reading '{path}': the file holds no arrays")
    return "x" if "x" in names else names[0]


def array_names(path: Path) -> list[str]:
    """The names of a .npz file's arrays, in file order."""
    with reading(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def load_array(path: Path, array: str | None) -> Array:
    """One whole array of a .npz file, or the array of a .npy file; pickled objects are refused."""
    if path.suffix.lower() == ".npy":
        with reading(path):
            return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    names = array_names(path)
    name = array if array is not None else default_array(path)
    if name not in names:
        raise DataError(f"reading '{path}': it has no array '{name}', it has {_listed(names)}")
    with reading(path), np.load(path, allow_pickle=False) as arrays:
        return arrays[name]  # type: ignore[no-any-return]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into a DataError that names it."""
    try:
        yield
    except _READ_ERRORS as error:
        if any(word in str(error) for word in ("pickle", "Object arrays", "Python objects")):
            raise DataError(
                f"reading '{path}': it holds pickled Python objects, which are not loaded for safety; "
                "save plain numeric arrays"
            ) from error
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"reading '{path}': it is missing, damaged or not what its name says: {reason}") from error


def _read_npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


def _check_rows(shape: tuple[int, ...], dtype: np.dtype[Any], what: str) -> None:
    if dtype.hasobject:
        raise DataError(
            f"reading {what}: it holds pickled Python objects, which are not loaded for safety; "
            "save plain numeric arrays"
        )
    if dtype.kind not in "biuf":
        raise DataError(f"reading {what}: its values have type {dtype}, numbers are needed")
    if not shape:
        raise DataError(f"reading {what}: it is a single value, samples must be stacked along a first axis")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names) if names else "none"
