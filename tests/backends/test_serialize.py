"""Writing: alignment, sharing, determinism, and everything a file can hold coming back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import float_graphs, odd_modules, random_feeds

from edgec.backends.tflite import serialize
from edgec.errors import ExportFailure
from edgec.frontends.tflite import read_tflite
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build
from edgec.runtime.evaluate import evaluate
from edgec.schema.reader import read_model

FLOAT = TensorType((2,), DType.FLOAT32)


def module_of(*outputs: Value) -> Module:
    graph = Graph()
    graph.outputs = outputs
    return Module([graph])


def buffers_of(file: bytes) -> list[bytes]:
    return [b"" if b["data"] is None else b["data"].tobytes() for b in read_model(file)["buffers"]]


def test_every_buffer_stands_on_16_bytes() -> None:
    sizes = (1, 3, 7, 16, 17, 100)
    values = [Value(f"c{n}", TensorType((n,), DType.INT8), np.full(n, n, np.int8)) for n in sizes]
    module = module_of(*values)
    module.metadata["odd"] = b"12345"
    file = serialize(module)
    start = np.frombuffer(file, np.uint8).__array_interface__["data"][0]
    tree = read_model(np.frombuffer(file, np.uint8))
    places = [b["data"].__array_interface__["data"][0] - start for b in tree["buffers"] if b["data"] is not None]
    assert len(places) == len(sizes) + 1
    assert [place % 16 for place in places] == [0] * len(places)


def test_equal_bytes_are_stored_once_and_packed_ones_apart() -> None:
    data = np.array([1, 2], np.int8)
    same = [Value("a", TensorType((2,), DType.INT8), data), Value("b", TensorType((2,), DType.INT8), data.copy())]
    packed = Value("c", TensorType((2,), DType.INT4), data)  # the same array, but one byte in the file
    assert buffers_of(serialize(module_of(*same, packed))) == [b"", b"\x01\x02", b"\x21"]


def test_variables_have_an_empty_buffer_each() -> None:
    states = [Value(name, FLOAT, is_variable=True) for name in "ab"]
    file = serialize(module_of(*states))
    tensors = read_model(file)["subgraphs"][0]["tensors"]
    assert [(t["buffer"], t["is_variable"]) for t in tensors] == [(1, True), (2, True)]
    assert buffers_of(file) == [b""] * 3


def test_opcode_entries_are_shared_and_old_readers_find_the_code() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType((1, 2), DType.FLOAT32))
    emit = build(graph)
    value = emit.emit("relu", [emit.emit("relu", [x])])
    graph.outputs = [emit.emit("gelu", [value])]
    tree = read_model(serialize(Module([graph])))
    assert [(c["deprecated_builtin_code"], c["builtin_code"]) for c in tree["operator_codes"]] == [
        (19, "RELU"),
        (127, "GELU"),  # 150: beyond what the old one-byte field holds
    ]
    assert [op["opcode_index"] for op in tree["subgraphs"][0]["operators"]] == [0, 0, 1]


def test_what_has_no_place_in_the_format_is_refused() -> None:
    graph = Graph()
    graph.append(Op("rectify", [], [Value("y", FLOAT)], name="y", source="/Rectify"))
    with pytest.raises(ExportFailure) as caught:
        serialize(Module([graph]))
    assert str(caught.value) == "Writing rectify 'y' (/Rectify): TFLite has no op 'rectify'."
    graph = Graph()
    attributes = {"builtin": "RECTIFY", "options": None, "options_2": None}
    graph.append(Op("opaque", [], [Value("y", FLOAT)], attributes))
    with pytest.raises(ExportFailure) as caught:
        serialize(Module([graph]))
    assert str(caught.value) == "Writing an opaque op: TFLite has no builtin 'RECTIFY'."


def everything() -> Module:
    """One of each thing that a file can hold and edgec carries."""
    graph = Graph()
    x = graph.add_input("x", TensorType((1, 2), DType.FLOAT32, None, (-1, 2)))
    quant = QuantParams((0.5, 0.25), (1, -1), 1, (-1.0, -2.0), (1.0, 2.0))
    weight = Value("w", TensorType((3, 2), DType.INT8, quant), np.arange(6, dtype=np.int8).reshape(3, 2))
    block_scales = Value("scales", TensorType((3, 1), DType.FLOAT16), np.ones((3, 1), np.float16))
    details = {"kind": "BlockwiseQuantization", "fields": {"scales": 0, "zero_points": 0, "block_size": 2}}
    blocked = Value(
        "blocked", TensorType((3, 2), DType.INT4), np.zeros((3, 2), np.int8),
        extra={"quant_details": {**details, "scales": block_scales, "zero_points": None}},
    )  # fmt: skip
    ranged = Value("ranged", FLOAT, np.ones(2, np.float32), extra={"float_range": ((-1.0,), (1.0,)), "has_rank": True})
    sparsity = {"traversal_order": np.array([0], np.int32), "dim_metadata": [{"format": "DENSE", "dense_size": 2}]}
    thin = Value("thin", FLOAT, np.frombuffer(np.ones(1, np.float32).tobytes(), np.uint8), sparsity=sparsity)
    state = Value("state", FLOAT, is_variable=True)
    inner = Value("inner", FLOAT)
    custom = {"custom_code": "Mine", "custom_options": b"\1\2", "custom_options_format": "FLEXBUFFERS"}
    y = Value("y", TensorType((1, 3), DType.FLOAT32))
    graph.append(
        Op("custom", [x, weight, None, blocked, ranged, thin, state], [y], custom, name="y", version=4,
           intermediates=[inner], extra={"mutating_variable_inputs": np.array([False, True]),
                                         "debug_metadata_index": 3})
    )  # fmt: skip
    options_2 = ("StablehloConcatenateOptions", {"dimension": 1})
    z = Value("z", TensorType((1, 6), DType.FLOAT32))
    attributes = {"builtin": "STABLEHLO_CONCATENATE", "options": None, "options_2": options_2}
    graph.append(Op("opaque", [y, y], [z], attributes, name="z", version=1))
    graph.outputs = [z]
    other = Graph("other")
    other.outputs = [other.add_input("in", FLOAT)]
    module = Module([graph, other], description="all")
    module.signatures = [Signature("a", 0, (("first", 0),), (("last", 0),)), Signature("b", 1, (), (("o", 0),))]
    module.metadata = {"one": b"1", "none": b""}
    return module


def test_everything_comes_back() -> None:
    file = serialize(everything())
    module = read_tflite(file)
    assert serialize(module) == file
    assert [graph.name for graph in module.graphs] == ["main", "other"]
    assert (module.signatures, module.metadata) == (everything().signatures, everything().metadata)
    custom, opaque = module.main.ops
    _, weight, absent, blocked, ranged, thin, state = custom.operands
    assert absent is None
    assert weight is not None
    assert weight.quant == QuantParams((0.5, 0.25), (1, -1), 1, (-1.0, -2.0), (1.0, 2.0))
    assert module.main.inputs[0].type.signature == (-1, 2)
    assert blocked is not None
    assert blocked.extra["quant_details"]["scales"].name == "scales"
    assert ranged is not None
    assert ranged.extra == {"has_rank": True, "float_range": ((-1.0,), (1.0,))}
    assert thin is not None
    assert thin.sparsity is not None
    assert state is not None
    assert state.is_variable
    assert (custom.version, custom.attributes["custom_options"], custom.name) == (4, b"\1\2", "y")
    assert [v.name for v in custom.intermediates] == ["inner"]
    assert custom.extra["debug_metadata_index"] == 3
    assert custom.extra["mutating_variable_inputs"].tolist() == [False, True]
    assert opaque.attributes["builtin"] == "STABLEHLO_CONCATENATE"
    assert opaque.attributes["options_2"][1]["dimension"] == 1


@given(odd_modules())
def test_odd_modules_come_back(module: Module) -> None:
    named = serialize(read_tflite(serialize(module)))  # nameless graphs and tensors have got names by now
    again = read_tflite(named)
    assert serialize(again) == named
    assert [[op.opcode for op in g.ops] for g in again.graphs] == [[op.opcode for op in g.ops] for g in module.graphs]
    assert again.metadata == module.metadata
    assert not again.notes


@settings(max_examples=25)
@given(float_graphs())
def test_rewritten_random_graphs_run_the_same(graph: Graph) -> None:
    file = serialize(Module([graph]))
    assert file == serialize(Module([graph]))
    again = read_tflite(file)
    assert serialize(again) == file
    feeds = random_feeds(graph)
    for before, after in zip(evaluate(graph, feeds), evaluate(again.main, feeds)):
        assert before.tobytes() == after.tobytes()
        assert np.isfinite(before).all()


def test_unused_tensors_of_a_file_are_kept_in_their_place() -> None:
    graph = Graph()
    x = graph.add_input("x", FLOAT)
    idle = Value("idle", FLOAT)
    y = build(graph).emit("relu", [x], name="y")
    graph.outputs = [y]
    graph.declared, graph.idle = (idle, y, x), (idle,)
    module = read_tflite(serialize(Module([graph])))
    names = [t["name"] for t in read_model(serialize(module))["subgraphs"][0]["tensors"]]
    assert names == ["idle", "y", "x"]


def test_the_bytes_of_an_artifact_in_memory_are_not_made_twice() -> None:
    module = Module([small_graph(0)])
    first = serialize(module)
    assert serialize(module, like=first) is first
    other = first[:-1] + bytes([first[-1] ^ 1])
    for unlike in (other, first + b"x", b""):
        again = serialize(module, like=unlike)
        assert again == first
        assert again is not unlike


def small_graph(seed: int) -> Graph:
    graph = Graph("main")
    x = graph.add_input("x", TensorType((1, 4), DType.FLOAT32))
    weight = graph.constant(np.random.default_rng(seed).standard_normal((3, 4)).astype(np.float32), "w")
    graph.outputs = [build(graph).emit("fully_connected", [x, weight])]
    return graph
