"""Products with a column, and written-out moves of blocks: numbers as before in LiteRT, and no transposes left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.passes.canonicalize.canonicalize_movement import CanonicalizeMovement
from edgec.passes.channels.route_channels import RouteChannels
from edgec.passes.layout.move_transposes import MoveTransposes

Check = Callable[..., Any]


def graph_with(*shape: int) -> tuple[Graph, Builder, Value]:
    graph = Graph("main")
    return graph, build(graph), graph.add_input("x", TensorType(shape, DType.FLOAT32))


def finished(graph: Graph, y: Value) -> Module:
    y.name = "y"
    graph.outputs = [y]
    return Module([graph])


def reshaped(b: Builder, x: Value, *shape: int) -> Value:
    return b.emit("reshape", [x, b.ints(shape)], new_shape=shape)


def convolved(b: Builder, x: Value, channels: int) -> Value:
    """A 1x1 convolution of an NCHW value as the ONNX front end writes it."""
    weights = np.random.default_rng(channels).standard_normal((channels, 1, 1, x.shape[1])).astype(np.float32)
    y = b.emit("transpose", [x, b.ints((0, 2, 3, 1))])
    operands = [y, b.constant(weights), b.constant(weights[:, 0, 0, 0])]
    y = b.emit("conv_2d", operands, padding="SAME", stride_h=1, stride_w=1)
    return b.emit("transpose", [y, b.ints((0, 3, 1, 2))])


@pytest.mark.parametrize("batch", [1, 2])
def test_pixels_weighted_by_an_attention_map_need_no_transpose(check_pass: Check, batch: int) -> None:
    """The global context block of GCNet: softmax over the pixels, then their weighted mean."""
    graph, b, x = graph_with(batch, 3, 4, 5)
    image = convolved(b, x, 6)
    weights = b.emit("softmax", [reshaped(b, convolved(b, image, 1), batch, 1, 20)], beta=1.0)
    context = b.emit("batch_matmul", [reshaped(b, image, batch, 1, 6, 20), reshaped(b, weights, batch, 1, 20, 1)])
    module = finished(graph, convolved(b, reshaped(b, context, batch, 6, 1, 1), 2))
    first = check_pass(module, CanonicalizeMovement())
    assert first.op("batch_matmul").attributes["adj_y"]
    moved = check_pass(first.module, MoveTransposes())
    assert "transpose" not in moved.opcodes
    assert not moved.op("batch_matmul").attributes["adj_y"]


def test_a_transposed_left_matrix_is_read_as_it_is(check_pass: Check) -> None:
    graph, b, x = graph_with(2, 5, 6)
    column = b.emit("mean", [x, b.ints([2])], keep_dims=True)
    y = b.emit("batch_matmul", [x, column], adj_x=True)
    checked = check_pass(finished(graph, y), CanonicalizeMovement())
    assert (checked.op("batch_matmul").attributes["adj_x"], checked.op("batch_matmul").attributes["adj_y"]) == (0, 0)


@pytest.mark.parametrize("order", [(0, 3, 5, 1, 2, 4), (0, 1, 3, 5, 2, 4)], ids=["block first", "channels first"])
def test_space_to_depth(check_pass: Check, order: tuple[int, ...]) -> None:
    graph, b, x = graph_with(2, 3, 4, 6)
    y = b.emit("transpose", [reshaped(b, x, 2, 3, 2, 2, 3, 2), b.ints(order)])
    module = finished(graph, convolved(b, reshaped(b, y, 2, 12, 2, 3), 4))
    checked = check_pass(module, CanonicalizeMovement())
    assert checked.op("space_to_depth").attributes["block_size"] == 2
    moved = check_pass(checked.module, MoveTransposes())
    assert moved.module.input_layout == {"x": (0, 2, 3, 1)}
    assert check_pass(moved.module, RouteChannels()).opcodes == ["space_to_depth", "conv_2d"]


@pytest.mark.parametrize("order", [(0, 3, 4, 1, 5, 2), (0, 1, 4, 2, 5, 3)], ids=["block first", "channels first"])
def test_depth_to_space(check_pass: Check, order: tuple[int, ...]) -> None:
    graph, b, x = graph_with(2, 3, 4, 5)
    cut = (2, 2, 2, 3, 4, 5) if order[1] == 3 else (2, 3, 2, 2, 4, 5)
    y = b.emit("transpose", [reshaped(b, convolved(b, x, 12), *cut), b.ints(order)])
    checked = check_pass(finished(graph, reshaped(b, y, 2, 3, 8, 10)), CanonicalizeMovement())
    moved = check_pass(checked.module, MoveTransposes())
    assert check_pass(moved.module, RouteChannels()).opcodes == ["conv_2d", "depth_to_space"]


def test_blocks_that_are_not_square_stay(check_pass: Check) -> None:
    graph, b, x = graph_with(2, 3, 4, 6)
    y = b.emit("transpose", [reshaped(b, x, 2, 3, 2, 2, 2, 3), b.ints((0, 3, 5, 1, 2, 4))])
    assert not check_pass(finished(graph, reshaped(b, y, 2, 18, 2, 2)), CanonicalizeMovement()).changed


def test_a_length_is_broadcast_by_the_division(check_pass: Check) -> None:
    """torch's `F.normalize` behind its exporter."""
    graph, b, x = graph_with(2, 5, 6)
    length = b.emit("sqrt", [b.emit("sum", [b.emit("square", [x]), b.ints([2])], keep_dims=True)])
    y = b.emit("div", [x, b.emit("broadcast_to", [length, b.ints((2, 5, 6))])])
    checked = check_pass(finished(graph, y), CanonicalizeMovement())
    assert checked.opcodes == ["square", "sum", "sqrt", "div"]


def test_a_broadcast_that_gives_the_shape_stays(check_pass: Check) -> None:
    graph, b, x = graph_with(1, 5, 6)
    y = b.emit("mul", [b.emit("broadcast_to", [x, b.ints((2, 5, 6))]), b.emit("exp", [x])])
    assert not check_pass(finished(graph, y), CanonicalizeMovement()).changed
