"""uint8 models become int8 ones that compute the same integers, in the kernels that users run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.frontends.tflite import load_tflite
from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build, verify
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.convert_uint8 import ConvertUint8ToInt8
from edgec.runtime.litert import LiteRTSession
from edgec.target import load_target

RUNS = 20
X = QuantParams.per_tensor(0.02, 121)
Y = QuantParams.per_tensor(0.05, 130)


def uint8(graph: Graph, shape: tuple[int, ...], quant: QuantParams = X) -> Value:
    return graph.add_input(f"x{len(graph.inputs)}", TensorType(shape, DType.UINT8, quant))


def weight(shape: tuple[int, ...], zero_point: int, seed: int = 0, scale: float = 0.01) -> Value:
    """Weights near the zero point, with some at both ends of 1..255, as uint8 training leaves them."""
    rng = np.random.default_rng(seed)
    data = np.clip(np.rint(rng.normal(zero_point, 25, shape)), 1, 255).astype(np.uint8)
    flat = data.reshape(-1)
    flat[rng.choice(flat.size, 3, replace=False)] = (1, 255, 255)
    return Value("weight", TensorType(shape, DType.UINT8, QuantParams.per_tensor(scale, zero_point)), data)


def bias(count: int, seed: int = 1) -> Value:
    data = np.random.default_rng(seed).integers(-3000, 3000, count).astype(np.int32)
    return Value("bias", TensorType((count,), DType.INT32, QuantParams.per_tensor(0.0002)), data)


def module_of(body: Callable[[Graph, Builder], Value]) -> Module:
    module = Module()
    result = body(module.main, build(module.main))
    module.main.outputs = [result]
    verify(module)
    return module


def converted(module: Module, context: PassContext | None = None) -> bytes:
    """Convert in place and check the pass's contract; returns the bytes."""
    names = [v.name for v in (*module.main.inputs, *module.main.outputs)]
    assert ConvertUint8ToInt8().run(module, context or PassContext()).changed
    verify(module)
    assert [v.name for v in (*module.main.inputs, *module.main.outputs)] == names
    again = ConvertUint8ToInt8().run(module, PassContext(target=None if context is None else context.target))
    assert not again.changed
    return serialize(module)


def differing(before: bytes, after: bytes, *, runs: int = RUNS, reference: bool = False) -> int:
    """Runs on random inputs whose outputs differ once uint8 is shifted to int8."""
    old, new = (LiteRTSession(model, reference_kernels=reference) for model in (before, after))
    rng = np.random.default_rng(3)
    count = 0
    for _ in range(runs):
        feeds = [rng.integers(0, 256, info.shape).astype(np.uint8) for info in old.input_details]
        want = old.run(feeds)
        given = [shifted(f) if i.dtype == np.int8 else f for f, i in zip(feeds, new.input_details)]
        found = new.run(given)
        count += any(
            (shifted(w) if f.dtype == np.int8 and w.dtype == np.uint8 else w).tobytes() != f.tobytes()
            for w, f in zip(want, found)
        )
    return count


def shifted(array: np.ndarray) -> np.ndarray:
    return (array.astype(np.int16) - 128).astype(np.int8)


def conv(graph: Graph, b: Builder) -> Value:
    x = uint8(graph, (1, 9, 9, 6))
    return b.emit("conv_2d", [x, weight((8, 3, 3, 6), 60), bias(8)], quant=Y, stride_h=2, stride_w=2, padding="SAME")


def depthwise(graph: Graph, b: Builder) -> Value:
    x = uint8(graph, (1, 9, 9, 8))
    return b.emit(
        "depthwise_conv_2d", [x, weight((1, 3, 3, 8), 204), bias(8)], quant=Y, stride_h=1, stride_w=1,
        depth_multiplier=1, fused_activation_function="RELU6",
    )  # fmt: skip


def depthwise_of_two(graph: Graph, b: Builder) -> Value:
    x = uint8(graph, (1, 7, 7, 4))
    return b.emit(
        "depthwise_conv_2d", [x, weight((1, 3, 3, 8), 10), bias(8)], quant=Y, stride_h=1, stride_w=1, depth_multiplier=2
    )


def fully_connected(graph: Graph, b: Builder) -> Value:
    return b.emit("fully_connected", [uint8(graph, (2, 24)), weight((10, 24), 33), bias(10)], quant=Y)


def flattening(graph: Graph, b: Builder) -> Value:
    return b.emit("fully_connected", [uint8(graph, (1, 2, 3, 4)), weight((5, 24), 33), bias(5)], quant=Y)


def separable_pair(graph: Graph, b: Builder) -> Value:
    """A depthwise layer whose channels the next convolution can read in any order."""
    x = depthwise(graph, b)
    return b.emit("conv_2d", [x, weight((5, 1, 1, 8), 90, seed=4), bias(5)], quant=Y, stride_h=1, stride_w=1)


def transposed(graph: Graph, b: Builder) -> Value:
    x = uint8(graph, (1, 4, 4, 3))
    return b.emit(
        "transpose_conv", [b.ints([1, 8, 8, 5]), weight((5, 3, 3, 3), 61), x], quant=Y, stride_h=2, stride_w=2,
        padding="SAME",
    )  # fmt: skip


def pool_of_an_even_window(graph: Graph, b: Builder) -> Value:
    x = uint8(graph, (1, 8, 8, 5))
    return b.emit(
        "average_pool_2d", [x], quant=X, filter_height=2, filter_width=4, stride_h=2, stride_w=4, padding="VALID"
    )


def pool_of_an_odd_window(graph: Graph, b: Builder) -> Value:
    x = uint8(graph, (1, 7, 7, 5))
    return b.emit(
        "average_pool_2d", [x], quant=X, filter_height=7, filter_width=7, stride_h=1, stride_w=1, padding="VALID"
    )


def join_of_two_scales(graph: Graph, b: Builder) -> Value:
    x, y = uint8(graph, (1, 4, 4, 3)), uint8(graph, (1, 4, 4, 3), Y)
    return b.emit("concatenation", [x, y], axis=3, quant=Y)


def sum_and_softmax(graph: Graph, b: Builder) -> Value:
    x, y = uint8(graph, (1, 12)), uint8(graph, (1, 12), Y)
    total = b.emit("add", [x, y], quant=QuantParams.per_tensor(0.06, 100))
    return b.emit("softmax", [total], beta=1.0, quant=QuantParams.per_tensor(1 / 256))


def constant_operand(graph: Graph, b: Builder) -> Value:
    data = np.arange(0, 256, 16, dtype=np.uint8).reshape(1, 16)
    other = Value("table", TensorType(data.shape, DType.UINT8, Y), data)
    return b.emit("mul", [uint8(graph, (1, 16)), other], quant=QuantParams.per_tensor(0.03, 40))


CASES = [
    conv, depthwise, depthwise_of_two, fully_connected, flattening, separable_pair, transposed, pool_of_an_even_window,
    pool_of_an_odd_window, join_of_two_scales, sum_and_softmax, constant_operand,
]  # fmt: skip


@pytest.mark.parametrize("reference", [False, True], ids=["xnnpack", "reference"])
@pytest.mark.parametrize("body", CASES)
def test_the_integers_are_those_of_the_uint8_kernels(body: Callable[[Graph, Builder], Value], reference: bool) -> None:
    module = module_of(body)
    before = serialize(module)
    after = converted(module)
    assert all(v.dtype is not DType.UINT8 for v in module.main.values())
    assert differing(before, after, reference=reference) == 0


def opcodes(module: Module) -> list[str]:
    return [op.opcode for op in module.main.ops]


def test_weights_that_fit_are_only_shifted() -> None:
    module = module_of(conv)
    op = module.main.last_op
    assert op is not None
    narrow = np.clip(op.operand(1).array(), 60, 180)
    op.set_operand(1, Value("w", op.operand(1).type, narrow))
    before = serialize(module)
    assert differing(before, converted(module)) == 0
    assert opcodes(module) == ["conv_2d"]
    assert op.operand(1).array().tolist() == (narrow.astype(int) - 60).tolist()


def test_a_depthwise_layer_before_a_convolution_needs_no_gather_back() -> None:
    module = module_of(separable_pair)
    converted(module)
    assert opcodes(module)[:4] == ["depthwise_conv_2d", "gather", "conv_2d", "concatenation"]
    assert opcodes(module)[4:] == ["gather", "concatenation", "conv_2d"]  # copies for the second convolution


def test_the_note_counts_what_was_spread() -> None:
    module, context = module_of(fully_connected), PassContext()
    converted(module, context)
    [note] = context.notes
    assert note.message == (
        "2 uint8 weights in 1 layers reach beyond int8 once the zero point is subtracted; they are spread over copies "
        "of their input channels, which changes no result (fully_connected 'fully_connected_1')"
    )


def test_borders_stay_uint8_where_the_target_takes_it() -> None:
    module = module_of(fully_connected)
    before = serialize(module)
    after = converted(module, PassContext(target=load_target("mobile-cpu")))
    assert opcodes(module)[0] == opcodes(module)[-1] == "quantize"
    assert [v.dtype for v in (*module.main.inputs, *module.main.outputs)] == [DType.UINT8] * 2
    assert differing(before, after) == 0


def test_an_op_without_an_int8_kernel_keeps_uint8_between_quantize_ops() -> None:
    def body(graph: Graph, b: Builder) -> Value:
        x = b.emit("relu", [uint8(graph, (1, 6))], quant=X)
        raw = b.emit("cast", [x], result_types=[TensorType((1, 6), DType.FLOAT32)])
        return b.emit("mul", [raw, b.constant(2.0)])

    module = module_of(body)
    before = serialize(module)
    after = converted(module)
    assert opcodes(module) == ["relu", "quantize", "cast", "mul"]
    assert differing(before, after) == 0


def test_branches_take_and_give_int8_too() -> None:
    """Graphs that control flow refers to are converted with the one that calls them."""
    module = Module()
    positive = module.main.add_input("positive", TensorType((1,), DType.BOOL))
    x = uint8(module.main, (1, 6))
    for name, opcode in (("clipped", "relu6"), ("kept", "logistic")):
        branch = Graph(name)
        inner = uint8(branch, (1, 6))
        quant = QuantParams.per_tensor(1 / 256) if opcode == "logistic" else X
        result = build(branch).emit(opcode, [inner], quant=quant)
        if opcode == "logistic":
            result = build(branch).emit("quantize", [result], result_types=[TensorType((1, 6), DType.UINT8, X)])
        branch.outputs = [result]
        module.graphs.append(branch)
    chosen = build(module.main).emit(
        "if", [positive, x], then_subgraph_index=1, else_subgraph_index=2,
        result_types=[TensorType((1, 6), DType.UINT8, X)],
    )  # fmt: skip
    module.main.outputs = [chosen]
    verify(module)
    before = serialize(module)
    new = LiteRTSession(converted(module))
    old = LiteRTSession(before)
    values = np.random.default_rng(0).integers(0, 256, (1, 6)).astype(np.uint8)
    for flag in (True, False):
        [want] = old.run([np.array([flag]), values])
        [found] = new.run([np.array([flag]), shifted(values)])
        assert shifted(want).tolist() == found.tolist()


def test_a_uint8_picture_without_a_scale_is_no_quantized_tensor() -> None:
    module = Module()
    x = module.main.add_input("x", TensorType((1, 4), DType.UINT8))
    module.main.outputs = [build(module.main).emit("reshape", [x, build(module.main).ints([4])], new_shape=(4,))]
    assert not ConvertUint8ToInt8().run(module, PassContext()).changed


def test_padded_averages_are_named() -> None:
    def body(graph: Graph, b: Builder) -> Value:
        x = uint8(graph, (1, 6, 6, 2))
        return b.emit(
            "average_pool_2d", [x], quant=X, filter_height=3, filter_width=3, stride_h=1, stride_w=1, padding="SAME"
        )

    module, context = module_of(body), PassContext()
    converted(module, context)
    assert [n.message for n in context.notes] == [
        "average_pool_2d 'average_pool_2d_1': where a mean falls half way between steps, int8 rounds it otherwise"
    ]


@pytest.mark.parametrize(
    ("name", "runs"),
    [("mobilenet_v1_0.25_128_quant", 50), ("mobilenet_v1_0.5_160_quant", 50), ("deeplabv3_mnv2_dm05_pascal_quant", 2)],
)
def test_published_models_give_the_same_bytes_in_xnnpack(shared_data: Path, name: str, runs: int) -> None:
    path = shared_data / "models" / "coral" / f"{name}.tflite"
    module = load_tflite(path)
    after = converted(module)
    kept = [op for op in module.main.ops if any(is_uint8(v) for v in (*op.operands, *op.results))]
    assert kept == []
    assert differing(path.read_bytes(), after, runs=runs) == 0


def is_uint8(value: Value | None) -> bool:
    return value is not None and value.dtype is DType.UINT8


def test_every_int8_weight_lies_in_the_narrow_range(shared_data: Path) -> None:
    module = load_tflite(shared_data / "models" / "coral" / "mobilenet_v1_0.25_128_quant.tflite")
    converted(module)
    weighted: list[Op] = [op for op in module.main.ops if "conv" in op.opcode]
    assert len(weighted) > 28
    for op in weighted:
        assert np.abs(op.operand(1).array().astype(int)).max() <= 127
        quant = op.operand(1).quant
        assert quant is not None
        assert not any(quant.zero_point)
