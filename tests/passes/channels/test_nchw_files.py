"""Files of converters that keep NCHW between channels-last ops: no transpose is left of the shuffles either."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build
from edgec.passes.base import PassContext
from edgec.passes.channels.route_channels import RouteChannels
from edgec.passes.layout.move_transposes import MoveTransposes
from edgec.passes.manager import run_passes
from edgec.runtime.evaluate import evaluate

QUANT = QuantParams.per_tensor(0.05, -3)


class NchwFile:
    """A ShuffleNetV2 stage as litert-torch writes it: transposes around each convolution, shuffles in NCHW."""

    def __init__(self, dtype: DType) -> None:
        self.graph = Graph()
        self.random = np.random.default_rng(0)
        self.is_quantized = dtype is DType.INT8
        self.quant = QUANT if self.is_quantized else None
        self.x = self.graph.add_input("x", TensorType((1, 8, 16, 16), dtype, self.quant))

    def emit(self, opcode: str, operands: list[Value], **attributes: Any) -> Value:
        return build(self.graph).emit(opcode, operands, quant=self.quant, **attributes)

    def ints(self, *values: int) -> Value:
        return build(self.graph).ints(list(values))

    def conv(self, x: Value, filters: int) -> Value:
        """transpose, conv_2d, transpose; weights of int8 have a scale for each filter."""
        shape, builder = (filters, 1, 1, x.shape[1]), build(self.graph)
        if self.is_quantized:
            scales = tuple(self.random.uniform(0.002, 0.02, filters).tolist())
            zeros = (0,) * filters
            data = self.random.integers(-127, 128, shape)
            weight = builder.constant(data, DType.INT8, quant=QuantParams(scales, zeros, 0))
            sums = QuantParams(tuple(s * QUANT.scale[0] for s in scales), zeros, 0)
            bias = builder.constant(self.random.integers(-99, 99, filters), DType.INT32, quant=sums)
        else:
            weight = builder.constant(self.random.normal(0, 0.5, shape).astype(np.float32))
            bias = builder.constant(self.random.normal(0, 0.5, filters).astype(np.float32))
        last = self.emit("transpose", [x, self.ints(0, 2, 3, 1)])
        y = self.emit("conv_2d", [last, weight, bias], stride_h=1, stride_w=1, fused_activation_function="RELU")
        return self.emit("transpose", [y, self.ints(0, 3, 1, 2)])

    def shuffle(self, x: Value) -> Value:
        n, c, h, w = x.shape
        pairs = self.emit("reshape", [x, self.ints(n, 2, c // 2, h, w)], new_shape=(n, 2, c // 2, h, w))
        turned = self.emit("transpose", [pairs, self.ints(0, 2, 1, 3, 4)])
        return self.emit("reshape", [turned, self.ints(n, c, h, w)], new_shape=(n, c, h, w))

    def module(self) -> Module:
        y = self.shuffle(self.emit("concatenation", [self.conv(self.x, 8), self.conv(self.x, 8)], axis=1))
        for _ in range(3):
            halves = [self.emit("slice", [y, self.ints(0, b, 0, 0), self.ints(1, 8, 16, 16)]) for b in (0, 8)]
            y = self.shuffle(self.emit("concatenation", [halves[0], self.conv(halves[1], 8)], axis=1))
        self.graph.outputs = [self.conv(y, 5)]
        return Module([self.graph])


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.INT8], ids=str)
def test_stage_of_shufflenet(dtype: DType) -> None:
    file = NchwFile(dtype)
    module = file.module()
    if dtype is DType.INT8:
        data = file.random.integers(-128, 128, file.x.shape).astype(np.int8)
    else:
        data = file.random.standard_normal(file.x.shape).astype(np.float32)
    (expected,) = evaluate(module.main, {"x": data})

    run_passes(module, [MoveTransposes(), RouteChannels()], PassContext())
    assert {op.opcode for op in module.main.ops} == {"conv_2d", "slice", "concatenation"}
    (found,) = evaluate(module.main, {"x": data.transpose(0, 2, 3, 1)})
    expected = expected.transpose(module.output_layout[module.main.outputs[0].name])
    if dtype is DType.INT8:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
