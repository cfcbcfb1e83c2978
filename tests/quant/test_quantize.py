"""The whole of quantization: refusals, determinism, schemes without samples, models that arrive quantized."""

from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.errors import QuantizationError
from edgec.ir import DType, Module, Op, QuantParams, TensorType, Value
from edgec.ir.builder import Builder
from edgec.quant import QuantOptions, quantize_module
from edgec.quant.stored import absorb_qdq, is_quantized

IMAGE = (1, 12, 12, 8)
CONV: dict[str, Any] = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}


def constant(b: Builder, *shape: int, seed: int = 0) -> Value:
    return b.constant(np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 4)


def network(b: Builder, x: list[Value]) -> Value:
    operands = [x[0], constant(b, 24, 3, 3, 8), constant(b, 24)]
    first = b.emit("conv_2d", operands, **CONV, fused_activation_function="RELU")
    second = b.emit("depthwise_conv_2d", [first, constant(b, 1, 9, 9, 24), constant(b, 24)], **CONV, depth_multiplier=1)
    third = b.emit("conv_2d", [second, constant(b, 48, 1, 1, 24), constant(b, 48)], **CONV)
    flat = b.emit("mean", [third, b.ints([1, 2])], keep_dims=False)
    return b.emit("fully_connected", [flat, constant(b, 40, 48), constant(b, 40)])


@pytest.fixture
def module(kit: Any) -> Module:
    return kit.module([IMAGE], network, "net")  # type: ignore[no-any-return]


def sqnr(kit: Any, module: Module, artifact: Module) -> float:
    noise = signal = 0.0
    for feeds in kit.samples(module, 4, seed=9):
        for want, got in zip(kit.run_float(module, feeds), kit.run(artifact, feeds)):
            noise += float(np.square(got - want).sum())
            signal += float(np.square(want).sum())
    return float(10 * np.log10(signal / max(noise, 1e-30)))


def weights(module: Module) -> dict[str, DType]:
    return {op.opcode: op.operand(1).dtype for op in module.main.ops if len(op.operands) == 3}


def test_static_scheme_without_samples_is_refused_with_the_way_out(kit: Any, module: Module) -> None:
    with pytest.raises(QuantizationError) as caught:
        quantize_module(module, "w8a8", kit.mobile, None)
    assert str(caught.value) == (
        "quantizing 'net' to w8a8: int8 activations need ranges measured on real samples, and there are none; "
        "give some with --calibration, or choose a scheme that quantizes weights only (fp16, w8)"
    )


def test_an_empty_sample_set_is_refused(kit: Any, module: Module) -> None:
    with pytest.raises(QuantizationError, match=r"^calibrating 'net': the calibration set has no samples; "):
        quantize_module(module, "w8a8", kit.mobile, list)


def test_a_sample_with_nan_is_refused_by_the_tensor_it_spoils(kit: Any, module: Module) -> None:
    samples = kit.samples(module, 2)
    samples[1]["x0"][0, 0, 0, 0] = np.nan
    with pytest.raises(QuantizationError, match=r"^calibrating: 'x0' \(an input\) held NaN or infinite values"):
        quantize_module(module, "w8a8", kit.mobile, lambda: samples)


def test_a_scheme_the_target_refuses(kit: Any, module: Module) -> None:
    with pytest.raises(QuantizationError, match=r"^quantizing 'net': scheme w8 is refused for target mcu-int8: TFLM "):
        quantize_module(module, "w8", kit.mcu, None)


def test_options_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match=r"^percentile is 20; it should be above 50 and at most 100$"):
        QuantOptions(percentile=20)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_same_inputs_same_bytes_and_the_source_is_untouched(kit: Any, module: Module, method: str) -> None:
    before = serialize(module)
    samples = kit.samples(module, 16)
    options = QuantOptions(method=method)  # type: ignore[arg-type]
    first, second = (quantize_module(module, "w8a8", kit.mobile, lambda: samples, options) for _ in range(2))
    assert serialize(first.module) == serialize(second.module)
    assert serialize(module) == before
    assert sqnr(kit, module, first.module) > 20
    assert first.plan is not None
    assert (first.plan.method, first.plan.samples) == (method, 16)
    assert first.plan.describe().startswith("w8a8: 5 ops in int8, 0 in float\n%")


def test_bias_correction_removes_the_mean_error(kit: Any) -> None:
    """Weights a third of a step off, all the same way: rounding moves every output, correction moves it back."""

    def body(b: Builder, x: list[Value]) -> Value:
        weight = np.full((4, 1, 1, 8), 1.33 / 127, np.float32)
        weight[:, 0, 0, 0] = 1.0
        return b.emit("conv_2d", [b.emit("relu", [x[0]]), b.constant(weight), constant(b, 4)], **CONV)

    module = kit.module([IMAGE], body)
    samples = kit.samples(module, 16)
    shifts = []
    for corrected in (False, True):
        options = QuantOptions(bias_correction=corrected)
        artifact = quantize_module(module, "w8a8", kit.mobile, lambda: samples, options).module
        errors = [kit.run(artifact, f)[0] - kit.run_float(module, f)[0] for f in samples]
        shifts.append(abs(float(np.mean(errors))))
    assert shifts[0] > 0.005
    assert shifts[1] < shifts[0] / 4


def test_fp16_stores_large_constants_in_half(kit: Any, module: Module) -> None:
    result = quantize_module(module, "fp16", kit.mobile, None)
    assert [op.opcode for op in result.module.main.ops].count("dequantize") == 4
    assert len(serialize(result.module)) < 0.65 * len(serialize(module))
    assert sqnr(kit, module, result.module) > 60
    assert "4 constants are stored as float16" in result.notes[0]


def test_fp16_keeps_what_half_cannot_hold(kit: Any) -> None:
    module = kit.module([(1, 64)], lambda b, x: b.emit("mul", [x[0], b.constant(np.full((64, 64), 1e6, np.float32))]))
    result = quantize_module(module, "fp16", kit.mobile, None)
    assert "stays float32: it holds values beyond what float16 reaches" in result.notes[1]
    assert sqnr(kit, module, result.module) > 100


def test_w8_computes_on_int8_weights_where_kernels_do(kit: Any, module: Module) -> None:
    result = quantize_module(module, "w8", kit.mobile, None)
    found = weights(result.module)
    assert found == {"conv_2d": DType.INT8, "depthwise_conv_2d": DType.FLOAT32, "fully_connected": DType.INT8}
    assert len(serialize(result.module)) < 0.4 * len(serialize(module))
    assert sqnr(kit, module, result.module) > 30
    for kernels in ({"xnnpack": True}, {"xnnpack": False}):
        want, got = (kit.run(m, kit.samples(module, 1)[0], **kernels)[0] for m in (module, result.module))
        assert np.abs(want - got).max() < 0.05 * np.ptp(want)


def test_hybrid_weights_keep_their_integers(kit: Any, module: Module) -> None:
    hybrid = quantize_module(module, "w8", kit.mobile, None).module
    assert not is_quantized(hybrid)
    artifact = quantize_module(hybrid, "w8a8", kit.mobile, lambda: kit.samples(module)).module
    for before, after in zip(_weighted(hybrid), _weighted(artifact)):
        if before.operand(1).dtype is DType.INT8:
            assert np.array_equal(before.operand(1).array(), after.operand(1).array())
    assert sqnr(kit, module, artifact) > 20


def _weighted(module: Module) -> list[Op]:
    return [op for op in module.main.ops if op.opcode in ("conv_2d", "depthwise_conv_2d", "fully_connected")]


def test_a_quantized_module_passes_through(kit: Any, module: Module) -> None:
    artifact = quantize_module(module, "w8a8", kit.mcu, lambda: kit.samples(module)).module
    assert is_quantized(artifact)
    again = quantize_module(artifact, "w8a8", kit.mcu, None)
    assert again.module is artifact
    assert again.notes == ("the model arrived quantized; its integers are kept as they are",)


def qdq(b: Builder, x: Value, scale: float, zero_point: int, dtype: DType = DType.INT8) -> Value:
    type_ = TensorType(x.shape, dtype, QuantParams.per_tensor(scale, zero_point))
    return b.emit("dequantize", [b.emit("quantize", [x], result_types=[type_])])


def qdq_network(b: Builder, x: list[Value]) -> Value:
    first = qdq(b, x[0], 0.03, 5)
    integers = np.random.default_rng(0).integers(-127, 128, (16, 1, 1, 8)).astype(np.int8)
    scales = QuantParams(tuple(0.01 + 0.001 * i for i in range(16)), (0,) * 16, 0)
    weight = b.emit("dequantize", [b.constant(integers, quant=scales)])
    second = qdq(b, b.emit("conv_2d", [first, weight, constant(b, 16)], **CONV), 0.1, 128, DType.UINT8)
    return qdq(b, b.emit("relu", [second]), 0.08, -128)


def test_qdq_pairs_give_their_ranges_without_any_sample(kit: Any) -> None:
    module = kit.module([IMAGE], qdq_network)
    artifact = quantize_module(module, "w8a8", kit.mobile, None).module
    assert [op.opcode for op in artifact.main.ops] == ["quantize", "conv_2d", "relu", "dequantize"]
    _, conv, relu, _ = artifact.main.ops
    assert conv.operand(0).quant == QuantParams.per_tensor(0.03, 5)
    assert conv.result.quant == QuantParams.per_tensor(0.1, 0)  # uint8's zero point 128; it ends below the next range
    assert relu.result.quant == QuantParams.per_tensor(0.08, -128)
    stored = conv.operand(1).quant
    assert stored is not None
    assert stored.scale[3] == pytest.approx(0.013)
    for feeds in kit.samples(module, 4):
        want, got = kit.run_float(module, feeds)[0], kit.run(artifact, feeds)[0]
        assert np.abs(want - got).max() <= 0.08 * 2.01  # one step of the result, one of what it is made from


def test_absorbing_keeps_the_output_name(kit: Any) -> None:
    module = kit.module([IMAGE], qdq_network)
    name = module.main.outputs[0].name
    given = absorb_qdq(module)
    assert [op.opcode for op in module.main.ops] == ["dequantize", "conv_2d", "relu"]
    assert module.main.outputs[0].name == name
    assert {v.name for v in given} >= {"x0", name}
