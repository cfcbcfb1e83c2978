"""Every kind of op on five to eight dimensions runs in LiteRT, with XNNPACK and without, as in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build
from edgec.passes.base import PassContext
from edgec.passes.catalogue import PASSES
from edgec.passes.legalize.legalize import Legalize
from edgec.passes.manager import run_passes
from edgec.runtime.evaluate import evaluate
from edgec.runtime.litert import LiteRTSession
from edgec.target import load_target

Array = np.ndarray
TARGET = load_target("mobile-cpu")
SHAPES = {5: (2, 3, 4, 2, 5), 6: (2, 3, 2, 2, 3, 4), 7: (2, 3, 2, 2, 3, 2, 2), 8: (2, 1, 2, 3, 2, 2, 2, 3)}
REDUCTIONS = ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2")


class Case:
    """An ONNX model of one node, or a few."""

    def __init__(self, *nodes: Any, given: dict[str, Array], stored: dict[str, Array] | None = None) -> None:
        self.nodes = nodes
        self.given = given
        self.stored = stored or {}

    def save(self, path: Path) -> None:
        import onnx
        from onnx import helper, numpy_helper

        inputs = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                  for n, a in self.given.items()]  # fmt: skip
        stored = [numpy_helper.from_array(a, n) for n, a in self.stored.items()]
        outputs = [onnx.ValueInfoProto(name="y")]
        graph = helper.make_graph(list(self.nodes), "g", inputs, outputs, stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(op, inputs.split(), [output], **attributes)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def elementwise(rank: int) -> dict[str, Case]:
    random = np.random.default_rng(rank)
    s = SHAPES[rank]
    odd = tuple(d if i % 2 else 1 for i, d in enumerate(s))
    even = tuple(1 if i % 2 else d for i, d in enumerate(s))

    def real(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float32)

    def whole(*shape: int) -> Array:
        return random.integers(0, 4, shape).astype(np.int32)

    to_float = node("Cast", "c", to=1)
    zero = {"z": np.array(0, np.float32)}
    return {
        "add": Case(node("Add", "a b"), given={"a": real(*s), "b": real(*s)}),
        "add, broadcast": Case(node("Add", "a b"), given={"a": real(*s), "b": real(*odd)}),
        "mul, outer": Case(node("Mul", "a b"), given={"a": real(*odd), "b": real(*even)}),
        "sub, constant": Case(node("Sub", "a b"), given={"a": real(*s)}, stored={"b": real(*odd)}),
        "max, broadcast": Case(node("Max", "a b"), given={"a": real(*s), "b": real(*odd)}),
        "add of integers": Case(node("Add", "a b"), given={"a": whole(*s), "b": whole(*odd)}),
        "less": Case(node("Less", "a b", "c"), to_float, given={"a": real(*s), "b": real(*odd)}),
        "equal": Case(node("Equal", "a b", "c"), to_float, given={"a": whole(*s), "b": whole(*odd)}),
        "where": Case(
            node("Greater", "c z", "d"), node("Where", "d a b"),
            given={"c": real(*even), "a": real(*s), "b": real(*odd)}, stored=zero,
        ),
        "prelu": Case(node("PRelu", "a b"), given={"a": real(*s)}, stored={"b": real(s[1], *[1] * (rank - 2))}),
        "chain": Case(node("Erf", "a", "b"), node("Mul", "a b", "c"), node("Tanh", "c"), given={"a": real(*s)}),
        "expand": Case(node("Expand", "a t"), given={"a": real(*odd)}, stored={"t": ints(*s)}),
        "batch norm": Case(
            node("BatchNormalization", "a g b m v"), given={"a": real(*s)},
            stored={"g": real(s[1]), "b": real(s[1]), "m": real(s[1]), "v": np.abs(real(s[1])) + 1},
        ),
    }  # fmt: skip


def movement(rank: int) -> dict[str, Case]:
    random = np.random.default_rng(rank)
    s, a = SHAPES[rank], {"a": np.random.default_rng(rank).standard_normal(SHAPES[rank]).astype(np.float32)}
    some = [1 if d > 1 and i in (0, 2, rank - 1) else 0 for i, d in enumerate(s)]
    every = range(rank)
    cases = {
        "transpose, reverse": Case(node("Transpose", "a", perm=[*every][::-1]), given=a),
        "transpose, even odd": Case(node("Transpose", "a", perm=[*every[::2], *every[1::2]]), given=a),
        "transpose, random": Case(node("Transpose", "a", perm=random.permutation(rank).tolist()), given=a),
        "concat": Case(node("Concat", "a a", axis=2), given=a),
        "concat, first": Case(node("Concat", "a a", axis=0), given=a),
        "slice": Case(
            node("Slice", "a b e x"), given=a,
            stored={"b": ints(*[0] * rank), "e": ints(*[max(d - 1, 1) for d in s]), "x": ints(*every)},
        ),
        "slice, steps": Case(
            node("Slice", "a b e x t"), given=a,
            stored={"b": ints(*[0] * rank), "e": ints(*s), "x": ints(*every),
                    "t": ints(*[2 if i % 2 else 1 for i in every])},
        ),
        "slice, backwards": Case(
            node("Slice", "a b e x t"), given=a,
            stored={"b": ints(-1, -1), "e": ints(-99, -99), "x": ints(2, rank - 1), "t": ints(-1, -1)},
        ),
        "pad everywhere": Case(
            node("Pad", "a p v"), given=a, stored={"p": ints(*[1] * (2 * rank)), "v": np.array(2, np.float32)}
        ),
        "gather": Case(node("Gather", "a i", axis=3), given=a, stored={"i": ints(1, 0, 1)}),
        "gather one": Case(node("Gather", "a i", axis=2), given=a, stored={"i": np.array(1)}),
        "gather elements": Case(
            node("GatherElements", "a i", axis=3), given=a, stored={"i": random.integers(0, s[3], s)}
        ),
        "gather nd": Case(node("GatherND", "a i"), given=a, stored={"i": ints(0, 0, 1, 0).reshape(2, 2)}),
        "tile": Case(node("Tile", "a t"), given=a, stored={"t": ints(*[2 if i % 2 else 1 for i in every])}),
    }  # fmt: skip
    for mode in ("constant", "reflect", "edge"):
        cases[f"pad, {mode}"] = Case(node("Pad", "a p", mode=mode), given=a, stored={"p": ints(*some * 2)})
    return cases


def arithmetic(rank: int) -> dict[str, Case]:
    random = np.random.default_rng(rank)
    s = SHAPES[rank]
    odd = tuple(d if i % 2 else 1 for i, d in enumerate(s))

    def real(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float32)

    a = {"a": real(*s)}
    left, right = {"a": real(*s[:-2], 3, 4)}, {"b": real(*odd[:-2], 4, 2)}
    cases = {
        "arg max": Case(node("ArgMax", "a", axis=2), given=a),
        "cumsum": Case(node("CumSum", "a x"), given=a, stored={"x": np.array(2)}),
        "softmax": Case(node("Softmax", "a", axis=-1), given=a),
        "softmax, inner": Case(node("Softmax", "a", axis=2), given=a),
        "log softmax, inner": Case(node("LogSoftmax", "a", axis=1), given=a),
        "matmul": Case(node("MatMul", "a b"), given={**left, "b": real(*s[:-2], 4, 2)}),
        "matmul, broadcast": Case(node("MatMul", "a b"), given={**left, **right}),
        "matmul, constant": Case(node("MatMul", "a b"), given=left, stored={"b": real(4, 5)}),
        "matmul, constants": Case(node("MatMul", "a b"), given=left, stored=right),
        "layer norm": Case(
            node("LayerNormalization", "a g b", axis=-2), given=a, stored={"g": real(*s[-2:]), "b": real(*s[-2:])}
        ),
        "instance norm": Case(
            node("InstanceNormalization", "a g b"), given=a, stored={"g": real(s[1]), "b": real(s[1])}
        ),
    }
    for op in REDUCTIONS:
        cases[f"{op}, odd axes"] = Case(node(op, "a", axes=list(range(1, rank, 2)), keepdims=0), given=a)
        cases[f"{op}, ends"] = Case(node(op, "a", axes=[0, rank - 1], keepdims=1), given=a)
    return cases


FAMILIES = (elementwise, movement, arithmetic)
CASES = [(family.__name__, rank, name) for rank in SHAPES for family in FAMILIES for name in family(rank)]


def fed(module: Module, given: dict[str, Array]) -> list[Array]:
    return [np.ascontiguousarray(given[v.name].transpose(module.input_layout.get(v.name, range(v.type.rank))))
            for v in module.main.inputs]  # fmt: skip


@pytest.mark.parametrize(("family", "rank", "name"), CASES)
def test_high_ranks(tmp_path: Path, family: str, rank: int, name: str) -> None:
    import onnxruntime as ort

    from edgec.frontends.onnx import load_onnx

    case = globals()[family](rank)[name]
    path = tmp_path / "model.onnx"
    case.save(path)
    (expected,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], case.given)
    module = load_onnx(path)
    passes = [PASSES.create(step.name, step.options) for step in TARGET.pipeline.passes if step.name in PASSES]
    run_passes(module, passes, PassContext(target=TARGET))
    layout = module.output_layout.get("y", range(expected.ndim))
    for reference in (False, True):
        (found,) = LiteRTSession(serialize(module), reference_kernels=reference).run(fed(module, case.given))
        np.testing.assert_allclose(found, expected.transpose(layout), rtol=1e-4, atol=1e-5)


# -- ops that front ends decompose themselves, as files hold them ----------------------------------------------------


def legalized(graph: Graph) -> list[Array]:
    """The graph's outputs in the reference kernels after legalization."""
    module = Module([graph])
    Legalize().run(module, PassContext(target=TARGET))
    random = np.random.default_rng(0)
    return evaluate(graph, {v.name: given(v, random) for v in graph.inputs})


def given(value: Value, random: np.random.Generator) -> Array:
    if value.dtype is DType.INT8:
        return random.integers(-128, 128, value.shape).astype(np.int8)
    return random.standard_normal(value.shape).astype(np.float32)


def graph_of(rank: int, dtype: DType = DType.FLOAT32) -> tuple[Graph, Value, Array]:
    graph = Graph()
    quant = QuantParams.per_tensor(0.1, 3) if dtype is DType.INT8 else None
    x = graph.add_input("x", TensorType(SHAPES[rank], dtype, quant))
    return graph, x, given(x, np.random.default_rng(0))


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8], ids=str)
@pytest.mark.parametrize("rank", [7, 8])
def test_split(rank: int, dtype: DType) -> None:
    graph, x, data = graph_of(rank, dtype)
    builder = build(graph)
    graph.outputs = builder.emit_op("split", [builder.ints(-2), x], num_splits=2, quant=x.quant).results
    for found, expected in zip(legalized(graph), np.split(data, 2, -2)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rank", [6, 7, 8])
def test_pad_of_a_quantized_value(rank: int) -> None:
    graph, x, data = graph_of(rank, DType.INT8)
    builder = build(graph)
    amounts = [(1, 2)] * rank
    graph.outputs = [builder.emit("pad", [x, builder.constant(np.array(amounts, np.int32))], quant=x.quant)]
    (found,) = legalized(graph)
    np.testing.assert_array_equal(found, np.pad(data, amounts, constant_values=3))


@pytest.mark.parametrize("rank", [7, 8])
def test_mean_of_a_quantized_value_rounds_once(rank: int) -> None:
    graph, x, data = graph_of(rank, DType.INT8)
    builder = build(graph)
    axes = list(range(1, rank, 2))
    graph.outputs = [builder.emit("mean", [x, builder.ints(axes)], quant=x.quant, keep_dims=True)]
    (found,) = legalized(graph)
    assert (
        np.abs(found - data.mean(tuple(axes), keepdims=True)).max() < 0.6
    )  # 0.5, and the kernel's fixed-point factors


def test_strided_slice_that_drops_axes() -> None:
    graph, x, data = graph_of(8)
    builder = build(graph)
    bounds = [[0, 0, 1, 2, 0, 1, 0, 2], [2, 1, 2, 0, 2, 2, 2, -4], [1, 1, 1, -1, 1, 1, 2, -1]]
    graph.outputs = [builder.emit("strided_slice", [x, *map(builder.ints, bounds)], shrink_axis_mask=0b100)]
    (found,) = legalized(graph)
    np.testing.assert_array_equal(found, data[0:2, :, 1, 2:0:-1, 0:2, 1:2, ::2, ::-1])
