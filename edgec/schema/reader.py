"""Read a `.tflite` file into a plain tree, trusting nothing in it.

Every offset, length and vtable is checked against the file before it is followed, and what is decoded is counted, so
that a truncated, bit-flipped or hostile file gives one `ImportFailure` and never a crash, a hang or a flood of memory.
The depth of a tree is bounded by the schema, whose tables never contain themselves (a test keeps this true).
"""

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import numpy as np

from edgec.errors import ImportFailure
from edgec.schema.fields import Field, value_names
from edgec.schema.tables import ENUMS, TABLES

Tree = dict[str, Any]

FILE_IDENTIFIER = b"TFL3"
# Each table, vector and offset that is read takes a word of 4 bytes, so a file whose parts are not shared has at least
# 4 bytes for each of them, and real files, with weights, names and numbers in them, have many times that. This bounds
# what a hostile file can unfold to by sharing its parts: about 100 times its size and at most 1.5 GB.
BYTES_PER_WORD = 4
MIN_WORD_BUDGET = 16_384
MAX_WORD_BUDGET = 4_000_000  # a graph of about 100,000 operators

SCALAR_FORMATS = {
    "bool": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
# First bytes of other files that people pass by mistake.
OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive (a Keras or PyTorch file, or a packed download)"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file itself"),
    (b"<", "an HTML or XML page"),
    (b"\x08", "a protocol buffer (ONNX or TensorFlow)"),
)
# (table, offset field, size field, field that receives the data): data behind the FlatBuffer, in files above 2 GB.
OUT_OF_LINE = {
    "Buffer": ("offset", "size", "data"),
    "Operator": ("large_custom_options_offset", "large_custom_options_size", "custom_options"),
}

_U32 = struct.Struct("<I")
_I32 = struct.Struct("<i")
_U16_PAIR = struct.Struct("<HH")


@cache
def _slots_struct(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}H")


@dataclass(frozen=True, slots=True)
class _Reader:
    """How to read the value in one slot of a table."""

    field: Field
    method: str
    scalar: struct.Struct | None = None
    names: dict[int, str] | None = None
    target: str = ""


def _reader_of(field: Field) -> _Reader:
    shape, _, rest = field.kind.partition(":")
    if shape in SCALAR_FORMATS:
        names = value_names(field.enum) if field.enum else None
        method = "bool" if shape == "bool" else "scalar"
        return _Reader(field, method, struct.Struct("<" + SCALAR_FORMATS[shape]), names)
    if shape == "vector":
        inner, _, table = rest.partition(":")
        method = {"string": "strings", "table": "tables", "bool": "bools"}.get(inner, "numbers")
        return _Reader(field, method, target=table if inner == "table" else inner)
    return _Reader(field, shape, target=rest)


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that is needed to read one kind of table: what an empty one holds, and a reader for each slot."""

    empty: Tree
    readers: tuple[_Reader | None, ...]


@cache
def _plan_of(table: str) -> _Plan:
    fields = TABLES[table]
    empty: Tree = {}
    readers: list[_Reader | None] = [None] * (max((f.slot for f in fields), default=-1) + 2)
    for field in fields:
        names = value_names(field.enum) if field.enum else {}
        empty[field.name] = names.get(field.default, field.default) if isinstance(field.default, int) else field.default
        readers[field.slot] = _reader_of(field)
    return _Plan(empty, tuple(readers))


class _Decoder:
    """One file being read, with what may still be decoded of it."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.size = len(data)
        self.words_left = min(self.size // BYTES_PER_WORD + MIN_WORD_BUDGET, MAX_WORD_BUDGET)
        self.bytes_left = self.size + MIN_WORD_BUDGET  # of distinct strings and copied bool vectors
        self.strings: dict[int, str] = {}

    def fail(self, table: str, field: str, position: int, what: str) -> NoReturn:
        where = f"{table}.{field}" if field else table
        raise ImportFailure(f"cannot read the .tflite file: {where} at byte {position} {what}; {ADVICE}")

    def table(self, name: str, position: int) -> Tree:
        """Decode the table of type `name` that starts at `position`."""
        data, size = self.data, self.size
        self.words_left -= 1
        if self.words_left < 0:
            self.fail(name, "", position, "is one table more than a file of this size can hold without trickery")
        if not 0 <= position <= size - 4:
            self.fail(name, "", position, f"lies outside the file of {size} bytes")
        vtable = position - _I32.unpack_from(data, position)[0]
        if not 0 <= vtable <= size - 4:
            self.fail(name, "", position, f"has its vtable at byte {vtable}, outside the file of {size} bytes")
        vtable_bytes, table_bytes = _U16_PAIR.unpack_from(data, vtable)
        if vtable_bytes < 4 or vtable_bytes % 2 or vtable + vtable_bytes > size:
            self.fail(name, "", position, f"has a vtable of {vtable_bytes} bytes at byte {vtable}, which cannot be")
        if table_bytes < 4 or position + table_bytes > size:
            self.fail(name, "", position, f"claims {table_bytes} bytes of the file's {size}")
        plan = _plan_of(name)
        tree = plan.empty.copy()
        slots = min(vtable_bytes // 2 - 2, len(plan.readers))  # a newer schema has more; a hostile file, 32,765
        offsets = _slots_struct(slots).unpack_from(data, vtable + 4)
        for slot, (reader, offset) in enumerate(zip(plan.readers, offsets)):
            if reader is not None and offset:
                tree[reader.field.name] = self.field(name, reader, position, offset, offsets, slot)
        if name in OUT_OF_LINE:
            self.resolve_out_of_line(name, tree, position)
        return tree

    def field(
        self, table: str, reader: _Reader, position: int, offset: int, offsets: tuple[int, ...], slot: int
    ) -> Any:
        """Value of one field; `offset` is where it stands in the table at `position`."""
        at = position + offset
        name = reader.field.name
        if reader.scalar is not None:
            if at + reader.scalar.size > self.size:
                self.fail(table, name, at, f"runs past the end of the file of {self.size} bytes")
            value = reader.scalar.unpack_from(self.data, at)[0]
            if reader.method == "bool":
                return value != 0
            return value if reader.names is None else reader.names.get(value, value)
        if reader.method == "union":
            value_offset = offsets[slot + 1] if slot + 1 < len(offsets) else 0
            return self.union(table, reader, position, offset, value_offset)
        target = self.follow(table, name, at)
        if reader.method == "table":
            return self.table(reader.target, target)
        if reader.method == "string":
            return self.string(table, name, target)
        if reader.method == "numbers":
            return self.numbers(table, name, target, reader.target)
        if reader.method == "bools":
            return self.bools(table, name, target)
        return self.elements(table, reader, target)

    def follow(self, table: str, field: str, at: int) -> int:
        """Position that the offset stored at byte `at` points to: forward and inside the file."""
        self.words_left -= 1
        if at + 4 > self.size:
            self.fail(table, field, at, f"runs past the end of the file of {self.size} bytes")
        offset: int = _U32.unpack_from(self.data, at)[0]
        target = at + offset
        if offset == 0 or target + 4 > self.size:
            self.fail(table, field, at, f"points to byte {target}, which is not ahead of it inside the file")
        return target

    def vector(self, table: str, field: str, position: int, element_bytes: int) -> int:
        """Element count of the vector at `position`, whose elements all lie inside the file."""
        self.words_left -= 1
        if self.words_left < 0:
            self.fail(table, field, position, "is one vector more than a file of this size can hold without trickery")
        count: int = _U32.unpack_from(self.data, position)[0]
        if position + 4 + count * element_bytes > self.size:
            what = f"has {count} elements of {element_bytes} bytes where {self.size - position - 4} bytes are left"
            self.fail(table, field, position, what)
        return count

    def numbers(self, table: str, field: str, position: int, scalar: str) -> np.ndarray[Any, Any]:
        """Numeric vector as a read-only view of the file."""
        dtype = np.dtype(scalar).newbyteorder("<")
        count = self.vector(table, field, position, dtype.itemsize)
        return self.view(dtype, count, position + 4)

    def view(self, dtype: np.dtype[Any], count: int, position: int) -> np.ndarray[Any, Any]:
        return np.frombuffer(self.data, dtype, count, position) if count else np.empty(0, dtype)

    def bools(self, table: str, field: str, position: int) -> np.ndarray[Any, Any]:
        """Bool vector; copied, since a file may hold bytes other than 0 and 1."""
        raw = self.numbers(table, field, position, "uint8")
        self.spend_bytes(table, field, position, raw.size)
        flags: np.ndarray[Any, Any] = np.not_equal(raw, 0)
        return flags

    def string(self, table: str, field: str, position: int) -> str:
        """Text of a string; bytes that are not UTF-8 become surrogate escapes and are written back as they were."""
        known = self.strings.get(position)
        if known is not None:
            return known
        count = self.vector(table, field, position, 1)
        self.spend_bytes(table, field, position, count)
        text = str(self.data[position + 4 : position + 4 + count], "utf-8", "surrogateescape")
        self.strings[position] = text
        return text

    def spend_bytes(self, table: str, field: str, position: int, count: int) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            self.fail(table, field, position, "brings the text in this file to more bytes than the file has")

    def elements(self, table: str, reader: _Reader, position: int) -> list[Any]:
        """Vector of strings or of tables."""
        name = reader.field.name
        count = self.vector(table, name, position, 4)
        starts = range(position + 4, position + 4 + 4 * count, 4)
        if count > self.words_left:
            self.fail(table, name, position, f"has {count} elements, more than this file can hold without trickery")
        if reader.method == "tables":
            return [self.table(reader.target, self.follow(table, name, at)) for at in starts]
        return [self.string(table, name, self.follow(table, name, at)) for at in starts]

    def union(
        self, table: str, reader: _Reader, position: int, type_offset: int, value_offset: int
    ) -> tuple[str, Tree] | None:
        """Union as (type name, table), None where its type is NONE or its value is absent."""
        name, at = reader.field.name, position + type_offset
        if at >= self.size:
            self.fail(table, name, at, f"runs past the end of the file of {self.size} bytes")
        if value_offset == 0 or self.data[at] == 0:
            return None
        member = value_names(reader.target).get(self.data[at])
        if member is None:
            known = max(ENUMS[reader.target].values())
            self.fail(table, name, at, f"is of type {self.data[at]}, but {reader.target} has types up to {known} only")
        return member, self.table(member, self.follow(table, name, position + value_offset))

    def resolve_out_of_line(self, name: str, tree: Tree, position: int) -> None:
        """Replace offset and size of data behind the FlatBuffer by the data (valid where the offset exceeds 1)."""
        offset_field, size_field, data_field = OUT_OF_LINE[name]
        offset, count = tree[offset_field], tree[size_field]
        if offset > 1:
            if offset + count > self.size:
                what = f"names bytes {offset} to {offset + count} of a file of {self.size} bytes"
                self.fail(name, offset_field, position, what)
            tree[data_field] = self.view(np.dtype(np.uint8), count, offset)
        tree[offset_field] = tree[size_field] = 0


ADVICE = "the file is damaged, truncated or no TFLite model"


def decode(table: str, data: bytes | bytearray | memoryview | np.ndarray[Any, Any], position: int) -> Tree:
    """Decode the table of type `table` at byte `position` of `data`.

    Gives every field of the schema: numeric vectors as read-only little-endian views of `data`, strings as str (bytes
    that are not UTF-8 as surrogate escapes), enum scalars by name ("SAME") or as a number where the name is unknown,
    unions as (type name, dict) or None, absent scalars as their default, absent vectors, strings and tables as None.
    Data behind the FlatBuffer (`Buffer.offset`, `Operator.large_custom_options_offset`) is put into `data` and
    `custom_options`, and offset and size become 0. Deprecated fields and those of a newer schema are left out.

    Raises ImportFailure where anything points outside `data` or the file is larger unfolded than its size permits.
    """
    return _Decoder(_as_bytes(data)).table(table, position)


def read_model(data: bytes | bytearray | memoryview | np.ndarray[Any, Any]) -> Tree:
    """Decode a whole `.tflite` file into its `Model` tree; see `decode` for its form.

    Raises ImportFailure for anything that is not an intact TFLite file.
    """
    view = _as_bytes(data)
    if len(view) == 0:
        raise ImportFailure("cannot read the .tflite file: it is empty; export or download it again")
    if view[4:8] != FILE_IDENTIFIER:
        raise ImportFailure(f"cannot read the .tflite file: {_describe_start(view)}; pass a .tflite model")
    decoder = _Decoder(view)
    return decoder.table("Model", decoder.follow("Model", "", 0))


def _as_bytes(data: bytes | bytearray | memoryview | np.ndarray[Any, Any]) -> memoryview:
    if isinstance(data, np.ndarray):
        data = np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
    return memoryview(data).cast("B").toreadonly() if len(data) else memoryview(b"")


def _describe_start(view: memoryview) -> str:
    start = bytes(view[:32])
    for prefix, meaning in OTHER_FORMATS:
        if start.startswith(prefix):
            return f"it is {meaning}"
    if len(view) < 8:
        return f"it has only {len(view)} bytes"
    return f"bytes 4 to 7 are {start[4:8]!r} where a TFLite model has {FILE_IDENTIFIER!r}"
