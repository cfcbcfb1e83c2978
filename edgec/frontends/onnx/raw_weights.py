"""Takes the weights out of a serialized ONNX model before it is parsed, so that they are never copied.

Parsing copies every tensor's bytes, and reading them from the parsed message copies them again. Here the protocol
buffer's wire format is walked down to ModelProto.graph.initializer.raw_data, the rest is put together without it, and
the weights become views of the file's bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

SMALLEST_BYTES = 4096  # below it a copy costs nothing
PLAIN_TYPES = {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13}  # TensorProto types whose raw data is an array of numpy's
GRAPH, INITIALIZER = 7, 5  # field numbers of ModelProto and GraphProto
DATA_TYPE, NAME, RAW_DATA = 2, 8, 9  # of TensorProto
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


class _Malformed(Exception):
    """An answer rather than a fault: the parser shall say what is wrong."""


def split_weights(data: bytes | memoryview) -> tuple[bytes, dict[str, memoryview]]:
    """The model without its large initializers' data, and that data by initializer.

    Gives the model back as it is where its bytes are not what a writer of ONNX produces.
    """
    if sys.byteorder != "little":
        return bytes(data), {}
    weights: dict[str, memoryview] = {}
    try:
        model = _without(memoryview(data), GRAPH, lambda graph: _graph(graph, weights))
    except _Malformed:
        return bytes(data), {}
    return (model, weights) if weights else (bytes(data), {})


def _graph(graph: memoryview, weights: dict[str, memoryview]) -> bytes:
    if weights:
        raise _Malformed  # a second graph
    return _without(graph, INITIALIZER, lambda tensor: _tensor(tensor, weights))


def _tensor(tensor: memoryview, weights: dict[str, memoryview]) -> bytes | memoryview:
    name, raw, data_type, kept = "", None, 0, []
    for number, whole, content in _fields(tensor):
        if number == RAW_DATA and isinstance(content, memoryview) and raw is None:
            raw = content
            continue
        if number == NAME and isinstance(content, memoryview):
            name = str(content, "utf-8", "replace")
        if number == DATA_TYPE and isinstance(content, int):
            data_type = content
        kept.append(whole)
    if raw is None or len(raw) < SMALLEST_BYTES or data_type not in PLAIN_TYPES:
        return tensor
    if name in weights:
        raise _Malformed
    weights[name] = raw
    return b"".join(kept)


def _without(message: memoryview, field: int, shortened: Callable[[memoryview], bytes | memoryview]) -> bytes:
    parts: list[bytes | memoryview] = []
    for number, whole, content in _fields(message):
        if number == field and isinstance(content, memoryview):
            short = shortened(content)
            parts += [_varint_bytes(field << 3 | BYTES), _varint_bytes(len(short)), short]
        else:
            parts.append(whole)
    return b"".join(parts)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview | int]]:
    """(number, all bytes of the field, its content) of each field of a message."""
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        kind = tag & 7
        content: memoryview | int = 0
        if kind == VARINT:
            content, position = _varint(message, position)
        elif kind == BYTES:
            length, begin = _varint(message, position)
            position = begin + length
            content = message[begin:position]
        elif kind in (FIXED64, FIXED32):
            position += 8 if kind == FIXED64 else 4
        else:
            raise _Malformed
        if position > len(message):
            raise _Malformed
        yield tag >> 3, message[start:position], content


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Malformed


def _varint_bytes(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
