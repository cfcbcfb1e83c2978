"""ONNX files: every operator's own test models, and models made here of what those lack, with unsound content."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzz.case import Case
from fuzz.mutate import mutate_bytes, number
from fuzz.protobuf import mutate_message

COMPILE_SHARE = 0.02
GROWN_SHARE = 0.1
WRITTEN_BYTES = 256 << 20  # a constant of gigabytes that repeats one number takes memory once it is written
NESTING = (2, 3, 8, 20, 45, 90, 300, 3000)


@cache
def corpus() -> tuple[tuple[Any, tuple[Any, ...]], ...]:
    """(model, arrays for its inputs): the cases that the onnx package generates for each operator, and our own.

    Where FUZZ_OWN_MODELS is set, only our own: the operators' cases take five seconds to make.
    """
    if os.environ.get("FUZZ_OWN_MODELS"):
        return tuple((model, ()) for model in own_models())
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    found = []
    for case in cases:
        inputs = case.data_sets[0][0] if case.data_sets else ()
        if case.model is not None and case.model.ByteSize() < 20_000:
            found.append((case.model, tuple(inputs)))
    return (*((model, ()) for model in own_models()), *found)


def own_models() -> list[Any]:
    """What the operators' own cases lack: whole networks, functions, subgraphs that nest, quantized pairs."""
    return [_network(), _with_function(), _nested_if(2), _looped(), _quantized()]


def _stored(name: str, *shape: int) -> Any:
    from onnx import numpy_helper

    values = np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def _model(nodes: list[Any], constants: list[Any], shape: list[int], functions: tuple[Any, ...] = ()) -> Any:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def _network() -> Any:
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2], group=1),
        helper.make_node("BatchNormalization", ["c", "b", "b", "b", "v"], ["n"], epsilon=1e-3),
        helper.make_node("Clip", ["n", "low", "high"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["m"], kernel_shape=[3, 3], pads=[1, 1, 0, 0], ceil_mode=1),
        helper.make_node("ConvTranspose", ["m", "t"], ["u"], strides=[2, 2], output_padding=[1, 1]),
        helper.make_node("Shape", ["u"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"], axis=0),
        helper.make_node("Concat", ["batch", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["u", "wanted"], ["f"]),
        helper.make_node("Softmax", ["f"], ["p"], axis=1),
        helper.make_node("Gemm", ["p", "g", "h"], ["y"], alpha=0.5, transB=1),
    ]
    constants = [
        _stored("w", 4, 3, 3, 3), _stored("b", 4), _stored("t", 4, 2, 3, 3), _stored("h", 16), _stored("g", 16, 128),
        numpy_helper.from_array(np.full(4, 2, np.float32), "v"), numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "high"), numpy_helper.from_array(np.array([0]), "zero"),
        numpy_helper.from_array(np.array([-1]), "rest"),
    ]  # fmt: skip
    return _model(nodes, constants, [1, 3, 8, 8])


def _with_function() -> Any:
    from onnx import helper

    body = [helper.make_node("Mul", ["a", "a"], ["s"]), helper.make_node("Add", ["s", "b"], ["r"])]
    inner = helper.make_function("local", "Square", ["a", "b"], ["r"], body, [helper.make_opsetid("", 17)])
    calls = [helper.make_node("Square", ["a", "a"], ["t"], domain="local"), helper.make_node("Relu", ["t"], ["r"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    outer = helper.make_function("local", "Outer", ["a"], ["r"], calls, opsets)
    nodes = [
        helper.make_node("Outer", ["x"], ["z"], domain="local"),
        helper.make_node("Square", ["z", "x"], ["y"], domain="local"),
    ]
    return _model(nodes, [], [2, 3], (inner, outer))


def _nested_if(depth: int) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    def branch(level: int) -> Any:
        out = [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
        if level == 0:
            return helper.make_graph([helper.make_node("Neg", ["x"], ["o"])], "leaf", [], out)
        nodes = [
            helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
            helper.make_node("Greater", ["m", "half"], ["c"]),
            helper.make_node("If", ["c"], ["o"], then_branch=branch(level - 1), else_branch=branch(0)),
        ]
        return helper.make_graph(nodes, "branch", [], out)

    graph = branch(depth)
    nodes = [*graph.node, helper.make_node("Identity", ["o"], ["y"])]
    return _model(nodes, [numpy_helper.from_array(np.float32(0.5), "half")], [2, 3])


def _looped() -> Any:
    from onnx import TensorProto, helper, numpy_helper

    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["v", "x"], ["w"]), helper.make_node("Identity", ["go"], ["on"])], "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, [2, 3])],
        [info("on", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, [2, 3])],
    )  # fmt: skip
    constants = [numpy_helper.from_array(np.array(3), "n"), numpy_helper.from_array(np.array(True), "c")]
    return _model([helper.make_node("Loop", ["n", "c", "x"], ["y"], body=body)], constants, [2, 3])


def _quantized() -> Any:
    from onnx import helper, numpy_helper

    weights = np.random.default_rng(3).integers(-128, 127, (3, 4)).astype(np.int8)
    constants = [
        numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(3), "z"),
        numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.full(4, 0.02, np.float32), "ws"),
        numpy_helper.from_array(np.zeros(4, np.int8), "wz"),
    ]  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=1),
        helper.make_node("MatMul", ["d", "wd"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["mq"]),
        helper.make_node("DequantizeLinear", ["mq", "s", "z"], ["y"]),
    ]
    return _model(nodes, constants, [2, 3])


@cache
def _words() -> tuple[str, ...]:
    from onnx import defs

    return tuple(sorted({schema.name for schema in defs.get_all_schemas() if schema.domain == ""}))


def _constant_inputs(random: Random, model: Any, arrays: tuple[Any, ...]) -> None:
    """Store some inputs' data in the model, so that nodes fold and constants reach the translators."""
    from onnx import numpy_helper

    for info, array in zip(list(model.graph.input), arrays):
        if isinstance(array, np.ndarray) and array.dtype != object and random.random() < 0.5:
            try:
                model.graph.initializer.append(numpy_helper.from_array(array, info.name))
            except (ValueError, TypeError, KeyError):
                continue
            model.graph.input.remove(info)


def _nested(random: Random, model: Any) -> bytes:
    """The model with its graph inside itself, as deep as a file may, or deeper; put together byte by byte."""
    inner = model.graph.SerializeToString()
    outputs = b"".join(_field(12, output.SerializeToString()) for output in model.graph.output)
    op_type, name = random.choice(((b"If", b"then_branch"), (b"Loop", b"body"), (b"Scan", b"body")))
    names = [text.encode("utf-8", "replace") for text in list(model.graph.node[0].input)[:2]]
    for _ in range(random.choice(NESTING)):
        attribute = _field(1, name) + _field(6, inner) + b"\xa0\x01\x05"
        node = b"".join(_field(1, text) for text in names) + _field(2, b"o") + _field(4, op_type) + _field(5, attribute)
        inner = _field(1, node) + outputs
        if len(inner) > 400_000:
            break
    if random.random() < 0.5:
        inner += model.graph.SerializeToString()
    copy = type(model)()
    copy.CopyFrom(model)
    copy.ClearField("graph")
    return bytes(copy.SerializeToString()) + _field(7, inner)


def _field(number: int, content: bytes) -> bytes:
    length, encoded = len(content), bytearray([number << 3 | 2])
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(encoded) + bytes([length]) + content


def _node_change(random: Random, model: Any) -> None:
    """Changes that think of a graph: wrong ops, cycles, missing and doubled names, odd shapes and versions."""
    from onnx import defs

    graph = model.graph
    names = [n for node in graph.node for n in (*node.input, *node.output)] + [i.name for i in graph.input] + [""]
    kind = random.randrange(7)
    if kind == 0 and model.opset_import:
        model.opset_import[0].version = random.randint(-1, 27)
    elif kind == 1 and graph.input:
        dims = random.choice(graph.input).type.tensor_type.shape.dim
        if len(dims) and random.random() < 0.7:
            random.choice(dims).dim_value = number(random)
        else:
            dims.add().dim_value = random.randint(0, 4)
    elif not graph.node:
        return
    elif kind == 2:
        random.choice(graph.node).op_type = random.choice(_words())
    elif kind in (3, 4):
        node = random.choice(graph.node)
        side = node.input if kind == 3 or not node.output else node.output
        at = random.randrange(len(side) + 1)
        side[:] = [*side[:at], random.choice(names), *side[at + random.randrange(2) :]]
    elif kind == 5:
        node = random.choice(graph.node)
        if defs.has(node.op_type):
            attributes = list(defs.get_schema(node.op_type).attributes.values())
            if attributes:
                one = random.choice(attributes)
                added = node.attribute.add(name=one.name, type=int(one.type.value), i=number(random))
                added.ints.extend(number(random) for _ in range(random.randrange(5)))
                added.f = random.uniform(-3, 3)
                added.s = random.choice((b"", b"SAME_UPPER", b"NOTSET", b"linear", b"cubic", b"\xff", b"reflect"))
    elif graph.initializer:
        tensor = random.choice(graph.initializer)
        tensor.dims[:] = [number(random) for _ in range(random.randrange(6))]


def grow(random: Random, model: Any) -> None:
    """Make one size large wherever it stands, so that the model stays sound and asks for much."""
    graph = model.graph
    typed = [*graph.input, *graph.output, *graph.value_info]
    dims = [d for info in typed for d in info.type.tensor_type.shape.dim if d.dim_value > 0]
    listed = [a for node in graph.node for a in node.attribute if a.ints or a.i > 0]
    sizes = sorted({d.dim_value for d in dims} | {n for a in listed for n in (*a.ints, a.i) if n > 0})
    if not sizes:
        return
    old, new = random.choice(sizes), int(2 ** random.uniform(8, 25))
    attributes_too = random.random() < 0.7
    for dim in dims:
        if dim.dim_value == old:
            dim.dim_value = new
    for attribute in listed if attributes_too else ():
        attribute.ints[:] = [new if n == old else n for n in attribute.ints]
        attribute.i = new if attribute.i == old else attribute.i
    for tensor in graph.initializer:
        if tensor.data_type == tensor.INT64 and attributes_too and len(tensor.raw_data) < 64:
            numbers = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // 8 * 8], np.int64)
            tensor.raw_data = np.where(numbers == old, new, numbers).tobytes()


def random_model(random: Random) -> bytes:
    """A model's bytes: mostly a sound protocol buffer with one to six changes, else changed bytes."""
    model, arrays = random.choice(corpus())
    changed = type(model)()
    changed.CopyFrom(model)
    if random.random() < 0.6:
        _constant_inputs(random, changed, arrays)
    kind = random.random()
    if kind < 0.15:
        donors = [random.choice(corpus())[0].SerializeToString()]
        return mutate_bytes(random, changed.SerializeToString(), donors, [b"\xff\xff\xff\xff\x0f", b"\x0a\x00"])
    if kind < 0.2:
        return bytes(changed.SerializeToString())
    donor = random.choice(corpus())[0]
    grown = random.random() < GROWN_SHARE
    for _ in range(random.choice((1, 1, 2)) if grown else random.choice((1, 1, 2, 3, 6))):
        if grown:
            grow(random, changed)
        elif random.random() < 0.5:
            _node_change(random, changed)
        else:
            mutate_message(random, changed, [donor], _words())
    if random.random() < 0.04 and len(changed.graph.node):
        return _nested(random, changed)
    return bytes(changed.SerializeToString())


class OnnxTarget:
    """`load_onnx`, the verifier, the writer, and the reader on what was written; now and then a whole compilation."""

    name = "onnx"
    compile_share = COMPILE_SHARE

    def make(self, random: Random) -> Case:
        """A new case."""
        mode = "compile" if random.random() < self.compile_share else "import"
        return Case("model.onnx", {"model.onnx": random_model(random)}, mode=mode)

    def run(self, path: Path, case: Case) -> None:
        """Import, write and read back, or compile."""
        if case.mode == "compile":
            compile_file(path)
            return
        from edgec.backends.tflite import serialize
        from edgec.frontends.onnx import load_onnx
        from edgec.frontends.tflite import read_tflite
        from edgec.ops import verify

        module = load_onnx(path)
        verify(module)
        if sum(value.type.bytes for graph in module.graphs for value in graph.constants()) < WRITTEN_BYTES:
            read_tflite(serialize(module))


class OnnxCompileTarget(OnnxTarget):
    """`edgec compile` on every case."""

    name = "onnx-compile"
    compile_share = 1.0


def compile_file(path: Path) -> None:
    """The whole of `edgec compile --scheme fp32` for a device that LiteRT stands for."""
    from edgec.driver.compile import compile_model
    from edgec.driver.options import CompileOptions

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile_model(path, CompileOptions(device="pixel4", scheme="fp32"))
