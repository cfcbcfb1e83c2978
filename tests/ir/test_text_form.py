"""The text form prints and parses back: by a golden sample, by errors with their line, by properties."""

from __future__ import annotations

import base64
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import float_graphs, odd_modules

from edgec.backends.tflite import serialize
from edgec.errors import ParseError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.parser import parse_module
from edgec.ir.printer import print_graph, print_module
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS, build, verify


def sample() -> Module:
    """Everything the text form has a notation for, once."""
    graph = Graph()
    quant = QuantParams.per_tensor(0.5, -3)
    x = graph.add_input("x", TensorType((1, 4, 4, 2), DType.INT8, quant, (-1, 4, 4, 2)))
    emit = build(graph, source="/conv1/Conv")
    per_axis = QuantParams((0.5, 0.25), (0, 0), 0)
    weight = emit.constant(np.arange(4).reshape(2, 1, 1, 2) - 2, DType.INT4, "w", quant=per_axis)
    types = [TensorType((1, 4, 4, 2), DType.INT8, None, (-1, 4, 4, 2))]
    y = emit.emit("conv_2d", [x, weight, None], result_types=types, name="y", quant=quant, stride_h=1, stride_w=1)
    slope = build(graph).emit("leaky_relu", [y], alpha=float("inf"), name="slope", result_types=types, quant=quant)
    big = graph.constant(np.arange(12, dtype=np.float32), "big")
    state = Value("state", TensorType((2,), DType.FLOAT32), is_variable=True)
    custom = {"custom_code": "Mine", "custom_options": b"\1\2", "custom_options_format": "FLEXBUFFERS"}
    result = Value("a/b:0", TensorType((), DType.STRING))
    graph.append(Op("custom", [slope, None, big, state], [result], custom, name="mine", version=2))
    graph.outputs = [slope, result, y]
    inner = Graph("odd graph")
    inner.outputs = [inner.add_input("z", TensorType((0,), DType.BOOL))]
    module = Module([graph, inner], name="digits", description="a sample")
    module.signatures.append(Signature("serve", 0, (("image", 0),), (("scores", 1),)))
    module.metadata["version"] = b"1.0"
    return module


def test_sample(golden: Callable[..., None]) -> None:
    text = print_module(sample(), OP_DEFS)
    golden(text, ".ir")
    assert print_module(parse_module(text, OP_DEFS), OP_DEFS) == text


def assert_round_trip(module: Module) -> None:
    text = print_module(module, OP_DEFS)
    again = parse_module(text, OP_DEFS)
    verify(again)
    assert print_module(again, OP_DEFS) == text
    assert serialize(again) == serialize(module)


@given(odd_modules())
def test_modules_with_odd_content_survive(module: Module) -> None:
    assert_round_trip(module)


@settings(max_examples=40)
@given(float_graphs())
def test_float_graphs_survive(graph: Graph) -> None:
    assert_round_trip(Module([graph], name="random"))


def test_a_single_graph_is_a_module_of_that_graph() -> None:
    text = print_graph(sample().main, OP_DEFS)
    module = parse_module(text, OP_DEFS)
    assert (module.name, len(module.graphs)) == ("", 1)
    assert print_graph(module.main, OP_DEFS) == text


def test_names_are_no_identity() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType((1,), DType.FLOAT32))
    x2 = graph.add_input("x#2", x.type)
    again = build(graph).emit("sub", [x, x2], name="x")
    graph.outputs = [build(graph).emit("sub", [again, x], name="x")]
    assert print_graph(graph, OP_DEFS) == (
        'graph @main(%x: float32[1], %"x#2": float32[1]) {\n'
        '  %x#2 = sub(%x, %"x#2") : float32[1]\n'
        "  %x#3 = sub(%x#2, %x) : float32[1]\n"
        "  return %x#3\n"
        "}\n"
    )
    assert_round_trip(Module([graph]))


def test_nan_keeps_its_bits() -> None:
    graph = Graph()
    odd = np.array([0x7FC00001, 0xFFC00000, 0x7F800000], np.uint32).view(np.float32)
    graph.outputs = [graph.constant(odd, "odd")]
    text = print_graph(graph, OP_DEFS)
    assert f'"{base64.b64encode(odd.tobytes()).decode()}"' in text
    assert parse_module(text, OP_DEFS).main.outputs[0].array().tobytes() == odd.tobytes()
    graph.outputs = [graph.constant(np.array([np.inf, -0.0], np.float32), "c")]
    assert '[{"$float": "inf"}, -0.0]' in print_graph(graph, OP_DEFS)


def test_sparse_and_string_constants_survive() -> None:
    graph = Graph()
    sparsity = {"traversal_order": np.array([0], np.int32), "dim_metadata": [{"format": "DENSE", "dense_size": 2}]}
    raw = np.array([1, 2, 3], np.uint8)
    words = Value("words", TensorType((1,), DType.STRING), raw)
    graph.outputs = [Value("thin", TensorType((2,), DType.FLOAT32), raw, sparsity=sparsity), words]
    text = print_graph(graph, OP_DEFS)
    again = parse_module(text, OP_DEFS).main
    assert print_graph(again, OP_DEFS) == text
    assert [v.array().tobytes() for v in again.outputs] == [b"\1\2\3"] * 2
    thin = again.outputs[0].sparsity
    assert thin is not None
    assert thin["dim_metadata"] == ({"format": "DENSE", "dense_size": 2},)


def test_elided_constants_are_for_reading_only() -> None:
    text = print_module(sample(), OP_DEFS, elide_above=8)
    assert "$big = constant float32[12] elided " in text
    with pytest.raises(ParseError) as caught:
        parse_module(text, OP_DEFS)
    assert str(caught.value) == "Parsing the text form, line 7: the data of 'big' was left out of this text."


HEAD = "graph @g(%x: float32[2]) {\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "expected 'module' or 'graph'"),
        ("modul x", 1, "expected 'module' or 'graph'"),
        ('module "m" [', 1, "expected '{', found '['"),
        ("module m {", 1, "expected a JSON value (Expecting value)"),
        ("module 3 {}", 1, "expected a string, found 3"),
        ('module "m" {\n  picture\n}', 2, "expected description, graph, signature or metadata, found 'picture'"),
        ('module "m" {\n} // end\nmore', 3, "expected the end of the text, found 'more'"),
        (
            'module "m" {\n  signature "s" {"graph": 0}\n}',
            2,
            "signature 's' must have the form "
            '{"graph": 0, "inputs": [["name", 0]], "outputs": [["name", 0]]}',
        ),
        ('module "m" { metadata "k" 3 }', 1, "metadata 'k' must be bytes: {\"$bytes\": \"base64\"}"),
        (
            'module "m" { metadata "k" {"$bytes": "eA="} }',
            1,
            "a tagged value cannot be read (Incorrect padding)",
        ),
        ("graph @g(%x: float33[2])", 1, "there is no element type 'float33'"),
        ("graph @g(%x: float32[2.5])", 1, "expected a list of integers, found [2.5]"),
        ("graph @g(%x: float32 7)", 1, "expected a list of integers, found 7"),
        ("graph @g(%x: float32[-1])", 1, "dimension -1 of shape [-1] is outside 0..2147483647"),
        ("graph @g(x: float32[2])", 1, "expected a value, found 'x: float32[2])'"),
        ("graph @g(%x#: float32[2])", 1, "expected a number, found ': float32[2])'"),
        ("graph @g(%x: float32[2], %x: float32[2])", 1, "value 'x' is defined twice"),
        (
            "graph @g(%x: int8[2] quant 5)",
            1,
            "the quantization cannot be read ('int' object has no attribute 'get')",
        ),
        ('graph @g(%x: int8[2] quant {"scale": 1})', 1, "the quantization cannot be read (it has no 'zero_point')"),
        (
            'graph @g(%x: int8[2] quant {"scale": -1, "zero_point": 0})',
            1,
            "the quantization cannot be read (scales must be finite and not negative)",
        ),
        (HEAD + "  return %y\n}", 2, "value 'y' is used before it is defined"),
        (HEAD + "  %y = relu(%x)\n}", 3, "expected ':', found '}'"),
        (HEAD + "  %x = relu(%x) : float32[2]\n  return\n}", 2, "value 'x' is defined twice"),
        (HEAD + "  %y = relu(%x) {a 3} : float32[2]", 2, "expected '=', found '3} : float32[2]'"),
        (HEAD + "  %y = relu(%x) : float32[2] version x", 2, "expected a number, found 'x'"),
        (HEAD + "  $c = constant int8[2] [1]\n", 2, None),
        (HEAD + "  $c = constant int8[2] [1, 300]\n", 2, None),
        (
            HEAD + "  $c = constant float32[2] sparse 3\n",
            2,
            "the sparse data of 'c' must be a list of its sparsity and its bytes",
        ),
        (HEAD + "  $c = constant int8[1] " + "[" * 100_000, 2, "a JSON value is nested too deeply"),
        (HEAD, 2, "expected a name, found ''"),
    ],
)  # fmt: skip
def test_errors_name_the_line(text: str, line: int, what: str | None) -> None:
    with pytest.raises(ParseError) as caught:
        parse_module(text, OP_DEFS)
    if what is None:  # numpy's own words stand in brackets
        assert str(caught.value).startswith(
            f"Parsing the text form, line {line}: the data of 'c' does not fit int8[2] ("
        )
    else:
        assert str(caught.value) == f"Parsing the text form, line {line}: {what}."


def test_any_cut_of_a_text_gives_a_parse_error() -> None:
    text = print_module(sample(), OP_DEFS)
    for end in range(len(text) - 2):
        with pytest.raises(ParseError):
            parse_module(text[:end], OP_DEFS)


def test_comments_are_skipped() -> None:
    module = parse_module("// a comment\ngraph @g() { // nothing\n  return }\n// end", OP_DEFS)
    assert module.main.name == "g"
