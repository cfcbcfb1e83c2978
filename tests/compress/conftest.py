"""Builders of small networks, float and int8, and the comparison of their outputs in real runtimes."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.errors import MissingExtra
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.parser import parse_module
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS, build, verify
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import TFLMSession, tflm_version


@pytest.fixture
def parse() -> Callable[[str], Module]:
    """The module of a text, verified."""

    def parse_verified(text: str) -> Module:
        module = parse_module(text, OP_DEFS)
        verify(module)
        return module

    return parse_verified


class Int8Net:
    """Builds a chain or graph of int8 ops; every activation takes the scale and zero point it is given."""

    def __init__(self, height: int, width: int, channels: int, scale: float = 0.05, zero: int = -3) -> None:
        self.graph = Graph()
        self.emit = build(self.graph)
        quant = QuantParams.per_tensor(scale, zero)
        self.x = self.graph.add_input("x", TensorType((1, height, width, channels), DType.INT8, quant))

    def conv(
        self, x: Value, weight: np.ndarray, bias: np.ndarray, *, opcode: str = "conv_2d",
        padding: str = "VALID", stride: int = 1, activation: str = "NONE", scale: float = 0.05, zero: int = -128,
        weight_scale: float = 0.01, name: str = "",
    ) -> Value:  # fmt: skip
        axis = 3 if opcode == "depthwise_conv_2d" else 0
        outputs = weight.shape[axis]
        scales = tuple(weight_scale * (1 + 0.1 * (i % 5)) for i in range(outputs))
        zeros = (0,) * outputs
        w = self.graph.constant(weight.astype(np.int8), f"{name}_w", quant=QuantParams(scales, zeros, axis))
        assert x.quant is not None
        bias_scales = tuple(x.quant.scale[0] * s for s in scales)
        b = self.graph.constant(bias.astype(np.int32), f"{name}_b", quant=QuantParams(bias_scales, zeros, 0))
        extra = {"depth_multiplier": outputs // x.shape[3]} if opcode == "depthwise_conv_2d" else {}
        return self.emit.emit(
            opcode, [x, w, b], name=name, quant=QuantParams.per_tensor(scale, zero), padding=padding,
            stride_h=stride, stride_w=stride, fused_activation_function=activation, **extra,
        )  # fmt: skip

    def fully_connected(
        self, x: Value, weight: np.ndarray, bias: np.ndarray | None, *, scale: float = 0.1, zero: int = 5,
        activation: str = "NONE", name: str = "",
    ) -> Value:  # fmt: skip
        w = self.graph.constant(weight.astype(np.int8), quant=QuantParams.per_tensor(0.01))
        b = None if bias is None else self.graph.constant(bias.astype(np.int32))
        quant = QuantParams.per_tensor(scale, zero)
        return self.emit.emit(
            "fully_connected", [x, w, b], name=name, quant=quant, fused_activation_function=activation
        )

    def add(self, a: Value, b: Value, activation: str = "NONE", scale: float = 0.07, zero: int = -10) -> Value:
        quant = QuantParams.per_tensor(scale, zero)
        return self.emit.emit("add", [a, b], quant=quant, fused_activation_function=activation)

    def finish(self, *outputs: Value) -> Module:
        self.graph.outputs = outputs
        module = Module([self.graph])
        verify(module)
        return module


@pytest.fixture
def int8_net() -> type[Int8Net]:
    """The class that builds int8 networks."""
    return Int8Net


class FloatNet:
    """Builds float graphs with random weights."""

    def __init__(self, height: int, width: int, channels: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = Graph()
        self.emit = build(self.graph)
        self.x = self.graph.add_input("x", TensorType((1, height, width, channels), DType.FLOAT32))

    def noise(self, *shape: int) -> Value:
        return self.graph.constant(self.rng.standard_normal(shape).astype(np.float32))

    def ints(self, *values: int) -> Value:
        return self.graph.constant(np.array(values, np.int32))

    def conv(self, x: Value, channels: int, kernel: int = 1, name: str = "", padding: str = "SAME") -> Value:
        operands = [x, self.noise(channels, kernel, kernel, x.shape[3]), self.noise(channels)]
        return self.emit.emit(
            "conv_2d", operands, name=name, padding=padding, stride_h=1, stride_w=1, fused_activation_function="RELU"
        )

    def depthwise(self, x: Value, multiplier: int = 1, name: str = "") -> Value:
        operands = [x, self.noise(1, 3, 3, x.shape[3] * multiplier), self.noise(x.shape[3] * multiplier)]
        return self.emit.emit(
            "depthwise_conv_2d",
            operands,
            name=name,
            padding="SAME",
            stride_h=1,
            stride_w=1,
            depth_multiplier=multiplier,
        )

    def dense(self, x: Value, units: int, name: str = "") -> Value:
        inputs = x.type.elements // x.shape[0]
        return self.emit.emit("fully_connected", [x, self.noise(units, inputs), self.noise(units)], name=name)

    def finish(self, *outputs: Value) -> Module:
        self.graph.outputs = outputs
        module = Module([self.graph], name="net")
        verify(module)
        return module


@pytest.fixture
def float_net() -> type[FloatNet]:
    """The class that builds float networks."""
    return FloatNet


def _has_tflm() -> bool:
    try:
        tflm_version()
    except MissingExtra:
        return False
    return True


def _inputs(module: Module, count: int) -> list[list[np.ndarray]]:
    """All lowest, all highest, all real zero, then noise."""
    generator = np.random.default_rng(7)
    feeds = []
    for number in range(count):
        feed = []
        for value in module.main.inputs:
            if value.dtype.is_float:
                feed.append(generator.standard_normal(value.shape).astype(np.float32))
                continue
            info = np.iinfo(value.dtype.numpy)
            zero = value.quant.zero_point[0] if value.quant else 0
            extremes = [info.min, info.max, zero]
            if number < 3:
                feed.append(np.full(value.shape, extremes[number], value.dtype.numpy))
            else:
                feed.append(generator.integers(info.min, info.max + 1, value.shape).astype(value.dtype.numpy))
        feeds.append(feed)
    return feeds


def _runs(module: Module, feeds: Sequence[Sequence[np.ndarray]], runtime: str) -> list[np.ndarray]:
    model = serialize(module)
    session: LiteRTSession | TFLMSession
    if runtime == "tflm":
        session = TFLMSession(model, 16 << 20)
    else:
        session = LiteRTSession(model, xnnpack=runtime == "xnnpack", reference_kernels=runtime == "reference")
    return [output for feed in feeds for output in session.run(feed)]


@pytest.fixture
def assert_same_bits() -> Callable[[Module, Module, int], None]:
    """Two int8 modules give the same bytes in LiteRT's reference kernels, with XNNPACK, and in TFLM where installed.

    Not in LiteRT's own optimized kernels: their int8 to int8 `quantize` rounds an element by where it stands in the
    tensor (SIMD body or scalar rest), so that the same channel among fewer others may differ in its last bit.
    """

    def check(before: Module, after: Module, count: int = 12) -> None:
        feeds = _inputs(before, count)
        for runtime in ("reference", "xnnpack", *(["tflm"] if _has_tflm() else [])):
            for wanted, found in zip(_runs(before, feeds, runtime), _runs(after, feeds, runtime)):
                np.testing.assert_array_equal(found, wanted, err_msg=runtime)

    return check


@pytest.fixture
def assert_close() -> Callable[[Module, Module], None]:
    """Two float modules agree up to the order in which float32 sums are taken."""

    def check(before: Module, after: Module) -> None:
        feeds = _inputs(before, 4)
        for wanted, found in zip(_runs(before, feeds, "builtin"), _runs(after, feeds, "builtin")):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * max(float(np.abs(wanted).max()), 1.0))

    return check


@pytest.fixture
def run_float() -> Callable[[Module], list[np.ndarray]]:
    """Outputs of a float module on one noise input."""
    return lambda module: _runs(module, _inputs(module, 1), "builtin")
