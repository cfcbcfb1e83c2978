"""MACs and bytes of single ops, worked out by hand."""

from __future__ import annotations

import numpy as np

from edgec.cost.macs import OpCost, graph_macs, module_macs, op_cost, parameter_count
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import TensorType
from edgec.ops import build, verify
from edgec.ops.control import loop_trips


def graph_of(*shape: int, dtype: DType = DType.FLOAT32) -> tuple[Graph, Value]:
    graph = Graph()
    return graph, graph.add_input("x", TensorType(shape, dtype))


def test_convolution() -> None:
    graph, x = graph_of(1, 8, 6, 3)
    emit = build(graph)
    weight, bias = emit.constant(np.zeros((4, 3, 3, 3), np.float32)), emit.constant(np.zeros(4, np.float32))
    op = emit.emit_op("conv_2d", [x, weight, bias], stride_h=2, stride_w=2, padding="SAME")
    # 4 x 3 positions x 4 filters, each of 3 * 3 * 3 products
    assert op.result.shape == (1, 4, 3, 4)
    assert op_cost(op) == OpCost(
        macs=4 * 3 * 4 * 27,
        weight_bytes=4 * (4 * 27 + 4),
        read_bytes=4 * 8 * 6 * 3,
        written_bytes=4 * 4 * 3 * 4,
    )


def test_depthwise_convolution_of_int8() -> None:
    graph, x = graph_of(1, 5, 5, 2, dtype=DType.INT8)
    emit = build(graph)
    weight, bias = emit.constant(np.zeros((1, 3, 3, 2), np.int8)), emit.constant(np.zeros(2, np.int32))
    op = emit.emit_op(
        "depthwise_conv_2d", [x, weight, bias], stride_h=1, stride_w=1, depth_multiplier=1, padding="VALID"
    )
    assert op.result.shape == (1, 3, 3, 2)
    assert op_cost(op) == OpCost(macs=3 * 3 * 2 * 9, weight_bytes=18 + 2 * 4, read_bytes=50, written_bytes=18)


def test_fully_connected_of_four_bit_weights() -> None:
    graph, x = graph_of(2, 10, dtype=DType.INT8)
    emit = build(graph)
    op = emit.emit_op("fully_connected", [x, emit.constant(np.zeros((3, 10), np.int8), DType.INT4)])
    assert op_cost(op) == OpCost(macs=2 * 3 * 10, weight_bytes=15, read_bytes=20, written_bytes=6)


def test_ops_without_products_and_custom_ops_have_bytes_only() -> None:
    graph, x = graph_of(1, 4, 4, 2)
    add = build(graph).emit_op("add", [x, x])
    assert op_cost(add) == OpCost(macs=0, weight_bytes=0, read_bytes=2 * 128, written_bytes=128)
    custom = graph.append(Op("custom", [x, None], [Value("y", TensorType((3,), DType.INT8))]))
    assert op_cost(custom) == OpCost(macs=0, weight_bytes=0, read_bytes=128, written_bytes=3)


def test_sums() -> None:
    graph, x = graph_of(1, 4)
    emit = build(graph)
    weight, bias = emit.constant(np.ones((2, 4), np.float32)), emit.constant(np.ones(2, np.float32))
    emit.emit("fully_connected", [x, weight, bias])
    emit.emit("fully_connected", [x, weight])  # the same weights: more work, no more parameters
    emit.emit("mul", [x, emit.constant(np.ones(4, np.float32))])
    emit.emit("reshape", [x, emit.ints([2, 2])])  # a shape is no parameter
    assert graph_macs(graph) == 8 + 8 + 4  # a multiplication counts as much as a multiply-accumulate
    other, y = graph_of(1, 3)
    build(other).emit("fully_connected", [y, build(other).constant(np.ones((5, 3), np.float32))])
    assert module_macs(Module([graph, other])) == 20 + 15
    assert parameter_count(Module([graph, other])) == 8 + 2 + 4 + 15


def test_a_loop_of_a_constant_number_of_steps_counts_each() -> None:
    # 5 steps of a product of [1, 3] with [3, 3]: 5 * 9, the counter's 5 additions, and 6 comparisons of the counter.
    main, condition, body = Graph("main"), Graph("condition"), Graph("body")
    counter, flow = TensorType((), DType.INT32), TensorType((1, 3), DType.FLOAT32)
    inner = build(condition)
    i, _ = condition.add_input("i", counter), condition.add_input("x", flow)
    condition.outputs = [inner.emit("less", [i, inner.constant(np.array(5, np.int32))])]
    inner = build(body)
    i, x = body.add_input("i", counter), body.add_input("x", flow)
    product = inner.emit("fully_connected", [x, inner.constant(np.ones((3, 3), np.float32)), None])
    body.outputs = [inner.emit("add", [i, inner.constant(np.array(1, np.int32))]), product]
    builder = build(main)
    start = builder.constant(np.array(0, np.int32))
    op = builder.emit_op("while", [start, main.add_input("x", flow)], cond_subgraph_index=1, body_subgraph_index=2)
    main.outputs = [op.results[1]]
    module = Module([main, condition, body])
    verify(module)
    assert loop_trips(op, module) == 5
    assert module_macs(module) == 5 * graph_macs(body) + 6 * graph_macs(condition)
    assert graph_macs(body) >= 9
