"""Weights that do not fit int8 once their zero point is subtracted, split so that every sum stays what it was.

uint8 weights are 0..255 with a zero point anywhere, so `w - zero point` spans up to -255..255, while int8 kernels take
weights of -127..127 with zero point 0. A handful of weights in a layer lie outside. They are not rounded: the input
channels they read are given to the kernel twice (or three times), and the weight is spread over the copies:

    w * x = w1 * x + w2 * x        with w = w1 + w2, both in -127..127

so the 32-bit sum, the bias and the rescaling are those of the uint8 kernel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build

LARGEST = 127
_INPUT_INDEX = {"conv_2d": 0, "fully_connected": 0, "transpose_conv": 2}


def spread_over_copies(op: Op, wide: np.ndarray, scale: float) -> int:
    """Give a conv_2d, fully_connected or transpose_conv its int8 weights; returns how many weights were spread.

    `wide` are the integers `w - zero point` in the weight's shape, input channels last.
    """
    builder = build(_graph(op), before=op, source=op.source)
    index = _INPUT_INDEX[op.opcode]
    x = op.operand(index)
    parts, channels, spread = _parts(wide)
    if channels and x.shape[-1] != wide.shape[-1]:  # a fully connected layer that flattens what it reads
        flat = (x.type.elements // wide.shape[-1], wide.shape[-1])
        x = builder.emit(
            "reshape", [x, builder.ints(flat)], new_shape=flat, quant=x.quant, name=f"{op.name}_flat", source=op.source
        )
    if channels:
        op.set_operand(index, _with_copies(builder, x, np.concatenate(channels), f"{op.name}_input"))
        if x.producer is not None and not x.use_count:
            _graph(op).erase(x.producer)
    _set_weight(op, np.concatenate(parts, axis=-1), scale)
    return spread


def _with_copies(builder: Builder, x: Value, channels: np.ndarray, name: str) -> Value:
    """`x` with copies of some channels behind its own."""
    operands, source = [x], x
    join = x.producer
    if join is not None and join.opcode == "concatenation" and x.use_count == 1:
        first = join.operand(0)
        if join.attributes["axis"] == x.type.rank - 1 and channels.max() < first.shape[-1]:  # one copy of all, not two
            operands, source = [v for v in join.operands if v is not None], first
    copies = _channels(builder, source, channels)
    return builder.emit("concatenation", [*operands, copies], axis=x.type.rank - 1, quant=x.quant, name=name)


def _parts(wide: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray], int]:
    """Weights in -127..127 over all channels, then over the channels that need another copy; those channels."""
    first = np.clip(wide, -LARGEST, LARGEST)
    rest = wide - first
    parts, channels = [first], []
    spread = int(np.count_nonzero(rest))
    while rest.any():
        needy = np.flatnonzero(rest.any(axis=tuple(range(rest.ndim - 1))))
        part = np.clip(rest[..., needy], -LARGEST, LARGEST)
        parts.append(part)
        channels.append(needy)
        rest[..., needy] -= part
    return parts, channels, spread


def split_depthwise(op: Op, wide: np.ndarray, scale: float) -> int:
    """Give a depthwise_conv_2d its int8 weights; returns how many weights were spread.

    A depthwise kernel sums over no channels, so the output channels with a wide weight are computed by a conv_2d that
    reads copies of their input channel:

    Before:  %1 = depthwise_conv_2d(%0, $w)      After:  %1 = depthwise_conv_2d(%0, $w' (0 for those channels))
                                                         %2 = gather(%0, channels twice)  %3 = conv_2d(%2, $v)
                                                         %4 = concatenation(%1, %3)       %5 = gather(%4, order)
    """
    needy = np.flatnonzero((np.abs(wide) > LARGEST).any(axis=(0, 1, 2)))
    spread = int(np.count_nonzero(np.abs(wide) > LARGEST))
    kept = wide.copy()
    kept[..., needy] = 0
    result, x = op.result, op.operand(0)
    assert x.quant is not None
    _set_weight(op, kept, scale)
    if not needy.size:
        return 0
    graph = _graph(op)
    after = op.next
    builder = Builder(graph, build(graph).op_defs, before=after, source=op.source)
    side = _side_convolution(builder, op, wide, needy, scale)
    channels = wide.shape[-1]
    joined = builder.emit(
        "concatenation", [result, side], axis=3, quant=result.quant, name=f"{op.name}_channels", source=op.source
    )
    order = np.arange(channels, dtype=np.int32)
    order[needy] = channels + np.arange(needy.size, dtype=np.int32)
    users = [(user, index) for user, index in result.uses if user is not joined.producer]
    if not result.is_output and users and all(_reads_any_order(user, index) for user, index in users):
        for user, _ in users:
            _read_in_order(user, joined, order)
        return spread
    name = result.name
    ordered = _channels(builder, joined, order)
    for user, index in users:
        user.set_operand(index, ordered)
    if result.is_output:
        graph.outputs = [ordered if value is result else value for value in graph.outputs]
    result.name, ordered.name = f"{name}_depthwise", name
    return spread


def _side_convolution(builder: Builder, op: Op, wide: np.ndarray, needy: np.ndarray, scale: float) -> Value:
    """The output channels `needy` of a depthwise op, by a convolution over copies of their input channels."""
    x, bias = op.operand(0), op.optional_operand(2)
    multiplier = wide.shape[-1] // x.shape[-1]
    _, height, width, _ = wide.shape
    count = needy.size
    copies = -(-int(np.abs(wide).max()) // LARGEST)
    weight = np.zeros((count, height, width, copies * count), wide.dtype)
    rest = wide[0][..., needy].copy()  # [height, width, count]
    for copy in range(copies):
        part = np.clip(rest, -LARGEST, LARGEST)
        for position in range(count):
            weight[position, :, :, copy * count + position] = part[..., position]
        rest -= part
    inputs = _channels(builder, x, np.tile(needy // multiplier, copies))
    result_type = replace(op.result.type, shape=(*op.result.shape[:3], count), signature=None)
    attributes = {
        key: op.attributes[key]
        for key in (
            "padding", "stride_w", "stride_h", "dilation_w_factor", "dilation_h_factor", "fused_activation_function"
        )
    }  # fmt: skip
    few = None
    if bias is not None:
        few = Value(f"{bias.name}_side", TensorType((count,), bias.dtype, bias.quant), bias.array().reshape(-1)[needy])
    return builder.emit(
        "conv_2d", [inputs, _weight(f"{op.operand(1).name}_side", weight, scale), few],
        name=f"{op.name}_side", source=op.source, result_types=[result_type], **attributes,
    )  # fmt: skip


def _reads_any_order(user: Op, index: int) -> bool:
    """True for a convolution whose weights can follow another order of its input channels."""
    weight = user.optional_operand(1)
    return (
        user.opcode == "conv_2d"
        and index == 0
        and weight is not None
        and weight.is_constant
        and weight.dtype in (DType.INT8, DType.UINT8)
        and weight.sparsity is None
        and weight.shape[3] == user.operand(0).shape[3]
    )


def _read_in_order(user: Op, joined: Value, order: np.ndarray) -> None:
    """Let a convolution read `joined`, of whose channels `order` are the ones it was made for."""
    weight = user.operand(1)
    assert weight.quant is not None
    channels = joined.shape[-1]
    zero = weight.quant.zero_point[0]
    data = np.full((*weight.shape[:3], channels), zero, weight.array().dtype)
    data[..., order] = weight.array()
    type_ = replace(weight.type, shape=data.shape)
    user.set_operand(0, joined)
    user.set_operand(1, Value(weight.name, type_, data))


def _set_weight(op: Op, data: np.ndarray, scale: float) -> None:
    """Give an op its int8 weights, with one scale for the tensor as before: a scale a channel takes 24 bytes each."""
    op.set_operand(1, _weight(op.operand(1).name, data, scale))


def _weight(name: str, data: np.ndarray, scale: float) -> Value:
    type_ = TensorType(data.shape, DType.INT8, QuantParams.per_tensor(scale))
    return Value(name, type_, np.ascontiguousarray(data.astype(np.int8)))


def _channels(builder: Builder, x: Value, channels: np.ndarray) -> Value:
    """The channels of `x` with the given numbers, in their order."""
    axis = x.type.rank - 1
    return builder.emit(
        "gather", [x, builder.ints([int(c) for c in channels])], axis=axis, quant=x.quant,
        name=f"{x.name}_copies_{builder.graph.fresh_name('c')}", source=builder.source,
    )  # fmt: skip


def _graph(op: Op) -> Graph:
    assert op.graph is not None
    return op.graph
