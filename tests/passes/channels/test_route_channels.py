"""Channels are routed with little copying, and the numbers stay: on units of ShuffleNet, on random nets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build
from edgec.passes.channels.route_channels import RouteChannels

Check = Callable[..., Any]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}  # sums in another order


class Net:
    """A float NHWC graph that grows by calls."""

    def __init__(self, seed: int = 0) -> None:
        self.graph = Graph()
        self.random = np.random.default_rng(seed)

    def input(self, *shape: int) -> Value:
        return self.graph.add_input(f"x{len(self.graph.inputs)}", TensorType(shape, DType.FLOAT32))

    def emit(self, opcode: str, operands: list[Value | None], **attributes: Any) -> Value:
        return build(self.graph).emit(opcode, operands, **attributes)

    def ints(self, values: Any) -> Value:
        return build(self.graph).ints(values)

    def weights(self, *shape: int) -> Value:
        return build(self.graph).constant(self.random.normal(0, 0.5, shape).astype(np.float32))

    def conv(self, x: Value, filters: int, groups: int = 1, side: int = 1) -> Value:
        weight = self.weights(filters, side, side, x.shape[3] // groups)
        return self.emit(
            "conv_2d", [x, weight, self.weights(filters)], stride_h=1, stride_w=1,
            fused_activation_function="RELU",
        )  # fmt: skip

    def depthwise(self, x: Value) -> Value:
        operands: list[Value | None] = [x, self.weights(1, 3, 3, x.shape[3]), self.weights(x.shape[3])]
        return self.emit("depthwise_conv_2d", operands, depth_multiplier=1, stride_h=1, stride_w=1)

    def gather(self, x: Value, indices: Any) -> Value:
        return self.emit("gather", [x, self.ints(list(map(int, indices)))], axis=x.type.rank - 1)

    def reshape(self, x: Value, *shape: int) -> Value:
        return self.emit("reshape", [x, self.ints(list(shape))], new_shape=shape)

    def shuffle(self, x: Value, groups: int) -> Value:
        """As frameworks write it: reshape, transpose, reshape."""
        n, h, w, c = x.shape
        x5 = self.reshape(x, n, h, w, groups, c // groups)
        return self.reshape(self.emit("transpose", [x5, self.ints([0, 1, 2, 4, 3])]), n, h, w, c)

    def split(self, x: Value, parts: int) -> tuple[Value, ...]:
        return build(self.graph).emit_op("split", [self.ints(x.type.rank - 1), x], num_splits=parts).results

    def concat(self, *values: Value) -> Value:
        return self.emit("concatenation", list(values), axis=values[0].type.rank - 1)

    def slice(self, x: Value, start: int, size: int) -> Value:
        lead = x.shape[:-1]
        return self.emit("slice", [x, self.ints([*(0 for _ in lead), start]), self.ints([*lead, size])])

    def module(self, *outputs: Value) -> Module:
        self.graph.outputs = outputs
        return Module([self.graph])


def shuffled(channels: int, groups: int) -> np.ndarray:
    return np.arange(channels).reshape(groups, -1).T.reshape(-1)


def forms(net: Net, x: Value, groups: int, form: str) -> Value:
    return net.shuffle(x, groups) if form == "transpose" else net.gather(x, shuffled(x.shape[3], groups))


def test_a_permutation_between_convolutions_moves_into_weights(check_pass: Check) -> None:
    net = Net()
    x = net.conv(net.input(1, 6, 6, 8), 12)
    y = net.conv(net.depthwise(net.emit("relu6", [net.gather(x, np.random.default_rng(1).permutation(12))])), 5)
    checked = check_pass(net.module(y), RouteChannels(), **TOLERANCE)
    assert checked.opcodes == ["conv_2d", "relu6", "depthwise_conv_2d", "conv_2d"]


@pytest.mark.parametrize("form", ["transpose", "gather"])
@pytest.mark.parametrize("half", [8, 7])
def test_shufflenet_v2_stage_becomes_slices(check_pass: Check, form: str, half: int) -> None:
    net = Net()
    x = net.input(1, 20, 20, 8)
    y = forms(net, net.concat(net.conv(x, half), net.conv(x, half)), 2, form)
    for _ in range(3):
        passing, worked = net.split(y, 2)
        y = forms(net, net.concat(passing, net.conv(net.depthwise(net.conv(worked, half)), half)), 2, form)
    checked = check_pass(net.module(net.conv(y, 9)), RouteChannels(), **TOLERANCE)
    assert set(checked.opcodes) == {"conv_2d", "depthwise_conv_2d", "slice", "concatenation"}


def halves(net: Net, x: Value, form: str) -> tuple[Value, ...]:
    """Even and odd channels, in the ways in which files ask for them."""
    n, h, w, c = x.shape
    if form == "strided_slice":
        ends = net.ints([n, h, w, c])
        steps = net.ints([1, 1, 1, 2])
        return tuple(net.emit("strided_slice", [x, net.ints([0, 0, 0, b]), ends, steps]) for b in (0, 1))
    pairs = net.reshape(x, n, h, w, c // 2, 2)
    if form == "unpack":
        return build(net.graph).emit_op("unpack", [pairs], axis=4, num=2).results
    if form == "gather":
        return tuple(net.emit("gather", [pairs, net.ints(i)], axis=4) for i in (0, 1))
    first = [net.ints([0, 0, 0, 0, i]) for i in (0, 1)]
    size = net.ints([n, h, w, c // 2, 1])
    return tuple(net.reshape(net.emit("slice", [pairs, b, size]), n, h, w, c // 2) for b in first)


@pytest.mark.parametrize("form", ["strided_slice", "unpack", "gather", "slice"])
def test_even_and_odd_channels_in_every_form(check_pass: Check, form: str) -> None:
    net = Net()
    x = net.input(1, 16, 16, 8)
    y = net.concat(net.conv(x, 8), net.conv(x, 8))
    for _ in range(2):
        passing, worked = halves(net, y, form)
        y = net.concat(passing, net.conv(net.depthwise(worked), 8))
    checked = check_pass(net.module(net.conv(y, 9)), RouteChannels(), **TOLERANCE)
    assert set(checked.opcodes) == {"conv_2d", "depthwise_conv_2d", "slice", "concatenation"}


def test_packed_values_are_interleaved_by_weights(check_pass: Check) -> None:
    net = Net()
    x = net.input(1, 6, 6, 8)
    packed = net.emit("pack", [net.conv(x, 4), net.conv(x, 4)], axis=4, values_count=2)
    checked = check_pass(net.module(net.conv(net.reshape(packed, 1, 6, 6, 8), 5)), RouteChannels(), **TOLERANCE)
    assert checked.opcodes == ["conv_2d", "conv_2d", "concatenation", "conv_2d"]


@pytest.mark.parametrize("form", ["transpose", "gather"])
@pytest.mark.parametrize(("channels", "groups"), [(48, 4), (48, 2), (30, 3), (16, 8)])
def test_shufflenet_v1_unit_moves_whole_runs(check_pass: Check, form: str, channels: int, groups: int) -> None:
    net = Net()
    x = net.input(1, 14, 14, channels)
    y = net.depthwise(forms(net, net.conv(x, channels, groups), groups, form))
    y = net.emit("add", [net.conv(y, channels, groups), x])
    checked = check_pass(net.module(y), RouteChannels(), **TOLERANCE)
    assert "transpose" not in checked.opcodes
    if checked.changed and "gather" in checked.opcodes:
        assert checked.op("gather").operand(0).shape[-1] > 1  # pieces of several channels


def test_a_source_is_ordered_for_those_who_read_it(check_pass: Check) -> None:
    net = Net()
    x = net.conv(net.input(1, 6, 6, 8), 12)
    even, odd = net.gather(x, range(0, 12, 2)), net.gather(x, range(1, 12, 2))
    checked = check_pass(net.module(net.conv(even, 4), net.conv(odd, 4)), RouteChannels(), **TOLERANCE)
    assert checked.opcodes.count("slice") == 2
    assert "gather" not in checked.opcodes


def test_slices_of_a_concatenation_read_its_parts(check_pass: Check) -> None:
    net = Net()
    a, b = net.conv(net.input(1, 6, 6, 8), 12), net.input(1, 6, 6, 4)
    joined = net.concat(a, b)
    outputs = [net.emit("abs", [net.slice(joined, 0, 12)]), net.emit("abs", [net.slice(joined, 12, 4)])]
    checked = check_pass(net.module(*outputs), RouteChannels())
    assert checked.opcodes == ["conv_2d", "abs", "abs"]


def test_channels_between_input_and_output_keep_their_order(check_pass: Check) -> None:
    net = Net()
    x = net.input(1, 8, 8, 12)
    checked = check_pass(net.module(net.shuffle(x, 3)), RouteChannels())
    assert checked.opcodes == ["gather"]


def test_concatenations_alone_are_left(check_pass: Check) -> None:
    net = Net()
    x = net.input(1, 4, 4, 6)
    a, b = net.split(net.conv(x, 8), 2)
    checked = check_pass(net.module(net.conv(net.concat(net.conv(a, 3), b, x), 5)), RouteChannels())
    assert not checked.changed


def test_weights_with_scales_along_channels_take_them_along(check_pass: Check) -> None:
    graph = Graph()
    builder = build(graph)
    quant = QuantParams.per_tensor(0.05, 3)
    x = graph.add_input("x", TensorType((1, 6, 6, 8), DType.INT8, quant))
    random = np.random.default_rng(0)

    def conv(value: Value, filters: int) -> Value:
        scale = tuple(random.uniform(0.001, 0.01, filters).tolist())
        weight = builder.constant(
            random.integers(-127, 128, (filters, 1, 1, value.shape[3])), DType.INT8,
            quant=QuantParams(scale, (0,) * filters, 0),
        )  # fmt: skip
        bias_scale = tuple(s * 0.05 for s in scale)
        bias = builder.constant(random.integers(-99, 99, filters), DType.INT32,
                                quant=QuantParams(bias_scale, (0,) * filters, 0))  # fmt: skip
        return builder.emit("conv_2d", [value, weight, bias], stride_h=1, stride_w=1, quant=quant)

    y = builder.emit("gather", [conv(x, 12), builder.ints(random.permutation(12).tolist())], axis=3, quant=quant)
    graph.outputs = [conv(y, 6)]
    checked = check_pass(Module([graph]), RouteChannels())
    assert checked.opcodes == ["conv_2d", "conv_2d"]


def random_net(seed: int) -> Module:
    """A dozen ops of those that route, tie and free channels, on maps of 4x4."""
    net = Net(seed)
    random = net.random
    values = [net.input(1, 4, 4, int(random.choice([4, 6, 8, 12])))]

    def pick(multiple: int = 1) -> Value:
        fitting = [v for v in values if v.shape[3] % multiple == 0]
        return fitting[random.integers(len(fitting))] if fitting else net.conv(values[0], multiple * 2)

    def grow() -> list[Value]:
        kind = random.integers(15)
        x = pick(2 if kind in (0, 1, 2, 3, 4) else 1)
        c = x.shape[3]
        if kind == 0:
            return [net.shuffle(x, 2)]
        if kind in (1, 2):
            return list(net.split(x, 2))
        if kind == 3:
            return [net.conv(x, 6, groups=2)]
        if kind == 4:
            return [net.gather(x, range(c - 2, -1, -2))]
        if kind == 5:
            return [net.gather(x, random.permutation(c))]
        if kind == 6:
            return [net.gather(x, random.integers(0, c, int(random.integers(1, 9))))]
        if kind == 7:
            start = int(random.integers(c))
            return [net.slice(x, start, int(random.integers(1, c - start + 1)))]
        if kind in (8, 9):
            return [net.concat(*(pick() for _ in range(random.integers(2, 4))))]
        if kind == 10:
            same = [v for v in values if v.shape == x.shape]
            return [net.emit("add", [x, same[random.integers(len(same))]])]
        if kind == 11:
            return [net.emit("mul", [x, net.weights(c)])]
        if kind == 12:
            return [net.depthwise(x)]
        if kind == 13:
            return [net.emit("softmax", [x], beta=1.0)]
        return [net.conv(x, int(random.choice([4, 6, 8])), side=int(random.choice([1, 3])))]

    for _ in range(random.integers(4, 14)):
        values += [v for v in grow() if v.shape[3] <= 32]
    outputs = [net.conv(values[-1], 3)]
    if random.random() < 0.5:
        outputs.append(values[random.integers(1, len(values))])
    if random.random() < 0.5:
        flat = net.emit("mean", [values[-1], net.ints([1, 2])])
        outputs.append(net.emit("fully_connected", [flat, net.weights(5, flat.shape[1]), net.weights(5)]))
    return net.module(*dict.fromkeys(outputs))


@pytest.mark.parametrize("seed", range(60))
def test_random_nets(check_pass: Check, seed: int) -> None:
    checked = check_pass(random_net(seed), RouteChannels(), **TOLERANCE)
    assert "transpose" not in checked.opcodes


def test_the_note_counts(check_pass: Check) -> None:
    net = Net()
    x = net.conv(net.input(1, 4, 4, 4), 4)
    checked = check_pass(net.module(net.conv(net.gather(x, [2, 0, 3, 1]), 4)), RouteChannels(), **TOLERANCE)
    assert checked.note == "1 value put together from other values' channels"
    assert dataclasses.is_dataclass(RouteChannels)
