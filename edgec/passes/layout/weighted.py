"""Ops with weights, pools and resizes: height and width stay where they are; channels may stand in any order.

A permutation of channels moves into the weights, or through ops that treat every channel alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ir.types import QuantParams
from edgec.passes.layout.emitter import Emitter, reordered, reordered_along
from edgec.passes.layout.part import MatrixPart, Part, Slot, Space, SpacePart
from edgec.passes.layout.rule import LayoutRule, emit_like, operand_slot, order_within, result_slots
from edgec.passes.layout.storage_order import StorageOrder


def _channel_order(part: Part, dim: int) -> StorageOrder:
    """In which order the channels are stored; empty where each stands in its place."""
    assert isinstance(part, SpacePart)
    order = order_within(part, dim)
    return order if len(order) > 1 else ()


def _permuted(value: Value | None, axis: int, order: StorageOrder, emitter: Emitter) -> Value | None:
    """A constant with the slices along an axis in another order, their scales with them."""
    if value is None or not order:
        return value
    quant = value.quant
    if quant is not None and quant.axis == axis and len(quant.scale) > 1:
        pick = [int(p) for p in reordered(np.arange(value.shape[axis]), order)]
        ranges = [tuple(r[p] for p in pick) if len(r) == len(pick) else r for r in (quant.minimum, quant.maximum)]
        quant = QuantParams(
            tuple(quant.scale[p] for p in pick), tuple(quant.zero_point[p] for p in pick), axis, *ranges
        )
    data = reordered_along(value.array(), axis, order)
    return emitter.graph.constant(data, value.name, dtype=value.dtype, quant=quant)


def _is_plain_constant(value: Value | None) -> bool:
    return value is None or (value.is_constant and value.sparsity is None)


class Convolution(LayoutRule):
    """`conv_2d` of one group: reads and writes channels in any order, by permuted weights."""

    opcodes: ClassVar[tuple[str, ...]] = ("conv_2d",)

    def parts(self, op: Op) -> list[Part] | None:
        """One part that reads, one that writes."""
        x, weight = op.operand(0), op.operand(1)
        if x.shape[3] != weight.shape[3] or not all(_is_plain_constant(v) for v in op.operands[1:]):
            return None
        read = SpacePart(op, [operand_slot(op, 0)], Space((x.shape,), leading=3))
        return [read, SpacePart(op, result_slots(op), Space((op.result.shape,), leading=3))]

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Permute input and output channels of the weights."""
        read, written = parts[0], parts[1]
        x, weight = op.operand(0), op.operand(1)
        outputs = _channel_order(written, 3)
        new_weight = _permuted(weight, 3, _channel_order(read, 3), emitter)
        new_weight = _permuted(new_weight, 0, outputs, emitter)
        bias = _permuted(op.optional_operand(2), 0, outputs, emitter)
        operands = [emitter.fetch(x, read.mode.orders[0], x.shape), new_weight, bias][: len(op.operands)]
        emitter.hold(op.result, written.mode.orders[0], emit_like(op, operands, emitter)[0])


class FullyConnected(LayoutRule):
    """`fully_connected`: reads features and writes units in any order, by permuted weights."""

    opcodes: ClassVar[tuple[str, ...]] = ("fully_connected",)

    def parts(self, op: Op) -> list[Part] | None:
        """One part that reads rows of features, one that writes rows of units."""
        x, weight = op.operand(0), op.operand(1)
        if op.attributes["weights_format"] != "DEFAULT" or not all(_is_plain_constant(v) for v in op.operands[1:]):
            return None
        units, features = weight.shape
        rows = x.type.elements // features
        read = SpacePart(op, [operand_slot(op, 0)], Space(((rows, features),), leading=1))
        return [read, SpacePart(op, result_slots(op), Space(((rows, units),), leading=1))]

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Permute columns for the features and rows for the units."""
        read, written = parts[0], parts[1]
        x, weight = op.operand(0), op.operand(1)
        features = weight.shape[1]
        columns, rows = _channel_order(read, 1), _channel_order(written, 1)
        new_weight = _permuted(_permuted(weight, 1, columns, emitter), 0, rows, emitter)
        bias = _permuted(op.optional_operand(2), 0, rows, emitter)
        shape = x.shape if not columns or op.attributes["keep_num_dims"] else (-1, features)
        shape = tuple(x.type.elements // features if size == -1 else size for size in shape)
        operands = [emitter.fetch(x, read.mode.orders[0], shape), new_weight, bias][: len(op.operands)]
        emitter.hold(op.result, written.mode.orders[0], emit_like(op, operands, emitter)[0])


class Channelwise(LayoutRule):
    """Ops that treat every channel alike: depthwise convolutions of multiplier 1, pools, resizes."""

    opcodes: ClassVar[tuple[str, ...]] = (
        "depthwise_conv_2d", "average_pool_2d", "max_pool_2d", "l2_pool_2d", "resize_bilinear",
        "resize_nearest_neighbor",
    )  # fmt: skip

    def parts(self, op: Op) -> list[Part] | None:
        """One part: channels come out as they went in."""
        x = op.operand(0)
        if op.opcode == "depthwise_conv_2d" and not all(_is_plain_constant(v) for v in op.operands[1:]):
            return None
        if x.shape[3] != op.result.shape[3]:
            return None
        space = Space((x.shape, op.result.shape), leading=3)
        return [SpacePart(op, [operand_slot(op, 0), *result_slots(op)], space)]

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Permute the channels of the weights, if there are any."""
        part, x = parts[0], op.operand(0)
        operands: list[Value | None] = [emitter.fetch(x, part.mode.orders[0], x.shape), *op.operands[1:]]
        if op.opcode == "depthwise_conv_2d":
            order = _channel_order(part, 3)
            operands[1] = _permuted(op.operand(1), 3, order, emitter)
            operands[2:] = [_permuted(bias, 0, order, emitter) for bias in operands[2:]]
        emitter.hold(op.result, part.mode.orders[1], emit_like(op, operands, emitter)[0])


class BatchedProduct(LayoutRule):
    """`batch_matmul`: the right matrix may come transposed, the left one where it is said to be already.

    XNNPACK takes no transposed left matrix, so none is made.
    """

    opcodes: ClassVar[tuple[str, ...]] = ("batch_matmul",)
    _FLAGS: ClassVar[tuple[str, str]] = ("adj_x", "adj_y")

    def parts(self, op: Op) -> list[Part] | None:
        """A part for each operand that may be swapped."""
        free = [1] if not op.attributes["adj_x"] else [0, 1]
        return [MatrixPart(op, [operand_slot(op, i)]) for i in free if not op.operand(i).is_constant] or None

    def write(self, op: Op, parts: Sequence[Part], emitter: Emitter) -> None:
        """Fetch swapped operands and turn their flags."""
        operands: list[Value | None] = list(op.operands)
        flags = {name: op.attributes[name] for name in self._FLAGS}
        for part in parts:
            if not isinstance(part, MatrixPart) or part.is_as_written:
                continue
            slot: Slot = part.slots[0]
            assert slot.operand is not None
            shape = [slot.value.shape[axis] for axis in part.swap]
            operands[slot.operand] = emitter.fetch(slot.value, part.mode.orders[0], shape)
            flags[self._FLAGS[slot.operand]] = not flags[self._FLAGS[slot.operand]]
        result = emit_like(op, operands, emitter, **flags)[0]
        emitter.hold(op.result, parts[-1].mode.orders[0], result)


RULES = (Convolution(), FullyConnected(), Channelwise(), BatchedProduct())
