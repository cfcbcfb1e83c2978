"""Hostile and foreign files: one sentence, in no time, in little memory."""

import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgec.errors import ImportFailure
from edgec.schema.fields import Field
from edgec.schema.reader import decode, read_model
from edgec.schema.tables import TABLES
from edgec.schema.writer import write_model

Tree = dict[str, Any]
ADVICE = "the file is damaged, truncated or no TFLite model"
FUZZ = settings(
    max_examples=300,
    deadline=5000,  # milliseconds; an intact file takes about 0.2, so this stands for "does not hang"
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def message_of(data: bytes) -> str:
    with pytest.raises(ImportFailure) as caught:
        read_model(data)
    return str(caught.value)


FOREIGN = {
    "empty": (b"", "it is empty; export or download it again"),
    "short": (b"TFL", "it has only 3 bytes; pass a .tflite model"),
    "zip": (b"PK\x03\x04" + bytes(40), "it is a zip archive (a Keras or PyTorch file, or a packed download)"),
    "onnx": (b"\x08\x07\x12\x07pytorch", "it is a protocol buffer (ONNX or TensorFlow); pass a .tflite model"),
    "html": (b"<!DOCTYPE html>", "it is an HTML or XML page; pass a .tflite model"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1", "it is a Git LFS pointer instead of the file itself"),
    "other": (bytes(16), "bytes 4 to 7 are b'\\x00\\x00\\x00\\x00' where a TFLite model has b'TFL3'"),
}


@pytest.mark.parametrize(("data", "reason"), FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_file_is_named(data: bytes, reason: str) -> None:
    assert message_of(data).startswith(f"cannot read the .tflite file: {reason}")


def patched(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack("<I", value) + data[at + 4 :]


def test_root_outside_the_file(small_model: Tree) -> None:
    data = patched(write_model(small_model), 0, 10**9)
    expected = "Model at byte 0 points to byte 1000000000, which is not ahead of it inside the file"
    assert message_of(data) == f"cannot read the .tflite file: {expected}; {ADVICE}"


def test_huge_vector_length() -> None:
    data = write_model({"metadata_buffer": [11, 22, 33]})
    at = data.index(struct.pack("<4I", 3, 11, 22, 33))
    expected = f"Model.metadata_buffer at byte {at} has 4294967295 elements of 4 bytes where 12 bytes are left"
    assert message_of(patched(data, at, 2**32 - 1)) == f"cannot read the .tflite file: {expected}; {ADVICE}"


def test_vtable_outside_the_file() -> None:
    data = write_model({"version": 3})
    root = struct.unpack_from("<I", data)[0]
    expected = f"Model at byte {root} has its vtable at byte {root - 999}, outside the file of {len(data)} bytes"
    assert message_of(patched(data, root, 999)) == f"cannot read the .tflite file: {expected}; {ADVICE}"


def test_union_type_of_a_newer_schema(small_model: Tree) -> None:
    data = write_model(small_model)
    tree = read_model(data)
    assert tree["subgraphs"][0]["operators"][0]["builtin_options"][0] == "Conv2DOptions"
    positions = [at for at in range(len(data)) if data[at] == 1 and union_type_raises(data, at)]
    assert len(positions) == 1


def union_type_raises(data: bytes, at: int) -> bool:
    try:
        read_model(data[:at] + b"\xfa" + data[at + 1 :])
    except ImportFailure as error:
        return "builtin_options" in str(error) and "is of type 250, but BuiltinOptions has types up to" in str(error)
    return False


def test_data_behind_the_flatbuffer_must_be_in_the_file(small_model: Tree) -> None:
    small_model["buffers"].append({"data": bytes(70_000)})
    data = write_model(small_model, out_of_line=True)
    with pytest.raises(ImportFailure, match=r"Buffer\.offset at byte \d+ names bytes \d+ to \d+ of a file of"):
        read_model(data[:-1])


def raw_table(slots: dict[int, int], position: int) -> bytes:
    """A vtable and a table with one offset a slot, whose targets are absolute byte positions; starts at `position`."""
    count = max(slots) + 1
    entries = [4 + 4 * sorted(slots).index(slot) if slot in slots else 0 for slot in range(count)]
    vtable = struct.pack(f"<{count + 2}H", 4 + 2 * count, 4 + 4 * len(slots), *entries)
    vtable += bytes(-len(vtable) % 4)
    start = position + len(vtable)
    offsets = [slots[slot] - (start + 4 + 4 * i) for i, slot in enumerate(sorted(slots))]
    return vtable + struct.pack(f"<i{len(slots)}I", len(vtable), *offsets)


def repeated(position: int, count: int, target: int) -> bytes:
    """Vector at `position` whose offsets all point to one byte."""
    return struct.pack(f"<{count + 1}I", count, *[target - (position + 4 + 4 * i) for i in range(count)])


def bomb(count: int) -> bytes:
    """A file of about 8 * count bytes that unfolds to count * count operators."""
    model = 8 + len(raw_table({2: 0}, -1000)) - 8
    subgraphs = model + 8
    subgraph = subgraphs + 4 + 4 * count
    head = len(raw_table({3: 1000}, 0)) - 8
    operators = subgraph + head + 8
    operator = operators + 4 + 4 * count
    data = struct.pack("<I", model) + b"TFL3" + raw_table({2: subgraphs}, 8)
    data += repeated(subgraphs, count, subgraph + head) + raw_table({3: operators}, subgraph)
    data += repeated(operators, count, operator + 4) + struct.pack("<2Hi", 4, 4, 4)
    return data


def test_shared_tables_are_read_where_they_are_few() -> None:
    tree = read_model(bomb(4))
    assert [len(subgraph["operators"]) for subgraph in tree["subgraphs"]] == [4] * 4


def read_traced(data: bytes) -> tuple[Any, int]:
    """The tree, or the sentence that refuses it, and the peak of memory that reading took."""
    tracemalloc.start()
    try:
        return read_model(data), tracemalloc.get_traced_memory()[1]
    except ImportFailure as failure:
        return str(failure), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_shared_tables_cannot_blow_up() -> None:
    message, peak = read_traced(bomb(20_000))
    assert "more than this file can hold without trickery" in message
    assert peak < 64 * 2**20  # 400 million operators would be about 300 GB


def test_long_vtable_costs_nothing() -> None:
    """Ten tables that share a vtable of 32,765 slots, almost all unknown to the schema and not to be read."""
    count = 10
    slots = [0] * 32_765
    slots[4] = 4  # Model.buffers; a Buffer has no such slot
    vtable = struct.pack("<32767H", 65_534, 8, *slots) + bytes(2)
    model = 8 + len(vtable)
    buffers = model + 8
    buffer = buffers + 4 + 4 * count
    data = struct.pack("<I", model) + b"TFL3" + vtable + struct.pack("<iI", model - 8, 4)
    data += repeated(buffers, count, buffer) + struct.pack("<ii", buffer - 8, 0)
    tree, peak = read_traced(data)
    assert tree["buffers"] == [{"data": None, "offset": 0, "size": 0}] * count
    assert peak < 2**16  # reading all slots would take 262,120 bytes


def test_overlapping_strings_cannot_blow_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "Texts", (Field("texts", 0, "vector:string"),))
    count, length = 1000, 20_000
    table = raw_table({0: 100}, 0)
    vector = len(table)
    region = vector + 4 + 4 * count
    table = raw_table({0: vector}, 0)
    offsets = [region + 4 * i - (vector + 4 + 4 * i) for i in range(count)]
    data = table + struct.pack(f"<{count + 1}I", count, *offsets) + struct.pack("<I", length) * (count + length // 4)
    with pytest.raises(ImportFailure, match=r"Texts\.texts at byte \d+ brings the text in this file to more bytes"):
        decode("Texts", data, vector - 8)


def test_shared_string_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "Words", (Field("texts", 0, "vector:string"),))
    vector = len(raw_table({0: 100}, 0))
    data = raw_table({0: vector}, 0) + repeated(vector, 100, vector + 404) + struct.pack("<I", 300) + b"x" * 301
    texts = decode("Words", data, vector - 8)["texts"]
    assert texts == ["x" * 300] * 100
    assert all(text is texts[0] for text in texts)


def read_or_refuse(data: bytes) -> None:
    """Either a tree that can be written again, or one sentence."""
    sentence = None
    try:
        write_model(read_model(data))
    except ImportFailure as failure:
        sentence = str(failure)
    assert sentence is None or (sentence.startswith("cannot read the .tflite file: ") and "\n" not in sentence)


@FUZZ
@given(data=st.data())
def test_truncated_file(strange_model: Tree, data: st.DataObject) -> None:
    whole = write_model(strange_model)
    read_or_refuse(whole[: data.draw(st.integers(0, len(whole)))])


@FUZZ
@given(data=st.data())
def test_flipped_bytes(strange_model: Tree, data: st.DataObject) -> None:
    damaged = bytearray(write_model(strange_model))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=12)):
        damaged[at] = data.draw(st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 127, 128, 255])))
    read_or_refuse(bytes(damaged))


@FUZZ
@given(data=st.data())
def test_overwritten_words(strange_model: Tree, data: st.DataObject) -> None:
    whole = bytearray(write_model(strange_model))
    words = st.one_of(st.integers(0, 2**32 - 1), st.integers(0, len(whole)))
    for at in data.draw(st.lists(st.integers(0, len(whole) // 4 - 1), min_size=1, max_size=4)):
        struct.pack_into("<I", whole, 4 * at, data.draw(words))
    read_or_refuse(bytes(whole))


@FUZZ
@given(tail=st.binary(max_size=400), root=st.integers(0, 400))
def test_random_bytes_behind_the_identifier(tail: bytes, root: int) -> None:
    read_or_refuse(struct.pack("<I", root) + b"TFL3" + tail)


def test_array_and_memoryview_are_read_alike(small_model: Tree) -> None:
    data = write_model(small_model)
    for form in (np.frombuffer(data, np.uint8), memoryview(data), bytearray(data)):
        assert read_model(form)["description"] == "small"
