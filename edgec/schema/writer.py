"""Write a `Model` tree as a `.tflite` file.

The FlatBuffer is written front to back: a table first, then what it points to, so that every offset points forward as
the format demands and every position is final as soon as it is written (alignment needs no bookkeeping from the end).
Weights are not copied on the way: `Buffer.data` goes behind everything else, in one join at the end, and peak memory is
the file plus its small structural part. `flatbuffers.Builder` was not taken because it needs several Python calls a
field and copies its whole buffer each time it grows.
"""

import struct
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import numpy as np

from edgec.errors import ExportFailure
from edgec.schema.fields import Field
from edgec.schema.reader import FILE_IDENTIFIER, OUT_OF_LINE, SCALAR_FORMATS
from edgec.schema.tables import ENUMS, TABLES

BUFFER_ALIGNMENT = 16
MAX_FLATBUFFER_BYTES = 2**31 - 1  # offsets are read as signed by some runtimes
MIN_OUT_OF_LINE_BYTES = 64 * 1024  # small buffers (metadata) stay where every reader finds them

_FORMATS = SCALAR_FORMATS | {"bool": "?"}
_U32 = struct.Struct("<I")
_U64_PAIR = struct.Struct("<QQ")


@cache
def _fields_of(table: str) -> dict[str, Field]:
    return {field.name: field for field in TABLES[table]}


def _slot_of(child: tuple[Field, Any]) -> int:
    return child[0].slot


@dataclass(frozen=True, slots=True)
class _Layout:
    """Bytes of a table with a given set of slots: its vtable, how to pack it, and where each slot stands."""

    vtable: bytes
    packer: struct.Struct
    order: tuple[int, ...]  # slots in the order they are packed in
    at: dict[int, int]  # offset in the table by slot
    start_modulo_8: int | None  # where the table must start, None where any multiple of 4 will do


@cache
def _layout_of(slots: tuple[tuple[int, str], ...]) -> _Layout:
    """Layout for `slots` of (slot, struct format): wide fields first, so that there is no padding between."""
    order = sorted(slots, key=lambda item: (-struct.calcsize(item[1]), item[0]))
    offset, at = 4, {}
    for slot, code in order:
        at[slot] = offset
        offset += struct.calcsize(code)
    entries = [at.get(slot, 0) for slot in range(max(at, default=-1) + 1)]
    vtable = struct.pack(f"<{len(entries) + 2}H", 4 + 2 * len(entries), offset, *entries)
    wide = any(struct.calcsize(code) == 8 for _, code in order)
    packer = struct.Struct("<i" + "".join(code for _, code in order))
    return _Layout(vtable, packer, tuple(slot for slot, _ in order), at, 4 if wide else None)


class _Encoder:
    """One file being written: its structural bytes so far and the data that goes behind them."""

    def __init__(self, out_of_line: bool) -> None:
        self.out = bytearray(b"\0\0\0\0" + FILE_IDENTIFIER)
        self.vtables: dict[bytes, int] = {}
        self.inline: list[tuple[int, memoryview]] = []  # (position of the offset to patch, data)
        self.out_of_line: list[tuple[int, memoryview]] | None = [] if out_of_line else None

    def pad(self, alignment: int, ahead: int = 0) -> None:
        """Add zeros until `ahead` bytes from here is a multiple of `alignment`."""
        self.out += bytes(-(len(self.out) + ahead) % alignment)

    def link(self, at: int) -> None:
        """Let the offset stored at byte `at` point to the end of what is written."""
        _U32.pack_into(self.out, at, len(self.out) - at)

    def table(self, name: str, tree: Mapping[str, Any], at: int) -> None:
        """Write a table and all below it, and point the offset at byte `at` to it."""
        values: dict[int, Any] = {}  # packed value by slot, 0 for an offset to be set later
        formats: list[tuple[int, str]] = []
        children: list[tuple[Field, Any]] = []
        fields = _fields_of(name)
        data = tree.get("data") if name == "Buffer" else None
        for key, value in tree.items():
            field = fields.get(key)
            if field is None:
                raise ExportFailure(f"cannot write {name}: the TFLite schema has no field {key!r} in it")
            if value is None:
                continue
            self.enter(name, field, value, values, formats, children)
        if data is not None and self.out_of_line is not None:
            self.leave_out_of_line(fields, values, formats, children)
        formats.sort()
        children.sort(key=_slot_of)  # the bytes depend on the tree, not on the order of its keys
        layout = _layout_of(tuple(formats))
        position = self.place(name, layout, values)
        _U32.pack_into(self.out, at, position - at)
        for field, value in children:
            self.child(name, field, value, position, layout)

    def enter(
        self,
        table: str,
        field: Field,
        value: Any,
        values: dict[int, Any],
        formats: list[tuple[int, str]],
        children: list[tuple[Field, Any]],
    ) -> None:
        """Note what one field needs in its table: a packed scalar, or an offset and a child."""
        slot, code = field.slot, _FORMATS.get(field.kind)
        if code is not None:
            number = self.number(table, field, value)
            if number != field.default:
                if field.name in OUT_OF_LINE.get(table, ()):
                    fail(table, field, "the writer places the data itself; give its bytes and leave this at 0")
                values[slot] = number
                formats.append((slot, code))
            return
        if field.kind.startswith("union:"):
            values[slot] = self.union_type(table, field, value)
            formats.append((slot, "B"))
            slot += 1
        values[slot] = 0
        formats.append((slot, "I"))
        children.append((field, value))

    def number(self, table: str, field: Field, value: Any) -> Any:
        if field.enum is None or not isinstance(value, str):
            return value
        number = ENUMS[field.enum].get(value)
        if number is None:
            raise ExportFailure(f"cannot write {table}.{field.name}: {field.enum} has no value {value!r}")
        return number

    def union_type(self, table: str, field: Field, value: Any) -> int:
        union = field.kind.partition(":")[2]
        if not isinstance(value, tuple) or len(value) != 2:
            fail(table, field, f"a union is a pair of type name and table, not {type(value).__name__}")
        number = ENUMS[union].get(value[0])
        if not number:
            fail(table, field, f"{union} has no member {value[0]!r}")
        return number

    def leave_out_of_line(
        self,
        fields: dict[str, Field],
        values: dict[int, Any],
        formats: list[tuple[int, str]],
        children: list[tuple[Field, Any]],
    ) -> None:
        """Turn a large `Buffer.data` into offset and size of bytes behind the FlatBuffer."""
        field, value = children[0]
        data = raw_bytes("Buffer", field, value)
        if len(data) < MIN_OUT_OF_LINE_BYTES:
            return
        children[0] = (field, data)
        values.clear()
        formats.clear()
        for name in ("offset", "size"):
            values[fields[name].slot] = 0
            formats.append((fields[name].slot, "Q"))

    def place(self, name: str, layout: _Layout, values: dict[int, Any]) -> int:
        """Write vtable (unless one like it stands already) and table; gives the table's position."""
        vtable = self.vtables.get(layout.vtable)
        if vtable is None:
            self.pad(2)
            vtable = self.vtables[layout.vtable] = len(self.out)
            self.out += layout.vtable
        if layout.start_modulo_8 is None:
            self.pad(4)
        else:
            self.pad(8, ahead=8 - layout.start_modulo_8)
        position = len(self.out)
        try:
            self.out += layout.packer.pack(position - vtable, *[values[slot] for slot in layout.order])
        except (struct.error, OverflowError, TypeError) as error:
            self.report_scalar(name, layout, values, error)
        return position

    def report_scalar(self, table: str, layout: _Layout, values: dict[int, Any], error: Exception) -> NoReturn:
        for field in TABLES[table]:
            code = _FORMATS.get(field.kind)
            if code is None or field.slot not in layout.at:
                continue
            try:
                struct.pack("<" + code, values[field.slot])
            except (struct.error, OverflowError, TypeError):
                fail(table, field, f"{values[field.slot]!r} is no {field.kind}", error)
        raise ExportFailure(f"cannot write {table}: {error}") from error

    def child(self, table: str, field: Field, value: Any, position: int, layout: _Layout) -> None:
        """Write what an offset field of the table at `position` points to."""
        shape, _, rest = field.kind.partition(":")
        slot = field.slot + (shape == "union")
        if slot not in layout.at:  # a Buffer whose data stands behind the FlatBuffer
            assert self.out_of_line is not None
            self.out_of_line.append((position + layout.at[field.slot + 1], value))
            return
        at = position + layout.at[slot]
        if shape == "union":
            self.table(value[0], value[1] or {}, at)
        elif shape == "table":
            self.table(rest, value, at)
        elif shape == "string":
            self.string(table, field, value, at)
        elif field.align == BUFFER_ALIGNMENT and table == "Buffer":
            self.inline.append((at, raw_bytes(table, field, value)))
        elif rest == "string":
            for text, place in zip(value, self.offsets(len(value), at)):
                self.string(table, field, text, place)
        elif rest.startswith("table:"):
            member = rest.removeprefix("table:")
            for tree, place in zip(value, self.offsets(len(value), at)):
                self.table(member, tree, place)
        else:
            self.numbers(table, field, rest, value, at)

    def offsets(self, count: int, at: int) -> range:
        """Write a vector of `count` offsets to be set later; gives where each stands."""
        self.pad(4)
        self.link(at)
        self.out += _U32.pack(count)
        start = len(self.out)
        self.out += bytes(4 * count)
        return range(start, start + 4 * count, 4)

    def string(self, table: str, field: Field, text: Any, at: int) -> None:
        if not isinstance(text, str):
            fail(table, field, f"a {type(text).__name__} stands where a str is needed")
        raw = text.encode("utf-8", "surrogateescape")
        self.pad(4)
        self.link(at)
        self.out += _U32.pack(len(raw)) + raw + b"\0"

    def numbers(self, table: str, field: Field, scalar: str, value: Any, at: int) -> None:
        raw, itemsize = packed(table, field, scalar, value)
        self.pad(max(4, itemsize, field.align), ahead=4)
        self.link(at)
        self.out += _U32.pack(len(raw) // itemsize)
        self.out += raw

    def finish(self) -> list[bytes | bytearray | memoryview]:
        """Everything of the file in order, to be joined."""
        parts: list[bytes | bytearray | memoryview] = [self.out]
        end = len(self.out)
        for at, data in self.inline:
            gap = -(end + 4) % BUFFER_ALIGNMENT
            if end + gap + 4 + len(data) > MAX_FLATBUFFER_BYTES:
                raise ExportFailure("cannot write the model: its inline part passes 2 GB, more than a FlatBuffer holds")
            _U32.pack_into(self.out, at, end + gap - at)
            parts += [bytes(gap) + _U32.pack(len(data)), data]
            end += gap + 4 + len(data)
        for at, data in self.out_of_line or ():
            gap = -end % BUFFER_ALIGNMENT
            _U64_PAIR.pack_into(self.out, at, end + gap, len(data))
            parts += [bytes(gap), data]
            end += gap + len(data)
        return parts


def fail(table: str, field: Field, what: str, cause: Exception | None = None) -> NoReturn:
    """Raise the ExportFailure for one field."""
    raise ExportFailure(f"cannot write {table}.{field.name}: {what}") from cause


def raw_bytes(table: str, field: Field, value: Any) -> memoryview:
    """Bytes of a buffer: bytes-like as it is, an array by its elements, little-endian and in C order."""
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        return array.reshape(-1).view(np.uint8).data
    if isinstance(value, (bytes, bytearray, memoryview)):
        return memoryview(value).cast("B") if len(value) else memoryview(b"")
    return memoryview(packed(table, field, "uint8", value)[0])


def packed(table: str, field: Field, scalar: str, value: Any) -> tuple[bytes | memoryview, int]:
    """Little-endian bytes of a numeric vector and its element size; refuses values that the element cannot hold."""
    code = _FORMATS[scalar]
    itemsize = struct.calcsize("<" + code)
    if isinstance(value, np.ndarray):
        return packed_array(table, field, scalar, value), itemsize
    if isinstance(value, (bytes, bytearray, memoryview)) and itemsize == 1:
        return memoryview(value).cast("B") if len(value) else b"", itemsize
    if not isinstance(value, Sequence) or isinstance(value, str):
        fail(table, field, f"a {type(value).__name__} stands where a vector of {scalar} is needed")
    try:
        return struct.pack(f"<{len(value)}{code}", *value), itemsize
    except (struct.error, OverflowError, TypeError) as error:
        fail(table, field, f"not all elements are {scalar} ({error})", error)


def packed_array(table: str, field: Field, scalar: str, array: np.ndarray[Any, Any]) -> memoryview:
    """Little-endian bytes of an array; floats may be rounded, integers must fit."""
    dtype = np.dtype(scalar).newbyteorder("<")
    try:
        with np.errstate(invalid="ignore"):
            converted = np.ascontiguousarray(array, dtype)
    except (OverflowError, TypeError, ValueError) as error:  # an array of Python objects
        fail(table, field, f"not all elements are {scalar} ({error})", error)
    if array.dtype != dtype and not np.can_cast(array.dtype, dtype, "same_kind" if dtype.kind == "f" else "safe"):
        back = converted.astype(array.dtype)
        if not np.array_equal(back, array):
            fail(table, field, f"an array of {array.dtype} has values that {scalar} cannot hold")
    return converted.reshape(-1).view(np.uint8).data


def write_model(tree: Mapping[str, Any], *, out_of_line: bool | None = None, like: bytes | None = None) -> bytes:
    """Bytes of a `.tflite` file with the given `Model` tree, in the form that `edgec.schema.reader.decode` gives.

    Fields that are missing or None are absent, scalars at their default are left out, an empty vector stays an empty
    vector. `Buffer.data` may be bytes or an array of any dtype, whose bytes are taken; every one starts at a multiple
    of 16 bytes. With `out_of_line`, buffers of 64 KiB and more stand behind the FlatBuffer (`Buffer.offset`); None
    does so for models above 2 GB only. The same tree gives the same bytes. Where they are those of `like`, that object
    is given back and nothing is copied.

    Raises ExportFailure for a field that the schema does not have or a value that its field cannot hold.
    """
    if out_of_line is None:
        out_of_line = _data_bytes(tree) > MAX_FLATBUFFER_BYTES - 2**27
    encoder = _Encoder(out_of_line)
    encoder.table("Model", tree, 0)
    parts = encoder.finish()
    return like if like is not None and _is_joined(parts, like) else b"".join(parts)


def _is_joined(parts: Sequence[bytes | bytearray | memoryview], whole: bytes) -> bool:
    """Whether the parts, one behind the other, are `whole`."""
    if sum(map(len, parts)) != len(whole):
        return False
    view, at = memoryview(whole), 0
    for part in parts:
        if view[at : at + len(part)] != part:
            return False
        at += len(part)
    return True


def _data_bytes(tree: Mapping[str, Any]) -> int:
    data = [buffer.get("data") for buffer in tree.get("buffers") or ()]
    return sum(item.nbytes if isinstance(item, np.ndarray) else len(item) for item in data if isinstance(item, Sized))
