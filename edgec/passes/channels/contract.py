"""What an op demands of the order in which its values hold their channels, and how its constants follow a new order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ir.types import QuantParams
from edgec.ops.infer import constant_ints
from edgec.passes.layout.elementwise import CONVERSIONS, ELEMENTWISE

Order = np.ndarray  # which channel stands at each place
Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Contract:
    """How the channel orders of an op's values depend on each other.

    `tied` values share one order. A value in `free` has an order of its own, in which channels may move within each of
    so many equal groups. Values in neither keep the order they have. `constants` are (operand, axis, value): the slices
    of an operand along an axis follow the order of a value; `groups` are those of a grouped convolution's weights.
    """

    tied: tuple[Value, ...] = ()
    free: tuple[tuple[Value, int], ...] = ()
    constants: tuple[tuple[int, int, Value], ...] = ()
    groups: int = 1

    def follow(self, op: Op, orders: Mapping[Value, Order], builder: Builder) -> bool:
        """Permute the op's constants for the new orders of its values; False where none is concerned."""
        followed = False
        for index, axis, value in self.constants:
            order, constant = orders.get(value), op.optional_operand(index)
            if order is None or constant is None:
                continue
            op.set_operand(index, self._permuted(constant, axis, order, builder))
            followed = True
        return followed

    def _permuted(self, constant: Value, axis: int, order: Order, builder: Builder) -> Value:
        data = constant.array()
        if len(order) == data.shape[axis]:
            data = np.take(data, order, axis)
        else:  # input channels of a grouped convolution: the filters of a group follow the order within it
            size = data.shape[axis]
            per_group = np.split(data, self.groups)
            inner = [order[g * size : (g + 1) * size] - g * size for g in range(self.groups)]
            data = np.concatenate([np.take(part, o, axis) for part, o in zip(per_group, inner)])
        quant = _reordered_scales(constant.quant, axis, order)
        return builder.graph.constant(np.ascontiguousarray(data), constant.name, dtype=constant.dtype, quant=quant)


def _reordered_scales(quant: QuantParams | None, axis: int, order: Order) -> QuantParams | None:
    if quant is None or quant.axis != axis or len(quant.scale) != len(order):
        return quant

    def picked(numbers: tuple[Number, ...]) -> tuple[Number, ...]:
        return tuple(numbers[i] for i in order) if len(numbers) == len(order) else numbers

    return QuantParams(
        picked(quant.scale), picked(quant.zero_point), axis, picked(quant.minimum), picked(quant.maximum)
    )  # fmt: skip


def contract(op: Op) -> Contract | None:
    """The op's contract; None where all its values keep the order they have."""
    read = _CONTRACTS.get(op.opcode)
    values = [v for v in (*op.operands, *op.results) if v is not None]
    if read is None or op.intermediates or any(v.is_variable or v.sparsity is not None for v in values):
        return None
    if any(v.type.is_dynamic or v.dtype.is_opaque or not v.type.rank for v in (op.results)):
        return None
    return read(op)


def _own_constant(value: Value | None) -> bool:
    """True where a constant can be replaced without being stored twice."""
    return value is None or (value.is_constant and len(value.users) == 1)


def _convolution(op: Op) -> Contract | None:
    x, weight, bias = op.operand(0), op.operand(1), op.optional_operand(2)
    if not _own_constant(weight) or not (bias is None or bias.is_constant) or x.shape[3] % weight.shape[3]:
        return None
    groups = x.shape[3] // weight.shape[3]
    return Contract(
        free=((x, groups), (op.result, groups)), constants=((1, 3, x), (1, 0, op.result), (2, 0, op.result)),
        groups=groups,
    )  # fmt: skip


def _transpose_conv(op: Op) -> Contract | None:
    x, weight, bias = op.operand(2), op.operand(1), op.optional_operand(3)
    if not _own_constant(weight) or not (bias is None or bias.is_constant):
        return None
    constants = ((1, 3, x), (1, 0, op.result), (3, 0, op.result))
    return Contract(free=((x, 1), (op.result, 1)), constants=constants)


def _depthwise(op: Op) -> Contract | None:
    x, weight, bias = op.operand(0), op.operand(1), op.optional_operand(2)
    if not _own_constant(weight) or not (bias is None or bias.is_constant) or x.shape[3] != op.result.shape[3]:
        return None
    return Contract((x, op.result), constants=((1, 3, x), (2, 0, x)))


def _fully_connected(op: Op) -> Contract | None:
    x, weight, bias = op.operand(0), op.operand(1), op.optional_operand(2)
    if not _own_constant(weight) or not (bias is None or bias.is_constant):
        return None
    if op.attributes["weights_format"] != "DEFAULT" or not x.type.rank:
        return None
    units, features = weight.shape
    constants = [(1, 0, op.result), (2, 0, op.result)]
    free = [(op.result, 1)] if op.result.shape[-1] == units else []
    if x.shape[-1] == features:
        free.append((x, 1))
        constants.append((1, 1, x))
    return Contract(free=tuple(free), constants=tuple(constants))


def _elementwise(op: Op) -> Contract | None:
    """Operands with the result's channels are tied to it; constants with one value a channel follow."""
    result = op.result
    tied, constants = [result], []
    if op.opcode == "select" or _has_scales_along_axis(result):
        return None
    for index, value in enumerate(op.operands):
        if value is None or not value.type.rank or value.shape[-1] == 1:
            continue
        if value.shape[-1] != result.shape[-1] or _has_scales_along_axis(value):
            return None
        if value.is_constant:
            constants.append((index, value.type.rank - 1, result))
        else:
            tied.append(value)
    return Contract(tuple(tied), constants=tuple(constants))


def _has_scales_along_axis(value: Value) -> bool:
    return value.quant is not None and len(value.quant.scale) > 1


def _channelwise(op: Op) -> Contract | None:
    x = op.operand(0)
    return Contract((x, op.result)) if x.type.rank and x.shape[-1] == op.result.shape[-1] else None


def _pad(op: Op) -> Contract | None:
    paddings = constant_ints(op.operand(1))
    return None if paddings is None or any(paddings[-2:]) else _channelwise(op)


def _reduction(op: Op) -> Contract | None:
    """Over other axes the channels stay; over the channels their order is the same to the result."""
    x, axes = op.operand(0), constant_ints(op.operand(1))
    if axes is None or not x.type.rank:
        return None
    over_channels = any(axis % x.type.rank == x.type.rank - 1 for axis in axes)
    return Contract(free=((x, 1),)) if over_channels else _channelwise(op)


_CONTRACTS: dict[str, Callable[[Op], Contract | None]] = {
    **dict.fromkeys((*ELEMENTWISE, *CONVERSIONS), _elementwise),
    **dict.fromkeys(("average_pool_2d", "max_pool_2d", "l2_pool_2d", "resize_bilinear", "resize_nearest_neighbor"),
                    _channelwise),
    **dict.fromkeys(("softmax", "log_softmax", "l2_normalization"), _channelwise),
    **dict.fromkeys(("pad", "padv2", "mirror_pad"), _pad),
    **dict.fromkeys(("mean", "sum", "reduce_max", "reduce_min", "reduce_prod"), _reduction),
    "conv_2d": _convolution, "transpose_conv": _transpose_conv, "depthwise_conv_2d": _depthwise,
    "fully_connected": _fully_connected,
}  # fmt: skip
