"""What constant channels add to a weighted op that reads them, folded into its bias."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgec.compress.channel_space import Read
from edgec.compress.coupling import Coupling
from edgec.compress.probe import Constants
from edgec.compress.weights import centred, is_hybrid, pads, zero_bias, zero_point
from edgec.ir.graph import Graph, Value


def droppable(read: Read, constants: Constants | None) -> np.ndarray:
    """bool: columns of `read` that can go without any change of the op's results but through its bias.

    A column of zeros can go whatever the channel holds. A channel of real zero can go. Another constant can go where
    no window reaches over the border (there it would count for less) and the bias has room for it.
    """
    op, x = read.op, read.op.operand(read.operand)
    if read.op.opcode == "depthwise_conv_2d":
        return np.zeros(read.labels.size, bool)
    unread: np.ndarray = np.asarray(~centred(op.operand(read.weight)).any(axis=_other_axes(read)))
    if is_hybrid(op):
        unread[:] = False  # the channel takes part in finding the input's scale
    if constants is None:
        return unread
    known = constants.known[read.positions]
    is_zero: np.ndarray = known & (constants.stored[read.positions] == zero_point(x))
    if is_hybrid(op) or op.opcode == "transpose_conv" or pads(op) or not _bias_has_room(read, constants):
        return np.asarray(unread | is_zero)
    return np.asarray(unread | known)


def _other_axes(read: Read) -> tuple[int, ...]:
    return tuple(axis for axis in range(read.op.operand(read.weight).type.rank) if axis != read.in_axis)


def _contributions(read: Read, constants: Constants) -> np.ndarray:
    """What each column adds to each output's accumulator: weight times constant; [outputs, columns], 0 if unknown."""
    x, weights = read.op.operand(read.operand), centred(read.op.operand(read.weight))
    summed = np.moveaxis(weights, (read.out_axis, read.in_axis), (0, -1))
    summed = summed.reshape(summed.shape[0], -1, summed.shape[-1]).sum(axis=1)
    stored = constants.stored[read.positions].astype(summed.dtype)
    held = np.where(constants.known[read.positions], stored - zero_point(x), 0)
    return np.asarray(summed * held)


def _bias_has_room(read: Read, constants: Constants) -> bool:
    """True where no sum of contributions can leave the bias's integer type."""
    x = read.op.operand(read.operand)
    if x.dtype.is_float:
        return True
    bias = read.op.optional_operand(read.bias)
    limit = 2 ** (bias.dtype.bits - 1) if bias is not None else 2**31
    largest = np.abs(_contributions(read, constants)).sum(axis=1)
    if bias is not None:
        largest = largest + np.abs(bias.array().reshape(-1).astype(np.float64))
    return bool((largest < limit).all())


def fold_into_bias(graph: Graph, coupling: Coupling, constants: Mapping[Value, Constants], removed: np.ndarray) -> None:
    """Add what the channels marked in `removed` (bool [coupling.count]) contribute to the biases of their readers.

    A reader without a bias gets one. A new bias is the op's own, so that a shared one stays as it is for others.
    """
    renewed: dict[Value | None, Value] = {}
    for read in coupling.reads:
        known = constants.get(read.op.operand(read.operand))
        dropped = removed[read.labels]
        if known is None or not dropped.any():
            continue
        total = np.where(dropped, _contributions(read, known), 0).sum(axis=1)
        if total.any():
            old = read.op.optional_operand(read.bias)
            renewed[old] = _add_to_bias(coupling, read, total)
    if renewed:
        graph.declared = tuple(renewed.get(value, value) for value in graph.declared)


def _add_to_bias(coupling: Coupling, read: Read, total: np.ndarray) -> Value:
    op, old = read.op, read.op.optional_operand(read.bias)
    if old is None:
        coupling.slices[op, read.bias] = {0: coupling.slices[op, read.weight][read.out_axis]}
    base = zero_bias(op, read.operand, read.out_axis) if old is None else old
    summed = base.array().reshape(-1).astype(total.dtype) + total
    folded = Value(base.name, base.type, summed.astype(base.array().dtype).reshape(base.shape), extra=base.extra)
    operands = [*op.operands, *([None] * (read.bias + 1 - len(op.operands)))]
    operands[read.bias] = folded
    op.set_operands(operands)
    return folded
