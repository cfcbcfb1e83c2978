"""What the writer puts into a file: form, alignment, and the refusals."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from edgec.errors import ExportFailure
from edgec.schema.reader import SCALAR_FORMATS, decode, read_model
from edgec.schema.tables import ENUMS, TABLES
from edgec.schema.writer import write_model

Tree = dict[str, Any]


def u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def placements(data: bytes, table: str, position: int) -> Iterator[tuple[str, int, int]]:
    """(what, byte position, alignment it needs) of everything at or below a table, as the FlatBuffers format says."""
    vtable = position - struct.unpack_from("<i", data, position)[0]
    yield f"{table} table", position, 4
    yield f"{table} vtable", vtable, 2
    slots = struct.unpack_from("<H", data, vtable)[0] // 2 - 2
    for field in TABLES[table]:
        offset = struct.unpack_from("<H", data, vtable + 4 + 2 * field.slot)[0] if field.slot < slots else 0
        if offset == 0:
            continue
        at, name = position + offset, f"{table}.{field.name}"
        kind, _, rest = field.kind.partition(":")
        if kind in SCALAR_FORMATS:
            yield name, at, struct.calcsize(SCALAR_FORMATS[kind])
            continue
        if kind == "union":
            names = {number: member for member, number in ENUMS[rest].items()}
            kind, rest, at = "table", names[data[at]], position + offset_of(data, vtable, field.slot + 1)
        yield name, at, 4
        target = at + u32(data, at)
        yield f"{name} target", target, 4
        if kind == "table":
            yield from placements(data, rest, target)
        elif rest.startswith("table:"):
            for index in range(u32(data, target)):
                place = target + 4 + 4 * index
                yield from placements(data, rest.removeprefix("table:"), place + u32(data, place))
        elif kind == "vector":
            yield f"{name} elements", target + 4, max(struct.calcsize(SCALAR_FORMATS[rest]), field.align)


def offset_of(data: bytes, vtable: int, slot: int) -> int:
    return int(struct.unpack_from("<H", data, vtable + 4 + 2 * slot)[0])


@pytest.mark.parametrize("out_of_line", [False, True])
def test_everything_is_aligned(strange_model: Tree, out_of_line: bool) -> None:
    strange_model["buffers"].insert(1, {"data": np.zeros(100_001, np.uint8)})
    data = write_model(strange_model, out_of_line=out_of_line)
    found = list(placements(data, "Model", u32(data, 0)))
    assert [item for item in found if item[1] % item[2]] == []
    needed = {name: alignment for name, _, alignment in found}
    assert needed["Buffer.data elements"] == 16
    assert needed["RandomOptions.seed"] == 8
    assert needed["QuantizationParameters.zero_point elements"] == 8
    assert needed["CustomQuantization.custom elements"] == 16
    assert needed["Uint16Vector.values elements"] == 4
    assert ("Buffer.offset" in needed) is out_of_line


def test_strange_model_comes_back(strange_model: Tree, same_tree: Callable[..., None]) -> None:
    data = write_model(strange_model)
    tree = read_model(data)
    operators = tree["subgraphs"][0]["operators"]
    assert operators[0]["builtin_options"] == (
        "Conv2DOptions",
        {
            "padding": "VALID",
            "stride_w": 1,
            "stride_h": 1,
            "fused_activation_function": "RELU6",
            "dilation_w_factor": 1,
            "dilation_h_factor": 1,
            "quantized_bias_type": "FLOAT32",
        },
    )
    assert operators[2]["mutating_variable_inputs"].tolist() == [False, True]
    assert operators[2]["builtin_options_2"][1]["window_strides"].tolist() == [1, 2**40]
    assert operators[3]["builtin_options"] == ("RandomOptions", {"seed": -(2**63), "seed2": 2**63 - 1})
    assert operators[4]["builtin_options"] == ("CastOptions", {"in_data_type": 77, "out_data_type": "BOOL"})
    assert tree["operator_codes"][1]["custom_code"] == "Op\udcff é"
    assert b"Op\xff \xc3\xa9\0" in data
    sparsity = tree["subgraphs"][0]["tensors"][1]["sparsity"]
    assert sparsity["dim_metadata"][1]["array_indices"][1]["values"].tolist() == [0, 300, 1, 65535]
    same_tree(read_model(write_model(tree)), tree)


def test_empty_and_absent_vectors_are_told_apart(strange_model: Tree) -> None:
    tree = read_model(write_model(strange_model))
    operators = tree["subgraphs"][0]["operators"]
    assert operators[0]["mutating_variable_inputs"].tolist() == []
    assert operators[1]["mutating_variable_inputs"] is None
    assert tree["buffers"][0]["data"] is None
    assert tree["buffers"][4]["data"].size == 0
    assert tree["metadata"][1]["name"] == ""
    assert tree["subgraphs"][0]["tensors"][1]["sparsity"]["block_map"].size == 0


def test_official_accessors_read_the_same(small_model: Tree) -> None:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(write_model(small_model))
    assert model.version == 3
    assert model.description == b"small"
    assert model.operatorCodes[0].builtinCode == schema.BuiltinOperator.CONV_2D
    tensor = model.subgraphs[0].tensors[1]
    assert (tensor.name, tensor.type, tensor.buffer) == (b"weights", schema.TensorType.INT8, 1)
    assert tensor.shape.tolist() == [4, 1, 1, 2]
    assert tensor.quantization.scale.tolist() == [0.5, 0.25, 0.5, 1.0]
    options = model.subgraphs[0].operators[0].builtinOptions
    assert isinstance(options, schema.Conv2DOptionsT)
    assert (options.padding, options.strideW, options.dilationHFactor) == (schema.Padding.VALID, 1, 1)
    assert model.buffers[2].data.tobytes() == np.array([1, -2, 3, -4], np.int32).tobytes()
    assert model.signatureDefs[0].outputs[0].tensorIndex == 3


def test_defaults_are_left_out_and_vtables_shared(small_model: Tree) -> None:
    short = write_model(small_model)
    spelled_out = read_model(short)  # every field, at its default where it was not given
    assert spelled_out["subgraphs"][0]["operators"][0]["debug_metadata_index"] == -1
    assert write_model(spelled_out) == short
    small_model["buffers"] += [{}] * 1000
    assert len(write_model(small_model)) - len(short) <= 1000 * 8 + 16  # a table of 4 bytes and the offset to it


def test_order_of_keys_does_not_matter(small_model: Tree) -> None:
    assert write_model(dict(reversed(small_model.items()))) == write_model(small_model)


def test_views_are_not_copied_and_cannot_be_written(small_model: Tree) -> None:
    data = bytearray(write_model(small_model))
    weights = read_model(data)["buffers"][1]["data"]
    assert np.shares_memory(weights, np.frombuffer(data, np.uint8))
    assert not weights.flags.writeable


@pytest.mark.parametrize(
    "given",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.arange(12, dtype=np.float32).reshape(4, 3).T,
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.array(7.0),
    ],
    ids=["contiguous", "transposed", "big-endian", "scalar"],
)
def test_array_in_a_buffer_is_written_by_its_elements(small_model: Tree, given: np.ndarray[Any, Any]) -> None:
    small_model["buffers"].append({"data": given})
    written = read_model(write_model(small_model))["buffers"][-1]["data"]
    assert written.tobytes() == given.astype(given.dtype.newbyteorder("<")).tobytes()


def test_large_data_behind_the_flatbuffer(small_model: Tree) -> None:
    payload = np.arange(70_000, dtype=np.uint8)
    small_model["buffers"].append({"data": payload})
    data = write_model(small_model, out_of_line=True)
    stored = decode_buffers(data)[-1]
    assert (stored[0] % 16, stored[1]) == (0, 70_000)
    assert data[stored[0] : stored[0] + stored[1]] == payload.tobytes()
    last = read_model(data)["buffers"][-1]
    assert (last["offset"], last["size"]) == (0, 0)
    assert last["data"].tobytes() == payload.tobytes()


def decode_buffers(data: bytes) -> list[tuple[int, int]]:
    """(offset, size) of every buffer, by the official accessors."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(data)
    return [(model.Buffers(i).Offset(), model.Buffers(i).Size()) for i in range(model.BuffersLength())]


def test_every_table_of_the_schema_is_written_and_read() -> None:
    """Each table alone, every scalar away from its default, every vector with two elements."""
    from edgec.schema.writer import _Encoder

    values = {"bool": True, "float32": 1.5, "float64": 2.5}
    for table, fields in TABLES.items():
        tree: Tree = {}
        for field in fields:
            kind, _, rest = field.kind.partition(":")
            if kind in SCALAR_FORMATS:
                tree[field.name] = not field.default if kind == "bool" else values.get(kind, 101)
            elif kind == "string":
                tree[field.name] = "text"
            elif kind == "vector" and rest in SCALAR_FORMATS:
                tree[field.name] = [values.get(rest, 1)] * 2
        for name in ("offset", "size", "large_custom_options_offset", "large_custom_options_size"):
            if table in ("Buffer", "Operator"):
                tree.pop(name, None)
        encoder = _Encoder(False)
        encoder.table(table, tree, 0)
        data = b"".join(encoder.finish())
        read = decode(table, data, u32(data, 0))
        for name, value in tree.items():
            got = read[name].tolist() if isinstance(read[name], np.ndarray) else read[name]
            enum = next(field.enum for field in fields if field.name == name)
            expected = {number: member for member, number in ENUMS[enum].items()}.get(value, value) if enum else value
            assert got == expected, (table, name)


REFUSALS: dict[str, tuple[Tree, str]] = {
    "unknown field": ({"versoin": 3}, "cannot write Model: the TFLite schema has no field 'versoin' in it"),
    "scalar out of range": ({"version": -1}, "cannot write Model.version: -1 is no uint32"),
    "unknown enum name": (
        {"operator_codes": [{"builtin_code": "CONV2D"}]},
        "cannot write OperatorCode.builtin_code: BuiltinOperator has no value 'CONV2D'",
    ),
    "string expected": ({"description": b"x"}, "cannot write Model.description: a bytes stands where a str is needed"),
    "vector expected": (
        {"metadata_buffer": 3},
        "cannot write Model.metadata_buffer: a int stands where a vector of int32 is needed",
    ),
    "array that does not fit": (
        {"metadata_buffer": np.array([2**40])},
        "cannot write Model.metadata_buffer: an array of int64 has values that int32 cannot hold",
    ),
    "union form": (
        {"subgraphs": [{"operators": [{"builtin_options": {}}]}]},
        "cannot write Operator.builtin_options: a union is a pair of type name and table, not dict",
    ),
    "union member": (
        {"subgraphs": [{"operators": [{"builtin_options": ("ConvOptions", {})}]}]},
        "cannot write Operator.builtin_options: BuiltinOptions has no member 'ConvOptions'",
    ),
    "placed by hand": (
        {"buffers": [{"offset": 64, "size": 4}]},
        "cannot write Buffer.offset: the writer places the data itself; give its bytes and leave this at 0",
    ),
}


@pytest.mark.parametrize(("tree", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_does_not_fit_the_schema_is_refused(tree: Tree, message: str) -> None:
    with pytest.raises(ExportFailure) as caught:
        write_model(tree)
    assert str(caught.value) == message


def test_vector_element_out_of_range_is_refused() -> None:
    with pytest.raises(ExportFailure, match=r"^cannot write Model\.metadata_buffer: not all elements are int32 \("):
        write_model({"metadata_buffer": [2**31]})
