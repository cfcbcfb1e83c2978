"""What each op does to channels: hand them on, unite, rearrange, or mix them into new ones.

An op without a rule freezes all it touches, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgec.compress.channel_space import ChannelSpace, Flow, Labels, Read, width
from edgec.ir.graph import Op, Value
from edgec.ops import OP_DEFS
from edgec.ops.infer import constant_ints

Rule = Callable[[ChannelSpace, Op], None]


def apply_rule(space: ChannelSpace, op: Op) -> None:
    """Label the results of one op."""
    definition = OP_DEFS.get(op.opcode)
    rule = RULES.get(op.opcode)
    if definition is not None and rule is None and definition.is_elementwise and len(op.results) == 1:
        rule = _elementwise
    if rule is None:
        space.freeze_op(op, f"{op.describe()} is not known to keep channels apart")
        return
    rule(space, op)


# -- ops with weights ------------------------------------------------------------------------------------------------


def _plain_constant(value: Value | None) -> bool:
    if value is None or value.data is None or value.sparsity is not None or value.dtype.is_opaque:
        return False
    return value.extra.get("quant_details") is None


def _bias_axis(op: Op, index: int, channels: int) -> int | None:
    """The axis of the bias that runs along the output channels; -1 where there is no bias, None where none does."""
    bias = op.optional_operand(index)
    if bias is None:
        return -1
    if not _plain_constant(bias) or not bias.shape or bias.shape[-1] != channels or bias.type.elements != channels:
        return None
    return bias.type.rank - 1


def _weighted(space: ChannelSpace, op: Op, x_index: int, bias_index: int, in_axis: int, positions: np.ndarray) -> None:
    """A conv_2d, transpose_conv or fully_connected: outputs along weight axis 0, new labels for them."""
    weight = op.operand(1)
    bias_axis = _bias_axis(op, bias_index, weight.shape[0])
    if bias_axis is None:
        space.freeze_op(op, f"the bias of {op.describe()} is not one constant per output channel")
        return
    labels = space.of(op.operand(x_index))[positions]
    outputs = space.fresh(weight.shape[0], op)
    space.labels[op.results[0]] = outputs
    space.slice_constant(op, 1, in_axis, labels)
    space.slice_constant(op, 1, 0, outputs)
    if bias_axis >= 0:
        space.slice_constant(op, bias_index, bias_axis, outputs)
    space.reads.append(Read(op, x_index, 1, bias_index, in_axis, 0, labels, positions))


def _conv_2d(space: ChannelSpace, op: Op) -> None:
    x, weight = op.operand(0), op.operand(1)
    if not _plain_constant(weight):
        space.freeze_op(op, f"the weight of {op.describe()} is not a plain constant")
    elif x.shape[3] != weight.shape[3]:
        space.freeze_op(op, f"{op.describe()} is a grouped convolution")
    else:
        _weighted(space, op, 0, 2, 3, np.arange(x.shape[3]))


def _transpose_conv(space: ChannelSpace, op: Op) -> None:
    if not _plain_constant(op.operand(1)) or not _plain_constant(op.operand(0)):
        space.freeze_op(op, f"the weight or output shape of {op.describe()} is not a plain constant")
        return
    _weighted(space, op, 2, 3, 3, np.arange(op.operand(2).shape[3]))


def _fully_connected(space: ChannelSpace, op: Op) -> None:
    x, weight = op.operand(0), op.operand(1)
    inputs, channels = weight.shape[1], width(x)
    if not _plain_constant(weight) or op.attributes["weights_format"] != "DEFAULT" or len(op.results) != 1:
        space.freeze_op(op, f"the weight of {op.describe()} is not a plain constant")
    elif not channels or inputs % channels:
        space.freeze_op(op, f"{op.describe()} reads rows that are not whole channels of '{x.name}'")
    else:
        _weighted(space, op, 0, 2, 1, np.tile(np.arange(channels), inputs // channels))


def _depthwise(space: ChannelSpace, op: Op) -> None:
    x, weight = op.operand(0), op.operand(1)
    outputs, inputs = weight.shape[3], x.shape[3]
    bias_axis = _bias_axis(op, 2, outputs)
    if not _plain_constant(weight) or bias_axis is None:
        space.freeze_op(op, f"the weight or bias of {op.describe()} is not a plain constant per channel")
        return
    positions = np.repeat(np.arange(inputs), outputs // inputs)
    if inputs == 1:  # one plane read by every filter: filters are as free as those of a conv_2d
        labels = space.fresh(outputs, op)
        space.labels[op.result] = labels
        space.freeze(space.of(x), f"{op.describe()} reads its only channel")
        space.reads.append(Read(op, 0, 1, 2, 0, 3, space.of(x), np.zeros(1, np.int64)))
    else:
        labels = space.of(x)[positions]
        space.hand_on(op.result, labels, [Flow(x, positions)])
    space.slice_constant(op, 1, 3, labels)
    if bias_axis >= 0:
        space.slice_constant(op, 2, bias_axis, labels)


# -- ops that keep channels apart ------------------------------------------------------------------------------------


def _pass(space: ChannelSpace, op: Op, index: int = 0) -> None:
    """Every result position depends on the same position of one operand."""
    x = op.operand(index)
    positions = np.arange(width(x))
    for result in op.results:
        space.hand_on(result, space.of(x), [Flow(x, positions)])


def _elementwise(space: ChannelSpace, op: Op) -> None:
    """Operands as wide as the result are coupled; constants are sliced; narrower ones are broadcast."""
    result = op.result
    channels = width(result)
    positions = np.arange(channels)
    labels: Labels | None = None
    flows = []
    for operand in (v for v in op.operands if v is not None and not v.is_constant):
        if width(operand) != channels:
            space.freeze(space.of(operand), f"{op.describe()} broadcasts '{operand.name}' over channels")
            flows.append(Flow(operand, np.zeros(channels if operand.shape else 0, np.int64)))
            continue
        flows.append(Flow(operand, positions))
        if labels is None:
            labels = space.of(operand)
        else:
            space.unite(labels, space.of(operand))
    if labels is None:
        space.freeze_op(op, f"{op.describe()} makes its channels by broadcasting")
        return
    for index, constant in enumerate(op.operands):
        if constant is not None and constant.is_constant and width(constant) == channels:
            _slice_last(space, op, index, labels)
    known = all(flow.positions.size == channels for flow in flows)  # a computed scalar belongs to no channel
    space.hand_on(result, labels, flows if known else [])


def _slice_last(space: ChannelSpace, op: Op, index: int, labels: Labels) -> None:
    """A constant with one position a channel along its last axis."""
    constant = op.operand(index)
    if not _plain_constant(constant):
        space.freeze(labels, f"'{constant.name}' is not a plain constant")
    space.slice_constant(op, index, constant.type.rank - 1, labels)


def _pad(space: ChannelSpace, op: Op) -> None:
    paddings = constant_ints(op.operand(1))
    value = op.optional_operand(2)
    if paddings is None or any(paddings[-2:]) or (value is not None and not value.is_constant):
        space.freeze_op(op, f"{op.describe()} pads along channels, or with what is only known at run time")
    else:
        _pass(space, op)


def _reduce(space: ChannelSpace, op: Op) -> None:
    x, axes = op.operand(0), constant_ints(op.operand(1))
    rank = x.type.rank
    if axes is None or not rank or rank - 1 in {axis % rank for axis in axes}:
        space.freeze_op(op, f"{op.describe()} reduces over channels")
    else:
        _pass(space, op)


def _transpose(space: ChannelSpace, op: Op) -> None:
    permutation = constant_ints(op.operand(1))
    if permutation is None or permutation[-1] % len(permutation) != len(permutation) - 1:
        space.freeze_op(op, f"{op.describe()} moves the channel axis")
    else:
        _pass(space, op)


def _reshape(space: ChannelSpace, op: Op) -> None:
    """The last axis stays, or takes in (gives up) axes before it: then its labels repeat."""
    x, result = op.operand(0), op.result
    before, after = width(x), width(result)
    if not before or not after or _moving_last(x) or _moving_last(result) or not _known_shape(op):
        space.freeze_op(op, f"{op.describe()} has a shape that is only known at run time")
    elif after % before == 0:
        positions = np.tile(np.arange(before), after // before)
        space.hand_on(result, space.of(x)[positions], [Flow(x, positions)])
    elif before % after == 0 and _regrouped(space, x, after):
        labels = space.of(x).reshape(-1, after)
        for row in labels[1:]:
            space.unite(labels[0], row)
        flows = [Flow(x, np.arange(i, i + after)) for i in range(0, before, after)]
        space.hand_on(result, labels[0], flows)
    else:
        space.freeze_op(op, f"{op.describe()} regroups channels")


def _regrouped(space: ChannelSpace, x: Value, after: int) -> bool:
    """True where the labels of `x` already repeat with the new width, so that no channel is split up."""
    labels = space.of(x).reshape(-1, after)
    return bool((labels == labels[0]).all())


def _moving_last(value: Value) -> bool:
    return value.type.signature is not None and value.type.signature[-1] == -1


def _known_shape(op: Op) -> bool:
    return op.opcode != "reshape" or op.optional_operand(1) is None or op.operand(1).is_constant


# -- ops that string channels together or take them apart ------------------------------------------------------------


def _concatenation(space: ChannelSpace, op: Op) -> None:
    parts = [op.operand(i) for i in range(len(op.operands))]
    rank = op.result.type.rank
    if op.attributes["axis"] % rank == rank - 1:
        total = width(op.result)
        flows, at = [], 0
        for part in parts:
            positions = np.full(total, -1, np.int64)
            positions[at : at + width(part)] = np.arange(width(part))
            flows.append(Flow(part, positions))
            at += width(part)
        space.hand_on(op.result, np.concatenate([space.of(part) for part in parts]), flows)
        return
    moving = [part for part in parts if not part.is_constant]
    labels = space.of(moving[0] if moving else parts[0])
    for part in moving[1:]:
        space.unite(labels, space.of(part))
    for index, part in enumerate(parts):
        if part.is_constant:
            _slice_last(space, op, index, labels)
    space.hand_on(op.result, labels, [Flow(part, np.arange(width(part))) for part in parts])


def _cut(space: ChannelSpace, x: Value, results: Sequence[Value], starts: Sequence[int]) -> None:
    labels = space.of(x)
    for result, start in zip(results, starts):
        positions = np.arange(start, start + width(result))
        space.hand_on(result, labels[positions], [Flow(x, positions)])


def _split(space: ChannelSpace, op: Op) -> None:
    x_index, axis_index = (1, 0) if op.opcode == "split" else (0, 2)
    x, axis = op.operand(x_index), constant_ints(op.operand(axis_index))
    fixed = axis is not None and (op.opcode == "split" or op.operand(1).is_constant)
    if not fixed or axis is None or _moving_last(x):
        space.freeze_op(op, f"{op.describe()} has an axis or sizes that are only known at run time")
    elif axis[0] % x.type.rank == x.type.rank - 1:
        ends = np.cumsum([width(result) for result in op.results])
        _cut(space, x, op.results, [0, *(int(end) for end in ends[:-1])])
    else:
        _pass(space, op, x_index)


def _slice(space: ChannelSpace, op: Op) -> None:
    begin, size = constant_ints(op.operand(1)), constant_ints(op.operand(2))
    if begin is None or size is None or _moving_last(op.operand(0)):
        space.freeze_op(op, f"{op.describe()} has bounds that are only known at run time")
    else:
        _cut(space, op.operand(0), op.results, [begin[-1]])


def _strided_slice(space: ChannelSpace, op: Op) -> None:
    """Handled where one entry stands for each axis and the channel axis is cut with stride 1."""
    x, a = op.operand(0), op.attributes
    begin, end, strides = (constant_ints(op.operand(i)) for i in (1, 2, 3))
    last = x.type.rank - 1
    odd = a["ellipsis_mask"] or a["new_axis_mask"] or a["offset"] or a["shrink_axis_mask"] >> last & 1
    if begin is None or end is None or strides is None or odd or len(begin) != last + 1 or strides[-1] != 1:
        space.freeze_op(op, f"{op.describe()} is more than a plain cut of known bounds")
        return
    start = 0 if a["begin_mask"] >> last & 1 else min(max(begin[-1] + (width(x) if begin[-1] < 0 else 0), 0), width(x))
    _cut(space, x, op.results, [start])


RULES: dict[str, Rule] = {
    "conv_2d": _conv_2d,
    "depthwise_conv_2d": _depthwise,
    "transpose_conv": _transpose_conv,
    "fully_connected": _fully_connected,
    "average_pool_2d": _pass,
    "max_pool_2d": _pass,
    "l2_pool_2d": _pass,
    "resize_bilinear": _pass,
    "resize_nearest_neighbor": _pass,
    "space_to_batch_nd": _pass,
    "batch_to_space_nd": _pass,
    "pad": _pad,
    "padv2": _pad,
    "mirror_pad": _pad,
    "mean": _reduce,
    "sum": _reduce,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "transpose": _transpose,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "concatenation": _concatenation,
    "split": _split,
    "split_v": _split,
    "slice": _slice,
    "strided_slice": _strided_slice,
}
