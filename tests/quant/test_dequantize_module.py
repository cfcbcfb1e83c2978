"""A quantized module as the float module it stands for."""

from pathlib import Path

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.errors import QuantizationError
from edgec.frontends.tflite import load_tflite
from edgec.ir.dtype import DType
from edgec.ir.graph import Module, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build, verify
from edgec.quant.dequantize_module import dequantize_module, implied_activation
from edgec.quant.stored import is_quantized
from edgec.runtime.litert import LiteRTSession

Array = np.ndarray


def constant(data: Array, dtype: DType, quant: QuantParams | None, name: str) -> Value:
    return Value(name, TensorType(data.shape, dtype, quant), data)


def int8_layer(result: QuantParams, dtype: DType = DType.INT8) -> Module:
    """quantize → fully_connected → dequantize, integers inside and floats at both ends."""
    module = Module(name="layer")
    b = build(module.main)
    unsigned = dtype is DType.UINT8
    x = module.main.add_input("x", TensorType((1, 4), DType.FLOAT32))
    q = b.emit("quantize", [x], result_types=[TensorType((1, 4), dtype, QuantParams.per_tensor(0.1, 3))])
    rng = np.random.default_rng(0)
    zero = 100 if unsigned else 0
    data = (rng.integers(-90, 90, (3, 4)) + zero).astype(dtype.numpy)
    weight = constant(data, dtype, QuantParams.per_tensor(0.02, zero), "w")
    bias = constant(np.array([10, -700, 900], np.int32), DType.INT32, QuantParams.per_tensor(0.002), "b")
    y = b.emit("fully_connected", [q, weight, bias], quant=result)
    module.main.outputs = [b.emit("dequantize", [y], name="y")]
    verify(module)
    return module


@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8])
def test_weights_bias_and_borders(dtype: DType) -> None:
    module = int8_layer(QuantParams.per_tensor(0.05, 0 if dtype is DType.INT8 else 128), dtype)
    found = dequantize_module(module)
    assert found.changed
    assert found.constants == 2
    assert [op.opcode for op in found.module.main.ops] == ["fully_connected"]
    op = found.module.main.last_op
    assert op is not None
    zero = 100 if dtype is DType.UINT8 else 0
    original = next(o for o in module.main.ops if o.opcode == "fully_connected").operand(1).array()
    np.testing.assert_allclose(op.operand(1).array(), (original.astype(float) - zero) * 0.02, rtol=1e-6)
    np.testing.assert_allclose(op.operand(2).array(), [0.02, -1.4, 1.8], rtol=1e-6)
    assert [v.name for v in found.module.main.outputs] == ["y"]
    assert is_quantized(module)  # the module given is not changed
    assert not is_quantized(found.module)


def test_real_values_stay_within_the_rounding_of_the_integers() -> None:
    module = int8_layer(QuantParams.per_tensor(0.05, 0))
    floats = dequantize_module(module).module
    x = (np.arange(-8, 8, dtype=np.float32).reshape(4, 1, 4)) / 10
    for feed in x:
        [want] = LiteRTSession(serialize(module), xnnpack=False).run([feed])
        [found] = LiteRTSession(serialize(floats), xnnpack=False).run([feed])
        assert float(np.abs(want - found).max()) <= 0.05  # half a step of the result and of the input


@pytest.mark.parametrize(
    ("quant", "function"),
    [
        (QuantParams.per_tensor(0.05, -128), "RELU"),
        (QuantParams.per_tensor(6 / 255, -128), "RELU6"),
        (QuantParams.per_tensor(5.99976168 / 255, -128), "RELU6"),
        (QuantParams.per_tensor(0.05, -127), "NONE"),
    ],
)
def test_what_the_range_cut_off_is_written_out(quant: QuantParams, function: str) -> None:
    found = dequantize_module(int8_layer(quant))
    op = found.module.main.last_op
    assert op is not None
    assert op.attributes["fused_activation_function"] == function
    assert found.activations == (function != "NONE")


def test_ranges_of_uint8_and_int16() -> None:
    assert implied_activation(DType.UINT8, QuantParams.per_tensor(0.1, 0)) == "RELU"
    assert implied_activation(DType.UINT8, QuantParams.per_tensor(0.1, 1)) is None
    assert implied_activation(DType.INT16, QuantParams.per_tensor(0.1, 0)) is None


def test_a_change_of_scale_that_cuts_off_becomes_a_relu() -> None:
    module = Module()
    b = build(module.main)
    x = module.main.add_input("x", TensorType((1, 4), DType.INT8, QuantParams.per_tensor(0.1, 5)))
    type_ = TensorType((1, 4), DType.INT8, QuantParams.per_tensor(0.05, -128))
    module.main.outputs = [b.emit("quantize", [x], name="y", result_types=[type_])]
    found = dequantize_module(module)
    assert [op.opcode for op in found.module.main.ops] == ["relu"]
    assert [v.name for v in found.module.main.outputs] == ["y"]


def test_small_weights_beside_float_activations() -> None:
    module = Module()
    b = build(module.main)
    x = module.main.add_input("x", TensorType((1, 4), DType.FLOAT32))
    data = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    weight = constant(data, DType.INT8, QuantParams.per_tensor(0.5), "w")
    half = constant(np.array([1, 2, 3], np.float16), DType.FLOAT16, None, "h")
    y = b.emit("fully_connected", [x, weight], asymmetric_quantize_inputs=True)
    module.main.outputs = [b.emit("add", [y, b.emit("dequantize", [half])])]
    found = dequantize_module(module)
    assert found.constants == 2
    assert [op.opcode for op in found.module.main.ops] == ["fully_connected", "add"]
    op = found.module.main.first_op
    assert op is not None
    assert op.attributes["asymmetric_quantize_inputs"] is False
    assert np.array_equal(op.operand(1).array(), data * np.float32(0.5))


def test_a_float_module_is_left_alone() -> None:
    module = Module()
    x = module.main.add_input("x", TensorType((1, 4), DType.FLOAT32))
    module.main.outputs = [build(module.main).emit("relu", [x])]
    assert not dequantize_module(module).changed


def test_ops_on_raw_integers_are_refused_together() -> None:
    module = Module(name="raw")
    b = build(module.main)
    x = module.main.add_input("x", TensorType((4,), DType.INT8, QuantParams.per_tensor(0.1, 5)))
    y = b.emit("cast", [x], name="as_float", result_types=[TensorType((4,), DType.FLOAT32)])
    z = b.emit("cast", [x], name="as_int", result_types=[TensorType((4,), DType.INT32)])
    module.main.outputs = [y, z]
    with pytest.raises(QuantizationError) as caught:
        dequantize_module(module)
    assert str(caught.value).splitlines() == [
        "Dequantizing 'raw': ops have no float form:",
        "  cast 'as_float': it reads the integers of 'x', not the reals they stand for",
        "  cast 'as_int': it reads the integers of 'x', not the reals they stand for",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "mlperf_tiny/kws_ref_model", "mlperf_tiny/str_ww_ref_model", "coral/mobilenet_v1_0.25_128_quant",
        "tflm/dtln_noise_suppression", "tflm/keyword_scrambled_8bit", "tinyengine/mcunet_vww_80",
        "micro_wake_word/okay_nabu_v2", "tflm/person_detect",
    ],
)  # fmt: skip
def test_published_models_become_float_throughout(shared_data: Path, name: str) -> None:
    module = load_tflite(shared_data / "models" / f"{name}.tflite")
    floats = dequantize_module(module).module
    for graph in floats.graphs:
        for value in graph.values():
            assert value.quant is None, value.name
            assert value.dtype in (DType.FLOAT32, DType.INT32, DType.RESOURCE), value.name
    session = LiteRTSession(serialize(floats), xnnpack=False)
    outputs = session.run([np.zeros(i.shape, i.dtype) for i in session.input_details])
    assert all(np.isfinite(o).all() for o in outputs)


def test_keyword_spotting_keeps_its_accuracy(shared_data: Path) -> None:
    path = shared_data / "models" / "mlperf_tiny" / "kws_ref_model.tflite"
    session = LiteRTSession(serialize(dequantize_module(load_tflite(path)).module))
    with np.load(shared_data / "datasets" / "speech_commands_test" / "kws_mfcc_shared_2445.npz") as data:
        samples, labels = data["mfcc"].astype(np.float32), data["labels"]
    shape = session.input_details[0].shape
    right = sum(int(session.run([x.reshape(shape)])[0].argmax()) == y for x, y in zip(samples, labels))
    assert right / len(labels) > 0.915  # int8: 0.9194, float source: 0.92
