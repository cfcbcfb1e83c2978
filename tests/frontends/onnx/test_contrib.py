from typing import Any

import numpy as np
import pytest
from onnx import helper

Array = np.ndarray
RNG = np.random.default_rng(0)
MS = "com.microsoft"


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def scalar(value: float) -> Array:
    return np.array(value, np.float32)


# -- activations and products ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op_type", ["Gelu", "QuickGelu", "FastGelu"])
def test_gelus(compare: Any, op_type: str) -> None:
    compare.check_node(op_type, [real(2, 3, 8)], domain=MS, atol=1e-4)


@pytest.mark.parametrize("op_type", ["BiasGelu", "FastGelu"])
def test_gelus_of_a_sum(compare: Any, op_type: str) -> None:
    module = compare.check_node(op_type, [real(2, 3, 8), real(8)], constants=[1], domain=MS, atol=1e-4)
    assert [op.opcode for op in module.main.ops] == ["add", "gelu"]


@pytest.mark.parametrize(
    ("activation", "parameters"),
    [("Relu", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 1.5]), ("HardSigmoid", [0.3, 0.4]), ("Sigmoid", [])],
)
def test_fused_conv(compare: Any, activation: str, parameters: list[float]) -> None:
    more = {"activation_params": parameters} if parameters else {}
    inputs = [real(1, 3, 7, 6), real(4, 3, 3, 3), real(4)]
    compare.check_node(
        "FusedConv", inputs, constants=[1, 2], domain=MS, activation=activation, pads=[1, 1, 1, 1], **more
    )


def test_fused_conv_adds_another_tensor(compare: Any) -> None:
    inputs = [real(1, 3, 7, 6), real(4, 3, 3, 3), real(4), real(1, 4, 5, 4)]
    compare.check_node("FusedConv", inputs, constants=[1, 2], domain=MS, activation="Relu")


def test_fused_gemm(compare: Any) -> None:
    more = {"activation": "LeakyRelu", "activation_alpha": 0.3, "transB": 1, "alpha": 0.5}
    compare.check_node("FusedGemm", [real(3, 5), real(4, 5), real(4)], constants=[1, 2], domain=MS, **more)


def test_fused_matmul(compare: Any) -> None:
    compare.check_node("FusedMatMul", [real(2, 3, 4, 5), real(2, 3, 6, 5)], domain=MS, transB=1, alpha=0.25)
    compare.check_node("FusedMatMul", [real(2, 4, 3), real(2, 4, 5)], domain=MS, transA=1)
    compare.check_node("FusedMatMul", [real(2, 3, 4), real(4, 5)], constants=[1], domain=MS, alpha=2.0)
    compare.check_node("FusedMatMul", [real(4, 2, 5, 3), real(2, 5, 3, 6)], domain=MS, transBatchA=1)


@pytest.mark.parametrize(("bits", "points"), [(4, False), (4, True), (8, True)])
def test_weights_of_few_bits(compare: Any, bits: int, points: bool) -> None:
    rows, columns, block = 64, 6, 32
    bytes_a_block = block * bits // 8
    codes = RNG.integers(0, 256, (columns, rows // block, bytes_a_block)).astype(np.uint8)
    scales = RNG.uniform(0.01, 0.1, columns * rows // block).astype(np.float32)
    zeros = RNG.integers(0, 256, columns * -(-rows // block * bits // 8)).astype(np.uint8)
    inputs = [real(2, 3, rows), codes, scales, *([zeros] if points else [])]
    compare.check_node(
        "MatMulNBits", inputs, constants=range(1, len(inputs)), domain=MS, K=rows, N=columns, bits=bits,
        block_size=block, accuracy_level=1, atol=1e-4,
    )  # fmt: skip


# -- normalization -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op_type", ["SkipLayerNormalization", "SkipSimplifiedLayerNormalization"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_norm_of_a_residual(compare: Any, op_type: str, with_bias: bool) -> None:
    inputs: list[Any] = [real(2, 4, 8), real(2, 4, 8), real(8)]
    if op_type == "SkipLayerNormalization":
        inputs.append(real(8))
    if with_bias:
        inputs.append(real(8))
    constants = range(2, len(inputs))
    compare.check_node(
        op_type, inputs, constants=constants, outputs=["y", "", "", "sum"], domain=MS, epsilon=1e-5, atol=1e-4
    )


def test_simplified_layer_normalization_has_no_domain(compare: Any) -> None:
    compare.check_node("SimplifiedLayerNormalization", [real(2, 4, 8), real(8)], constants=[1], epsilon=1e-6)


def test_embeddings_with_a_norm(compare: Any) -> None:
    words, segments = RNG.integers(0, 20, (2, 6)).astype(np.int32), RNG.integers(0, 2, (2, 6)).astype(np.int32)
    mask = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], np.int32)
    inputs = [words, segments, real(20, 8), real(10, 8), real(2, 8), real(8), real(8), mask]
    compare.check_node("EmbedLayerNormalization", inputs, constants=range(2, 7), outputs=2, domain=MS, atol=1e-4)
    short = [words, None, real(20, 8), real(10, 8), None, real(8), real(8)]
    compare.check_node(
        "EmbedLayerNormalization", short, constants=[2, 3, 5, 6], outputs=["y", ""], domain=MS, atol=1e-4
    )


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(compare: Any, interleaved: int) -> None:
    tables = [real(10, 4), real(10, 4)]
    places = RNG.integers(0, 10, (2, 5))
    more = {"domain": MS, "constants": [2, 3], "interleaved": interleaved}
    compare.check_node("RotaryEmbedding", [real(2, 5, 24), places, *tables], **more)
    compare.check_node("RotaryEmbedding", [real(2, 3, 5, 8), places, *tables], **more)
    compare.check_node("RotaryEmbedding", [real(2, 5, 24), np.array([3]), *tables], **more)


def test_rotary_embedding_of_a_part(compare: Any) -> None:
    compare.check_node(
        "RotaryEmbedding", [real(2, 5, 36), RNG.integers(0, 10, (2, 5)), real(10, 4), real(10, 4)], domain=MS,
        constants=[2, 3], num_heads=3, rotary_embedding_dim=8,
    )  # fmt: skip


# -- attention ---------------------------------------------------------------------------------------------------------


def test_attention_of_one_projection(compare: Any) -> None:
    inputs = [real(2, 5, 12), real(12, 24), real(24)]
    compare.check_node("Attention", inputs, constants=[1, 2], domain=MS, num_heads=2, atol=1e-4)
    compare.check_node("Attention", inputs, constants=[1, 2], domain=MS, num_heads=2, unidirectional=1, atol=1e-4)
    compare.check_node("Attention", inputs, domain=MS, num_heads=4, scale=0.7, atol=1e-4)


def test_attention_with_masks(compare: Any) -> None:
    inputs = [real(2, 5, 12), real(12, 24), real(24)]
    more = {"constants": [1, 2], "domain": MS, "num_heads": 2, "atol": 1e-4}
    compare.check_node("Attention", [*inputs, np.array([3, 5], np.int32)], **more)
    compare.check_node("Attention", [*inputs, (RNG.random((2, 5)) < 0.7).astype(np.int32)], **more)
    compare.check_node("Attention", [*inputs, (RNG.random((2, 5, 5)) < 0.7).astype(np.int32)], **more)


def test_attention_with_a_past(compare: Any) -> None:
    inputs = [real(2, 5, 12), real(12, 24), real(24), None, real(2, 2, 2, 3, 4)]
    more = {"constants": [1, 2], "domain": MS, "num_heads": 2, "atol": 1e-4}
    compare.check_node("Attention", inputs, outputs=2, unidirectional=1, **more)
    bias = [*inputs[:3], None, None, real(1, 2, 5, 5)]
    compare.check_node("Attention", bias, **more)


def test_multi_head_attention(compare: Any) -> None:
    parts = [real(2, 3, 8), real(2, 5, 8), real(2, 5, 8)]
    more = {"domain": MS, "num_heads": 2, "atol": 1e-4}
    compare.check_node("MultiHeadAttention", parts, **more)
    compare.check_node("MultiHeadAttention", [*parts, real(24)], constants=[3], **more)
    compare.check_node("MultiHeadAttention", [*parts, None, (RNG.random((2, 5)) < 0.7).astype(np.int32)], **more)
    compare.check_node("MultiHeadAttention", [*parts, None, None, real(1, 2, 3, 5)], **more)
    compare.check_node("MultiHeadAttention", [real(2, 5, 8), *parts[1:]], unidirectional=1, **more)


def test_multi_head_attention_with_a_past(compare: Any) -> None:
    parts = [real(2, 3, 8), real(2, 3, 8), real(2, 3, 8)]
    inputs = [*parts, None, None, None, real(2, 2, 4, 4), real(2, 2, 4, 4)]
    compare.check_node("MultiHeadAttention", inputs, outputs=3, domain=MS, num_heads=2, atol=1e-4)


# -- quantized ---------------------------------------------------------------------------------------------------------


def codes(*shape: int, dtype: Any = np.uint8) -> Array:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape).astype(dtype)


def triple(*shape: int, scale: float, point: int, dtype: Any = np.uint8) -> list[Any]:
    return [codes(*shape, dtype=dtype), scalar(scale), np.array(point, dtype)]


def within_a_step(
    compare: Any, op_type: str, inputs: list[Any], varying: list[int], written: Any = None, **attributes: Any
) -> Any:  # fmt: skip
    """Codes may differ by one step where the real result lies between two; `written` are more attributes."""
    from edgec.frontends.onnx import read_onnx
    from edgec.runtime.evaluate import evaluate

    constants = [i for i in range(len(inputs)) if i not in varying]
    model, feeds = compare.node_model(op_type, inputs, constants=constants, domain=MS, **attributes)
    model.graph.node[0].attribute.extend(helper.make_attribute(name, value) for name, value in (written or {}).items())
    module = read_onnx(model.SerializeToString())
    (found,), (expected,) = evaluate(module.main, feeds), compare.expected_outputs(model, feeds)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1
    assert len(np.unique(expected)) > 5
    return module


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
def test_quantized_arithmetic(compare: Any, op_type: str, dtype: Any) -> None:
    inputs = [
        *triple(2, 3, 4, scale=0.02, point=3, dtype=dtype), *triple(2, 3, 4, scale=0.03, point=5, dtype=dtype),
        scalar(0.05), np.array(7, dtype),
    ]  # fmt: skip
    module = within_a_step(compare, op_type, inputs, [0, 3])
    opcodes = [op.opcode for op in module.main.ops]
    assert opcodes == ["dequantize", "dequantize", "add" if op_type == "QLinearAdd" else "mul", "quantize"]


def test_quantized_activations(compare: Any) -> None:
    x = triple(2, 3, 8, scale=0.05, point=120)
    within_a_step(compare, "QLinearSigmoid", [*x, scalar(1 / 256), np.uint8(0)], [0])
    within_a_step(compare, "QLinearLeakyRelu", [*x, scalar(0.04), np.uint8(30)], [0], alpha=0.2)
    within_a_step(compare, "QLinearSoftmax", [*x, scalar(1 / 256), np.uint8(0)], [0], axis=-1, written={"opset": 13})


def test_quantized_pools(compare: Any) -> None:
    x = triple(1, 3, 6, 6, scale=0.05, point=120)
    out = [scalar(0.04), np.uint8(110)]
    within_a_step(compare, "QLinearAveragePool", [*x, *out], [0], kernel_shape=[2, 2], strides=[2, 2])
    x = triple(4, 8, 2, 2, scale=0.05, point=120)
    within_a_step(compare, "QLinearGlobalAveragePool", [*x, *out], [0])
    within_a_step(compare, "QLinearGlobalAveragePool", [*x, *out], [0], channels_last=1)


def test_quantized_concat(compare: Any) -> None:
    parts = [*triple(2, 3, 4, scale=0.05, point=120), *triple(2, 5, 4, scale=0.02, point=90)]
    within_a_step(compare, "QLinearConcat", [scalar(0.04), np.uint8(100), *parts], [2, 5], axis=1)


def test_quantized_where(compare: Any) -> None:
    parts = [*triple(2, 3, 4, scale=0.05, point=120), *triple(2, 3, 4, scale=0.02, point=90)]
    condition = RNG.random((2, 3, 4)) < 0.5
    within_a_step(compare, "QLinearWhere", [condition, *parts, scalar(0.04), np.uint8(100)], [0, 1, 4])


def test_quantized_gemm(compare: Any) -> None:
    a, b = triple(4, 6, scale=0.02, point=120), triple(5, 6, scale=0.01, point=3, dtype=np.int8)
    bias = RNG.integers(-500, 500, 5).astype(np.int32)
    within_a_step(compare, "QGemm", [*a, *b, bias, scalar(0.02), np.uint8(128)], [0], transB=1)


def test_integer_products_to_float(compare: Any) -> None:
    a, b = codes(2, 4, 6), codes(6, 5)
    inputs = [a, b, scalar(0.02), RNG.uniform(0.01, 0.05, 5).astype(np.float32), np.uint8(120), codes(5), real(5)]
    compare.check_node("MatMulIntegerToFloat", inputs, constants=range(1, 7), domain=MS, atol=1e-4)


def test_dynamically_quantized_product(compare: Any) -> None:
    inputs = [real(4, 6), codes(6, 5, dtype=np.int8), RNG.uniform(0.01, 0.05, 5).astype(np.float32), None, real(5)]
    compare.check_node("DynamicQuantizeMatMul", inputs, constants=[1, 2, 4], domain=MS, atol=1e-2)


# -- refused -----------------------------------------------------------------------------------------------------------


def test_unknown_ops_and_wrong_attributes_are_refused(compare: Any) -> None:
    assert compare.refusal("Whatever", [real(2, 3)], domain=MS) == "there is no translation"
    reason = compare.refusal("FusedMatMul", [real(2, 3), real(3, 4)], domain=MS, transA="yes")
    assert reason.startswith(("invalid literal for int()", "its attributes or operands have not the types"))


def test_channels_last_as_onnxruntime_saves_optimized_models(compare: Any) -> None:
    """com.microsoft's own QLinearConv and NhwcMaxPool."""
    rng = np.random.default_rng(0)
    scale = {"s": np.float32(0.05), "z": np.uint8(120), "ws": np.float32(0.02), "wz": np.int8(0)}
    constants = scale | {"w": rng.integers(-99, 99, (4, 3, 3, 3)).astype(np.int8)}
    constants |= {"ys": np.float32(0.3), "yz": np.uint8(130)}
    own: dict[str, Any] = {"domain": "com.microsoft"}
    operands = ["q", "s", "z", "w", "ws", "wz", "ys", "yz"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("QLinearConv", operands, ["c"], channels_last=1, pads=[1, 1, 1, 1], **own),
        helper.make_node("NhwcMaxPool", ["c"], ["m"], kernel_shape=[2, 2], strides=[2, 2], **own),
        helper.make_node("DequantizeLinear", ["m", "ys", "yz"], ["y"]),
    ]
    x = rng.standard_normal((1, 8, 8, 3)).astype(np.float32) * 3
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants)
    module = compare.check_onnx(model, {"x": x}, atol=0.02)
    assert "conv_2d" in {op.opcode for op in module.main.ops}


@pytest.mark.parametrize("domain", ["com.microsoft.nchwc", "com.ms.internal.nhwc"])
def test_models_saved_for_one_machine(compare: Any, domain: str) -> None:
    said = compare.refusal("Conv", [np.ones((1, 8, 4, 4), np.float32)], domain=domain)
    assert "as it was before" in said
