"""What the plan decides: shared scales, prescribed ranges, float islands, refusals."""

from typing import Any

import numpy as np
import pytest

from edgec.errors import QuantizationError
from edgec.ir import DType, Module, QuantParams, Value
from edgec.ir.builder import Builder
from edgec.quant import QuantOptions, quantize_module

IMAGE = (1, 8, 8, 4)
CONV: dict[str, Any] = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}


def conv(b: Builder, x: Value, seed: int = 0, **attributes: Any) -> Value:
    rng = np.random.default_rng(seed)
    weight = b.constant(rng.standard_normal((4, 3, 3, x.shape[3])).astype(np.float32))
    return b.emit("conv_2d", [x, weight, b.constant(np.zeros(4, np.float32))], **CONV, **attributes)


def quantized(kit: Any, module: Module, target: str = "mobile", **options: Any) -> Module:
    samples = kit.samples(module)
    return quantize_module(module, "w8a8", getattr(kit, target), lambda: samples, QuantOptions(**options)).module


def opcodes(module: Module) -> list[str]:
    return [op.opcode for op in module.main.ops]


def sqnr(kit: Any, module: Module, artifact: Module, runtime: str = "litert") -> float:
    noise = signal = 0.0
    for feeds in kit.samples(module, 4, seed=9):
        for want, got in zip(kit.run_float(module, feeds), kit.run(artifact, feeds, runtime)):
            noise += float(np.square(got - want).sum())
            signal += float(np.square(want).sum())
    return float(10 * np.log10(signal / noise))


def test_concatenation_gives_its_operands_one_scale(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        small = conv(b, x[0], 1, fused_activation_function="RELU6")
        large = conv(b, x[0], 2)
        joined = b.emit("concatenation", [small, large], axis=3)
        return b.emit("max_pool_2d", [joined], padding="VALID", stride_w=2, stride_h=2, filter_width=2, filter_height=2)

    artifact = quantized(kit, kit.module([IMAGE], body))
    scales = {v.quant for op in artifact.main.ops if op.opcode in ("concatenation", "max_pool_2d")
              for v in (*op.operands, *op.results) if v is not None}  # fmt: skip
    assert len(scales) == 1
    assert opcodes(artifact) == ["quantize", "conv_2d", "conv_2d", "concatenation", "max_pool_2d", "dequantize"]


def test_a_prescribed_range_is_requantized_where_it_meets_another(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        probabilities = b.emit("softmax", [x[0]], beta=1.0)
        return b.emit("concatenation", [probabilities, conv(b, x[0])], axis=3)

    module = kit.module([IMAGE], body)
    artifact = quantized(kit, module, "mcu")
    softmax = next(op for op in artifact.main.ops if op.opcode == "softmax")
    assert softmax.result.quant == QuantParams.per_tensor(1 / 256, -128)
    assert opcodes(artifact) == ["softmax", "conv_2d", "quantize", "concatenation"]
    assert sqnr(kit, module, artifact, "tflm") > 30


def test_a_prescribed_range_passes_through_a_reshape(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        return b.emit("reshape", [b.emit("softmax", [x[0]], beta=1.0), b.ints([1, 256])], new_shape=(1, 256))

    artifact = quantized(kit, kit.module([IMAGE], body), "mcu")
    assert opcodes(artifact) == ["softmax", "reshape"]
    assert artifact.main.outputs[0].quant == QuantParams.per_tensor(1 / 256, -128)


def test_float_island_on_mobile_with_its_movements(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        wave = b.emit("cos", [conv(b, x[0])])
        turned = b.emit("transpose", [wave, b.ints([0, 2, 1, 3])])  # between float ops: stays float
        return conv(b, b.emit("sin", [turned]), 3)

    module = kit.module([IMAGE], body)
    result = quantize_module(module, "w8a8", kit.mobile, lambda: kit.samples(module))
    expected = ["quantize", "conv_2d", "dequantize", "cos", "transpose", "sin", "quantize", "conv_2d", "dequantize"]
    assert opcodes(result.module) == expected
    assert any("it moves data between ops that stay in float" in note for note in result.notes)
    assert any("LiteRT has no int8 kernel for it" in note for note in result.notes)
    assert result.module.main.inputs[0].dtype is DType.FLOAT32
    assert kit.run(result.module, kit.samples(module, 1)[0])[0].dtype == np.float32


def test_microcontroller_refuses_float_ops_all_at_once(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        b.source = "net.onnx: /wave"
        return b.emit("pow", [b.emit("cos", [x[0]], name="wave"), b.emit("abs", [x[0]])], name="power")

    module = kit.module([IMAGE], body, "net")
    with pytest.raises(QuantizationError) as caught:
        quantize_module(module, "w8a8", kit.mcu, lambda: kit.samples(module))
    assert str(caught.value) == (
        "quantizing 'net' to w8a8 for target mcu-int8, which runs int8 only: 2 of its 3 ops cannot become int8: "
        "cos 'wave' (net.onnx: /wave): LiteRT has no int8 kernel for it; "
        "pow 'power' (net.onnx: /wave): LiteRT has no int8 kernel for it; replace them in the source model"
    )


def test_microcontroller_takes_and_gives_int8(kit: Any) -> None:
    module = kit.module([IMAGE], lambda b, x: conv(b, x[0]))
    artifact = quantized(kit, module, "mcu")
    assert opcodes(artifact) == ["conv_2d"]
    assert [v.dtype for v in (*artifact.main.inputs, *artifact.main.outputs)] == [DType.INT8, DType.INT8]
    assert [v.name for v in artifact.main.outputs] == [v.name for v in module.main.outputs]
    assert sqnr(kit, module, artifact, "tflm") > 30


def test_names_of_inputs_and_outputs_stay_on_mobile(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> list[Value]:
        first = conv(b, x[0])
        return [first, conv(b, first, 4), first]  # an output that is read on, and given twice

    module = kit.module([IMAGE], body)
    artifact = quantized(kit, module)
    assert [v.name for v in artifact.main.outputs] == [v.name for v in module.main.outputs]
    assert opcodes(artifact) == ["quantize", "conv_2d", "conv_2d", "dequantize", "dequantize"]
    assert sqnr(kit, module, artifact) > 30


def test_positions_stay_integers(kit: Any) -> None:
    module = kit.module([IMAGE], lambda b, x: b.emit("arg_max", [conv(b, x[0]), b.ints([3])], output_type="INT32"))
    artifact = quantized(kit, module)
    assert opcodes(artifact) == ["quantize", "conv_2d", "arg_max"]
    assert artifact.main.outputs[0].quant is None
    agree = [np.mean(kit.run_float(module, f)[0] == kit.run(artifact, f)[0]) for f in kit.samples(module, 4)]
    assert np.mean(agree) > 0.97


def test_padding_before_a_max_pool_does_not_widen_the_range(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        lowest = b.constant(np.float32(-np.inf).reshape(1))
        border = b.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
        padded = b.emit("padv2", [conv(b, x[0]), border, lowest])
        return b.emit("max_pool_2d", [padded], padding="VALID", stride_w=2, stride_h=2, filter_width=2, filter_height=2)

    module = kit.module([IMAGE], body)
    assert sqnr(kit, module, quantized(kit, module)) > 30


def test_a_mask_of_huge_constants_stays_in_float(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        mask = np.where(np.arange(4) < 2, 0, -1e9).astype(np.float32)
        return b.emit("softmax", [b.emit("add", [conv(b, x[0]), b.constant(mask)])], beta=1.0)

    module = kit.module([IMAGE], body)
    result = quantize_module(module, "w8a8", kit.mobile, lambda: kit.samples(module))
    assert "reaches beyond 1e+08, beside which int8 keeps nothing" in result.notes[0]
    assert sqnr(kit, module, result.module) > 20


def test_shared_weights_and_dead_channels(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        data = np.random.default_rng(5).standard_normal((4, 1, 1, 4)).astype(np.float32)
        data[2] = 0
        weight, bias = b.constant(data), b.constant(np.array([0, 1, -3, 50], np.float32))
        first = b.emit("conv_2d", [x[0], weight, bias], **CONV)
        return b.emit("conv_2d", [first, weight, bias], **CONV)

    module = kit.module([IMAGE], body)
    for target, runtime in (("mobile", "litert"), ("mcu", "tflm")):
        assert sqnr(kit, module, quantized(kit, module, target), runtime) > 35


def test_an_activation_that_is_always_zero(kit: Any) -> None:
    def body(b: Builder, x: list[Value]) -> Value:
        zeros = b.constant(np.zeros((4, 1, 1, 4), np.float32))
        nothing = b.emit("conv_2d", [x[0], zeros, b.constant(np.zeros(4, np.float32))], **CONV)
        return b.emit("add", [nothing, conv(b, x[0])])

    module = kit.module([IMAGE], body)
    for target, runtime in (("mobile", "litert"), ("mcu", "tflm")):
        assert sqnr(kit, module, quantized(kit, module, target), runtime) > 30


def test_relu6_of_its_own_in_tflm_shares_the_scale_of_its_input(kit: Any) -> None:
    module = kit.module([IMAGE], lambda b, x: b.emit("relu6", [conv(b, x[0])]))
    artifact = quantized(kit, module, "mcu")
    relu6 = next(op for op in artifact.main.ops if op.opcode == "relu6")
    assert relu6.operand(0).quant == relu6.result.quant
    assert sqnr(kit, module, artifact, "tflm") > 25


@pytest.mark.parametrize("dead", [True, False])
def test_a_layer_that_gives_next_to_nothing_still_loads(kit: Any, dead: bool) -> None:
    """XNNPACK refuses to load a convolution whose input scale * weight scale exceeds 256 output scales."""

    def body(b: Builder, x: list[Value]) -> Value:
        weight = b.constant(np.full((4, 1, 1, 4), 50.0, np.float32))
        offset = b.constant(np.full(4, -1e8 if dead else 0.0, np.float32))
        quiet = b.emit("conv_2d", [x[0], weight, offset], **CONV, fused_activation_function="RELU")
        return b.emit("add", [quiet, conv(b, x[0])])

    module = kit.module([IMAGE], body)
    samples = kit.samples(module, 4, spread=1.0 if not dead else 10000.0)
    for target, runtime in (("mobile", "litert"), ("mcu", "tflm")):
        artifact = quantize_module(module, "w8a8", getattr(kit, target), lambda: samples).module
        for feeds in samples:
            want, got = kit.run_float(module, feeds)[0], kit.run(artifact, feeds, runtime)[0]
            assert np.abs(want - got).max() < 0.06 * np.ptp(want)
