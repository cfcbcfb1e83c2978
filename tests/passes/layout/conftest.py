"""Graphs as the ONNX front end writes them: values in NCHW, each spatial op between two transposes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


class NchwGraph:
    """A graph under construction; weights are random with seed 0."""

    def __init__(self) -> None:
        self.graph = Graph("main")
        self.b: Builder = build(self.graph)
        self.rng = np.random.default_rng(0)

    def input(self, name: str, *shape: int, dtype: DType = DType.FLOAT32, quant: QuantParams | None = None) -> Value:
        return self.graph.add_input(name, TensorType(shape, dtype, quant))

    def noise(self, *shape: int) -> Value:
        return self.b.constant(self.rng.standard_normal(shape).astype(np.float32))

    def transpose(self, x: Value, permutation: Sequence[int], name: str = "") -> Value:
        return self.b.emit("transpose", [x, self.b.ints(list(permutation))], name=name, quant=x.quant)

    def reshape(self, x: Value, *shape: int, name: str = "") -> Value:
        return self.b.emit("reshape", [x, self.b.ints(shape)], new_shape=shape, name=name, quant=x.quant)

    def conv(self, x: Value, channels: int, *, kernel: int = 3, groups: int = 1, name: str = "") -> Value:
        weight = self.noise(channels, kernel, kernel, x.shape[1] // groups)
        y = self.b.emit("conv_2d", [self.transpose(x, TO_LAST), weight, self.noise(channels)], padding="SAME",
                        stride_h=1, stride_w=1, name=name)  # fmt: skip
        return self.transpose(y, TO_FIRST)

    def depthwise(self, x: Value) -> Value:
        c = x.shape[1]
        y = self.b.emit("depthwise_conv_2d", [self.transpose(x, TO_LAST), self.noise(1, 3, 3, c), self.noise(c)],
                        padding="SAME", stride_h=1, stride_w=1, depth_multiplier=1)  # fmt: skip
        return self.transpose(y, TO_FIRST)

    def max_pool(self, x: Value) -> Value:
        y = self.b.emit("max_pool_2d", [self.transpose(x, TO_LAST)], padding="VALID", stride_h=2, stride_w=2,
                        filter_height=2, filter_width=2)  # fmt: skip
        return self.transpose(y, TO_FIRST)

    def relu(self, x: Value) -> Value:
        return self.b.emit("relu", [x])

    def shuffle(self, x: Value, groups: int) -> Value:
        n, c, h, w = x.shape
        y = self.transpose(self.reshape(x, n, groups, c // groups, h, w), [0, 2, 1, 3, 4])
        return self.reshape(y, n, c, h, w)

    def dense(self, x: Value, units: int) -> Value:
        return self.b.emit("fully_connected", [x, self.noise(units, x.shape[-1]), self.noise(units)])

    def module(self, **outputs: Value) -> Module:
        for name, value in outputs.items():
            value.name = name
        self.graph.outputs = list(outputs.values())
        return Module([self.graph])


@pytest.fixture
def nchw() -> Callable[[], NchwGraph]:
    """A new, empty graph."""
    return NchwGraph
