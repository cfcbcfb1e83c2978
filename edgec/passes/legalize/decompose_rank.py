"""Ops on more dimensions than their kernels take, even merged ones, become several ops of few dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.legalize.merge_dimensions import REDUCTIONS, merged_permutation, reshaped
from edgec.passes.legalize.rule import TargetRule, replace_named
from edgec.target.constraints import rank_limit
from edgec.target.target import Target

ALONG_ONE_AXIS = 3  # dimensions that it takes: those before the axis, the axis, those behind it
MOVING_ONE_AXIS = 4


def _is_too_deep(op: Op, target: Target, needed: int, value: Value | None = None) -> bool:
    """True where the kernel takes fewer dimensions than the op has (merging rules have had their turn)."""
    limit = rank_limit(op.opcode, target) or target.max_rank
    value = value or op.operand(0)
    return limit is not None and value.type.rank > limit >= needed and not value.type.is_dynamic


class TransposeInSteps(TargetRule):
    """Transpose a few axes at a time.

    Before:  %1 = transpose(%0, reverse) of rank 7      After:  reshape, transpose of rank 6, reshape, transpose, …

    Each step brings as many of the wanted axes to the front as it can with the dimensions the kernel takes; axes that
    stay neighbours are one dimension.
    """

    anchors: ClassVar[tuple[str, ...]] = ("transpose",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high."""
        return constant_ints(op.operand(1)) is not None and _is_too_deep(op, target, MOVING_ONE_AXIS)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """Steps, each a reshape and a transpose."""
        x = op.operand(0)
        limit = rank_limit(op.opcode, target) or MOVING_ONE_AXIS
        wanted = [axis % x.type.rank for axis in constant_ints(op.operand(1)) or []]
        value, order = x, list(range(x.type.rank))
        while order != wanted:
            shape = [x.shape[axis] for axis in order]
            following = _next_order(shape, order, wanted, limit)
            sizes, permutation = merged_permutation(shape, [order.index(axis) for axis in following])
            moved = builder.emit(
                "transpose", [reshaped(value, sizes, builder), builder.ints(permutation)], quant=x.quant
            )
            value, order = moved, following
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


def _next_order(shape: Sequence[int], order: list[int], wanted: list[int], limit: int) -> list[int]:
    """The order with the longest part of `wanted` in front to which one transpose within the limit leads."""
    for taken in range(len(wanted), 0, -1):
        front = wanted[:taken]
        following = front + [axis for axis in order if axis not in front]
        permutation = [order.index(axis) for axis in following]
        if following != order and len(merged_permutation(shape, permutation)[0]) <= limit:
            return following
    raise AssertionError(f"no axis of {order} can be moved towards {wanted} with {limit} dimensions")


class ReduceLastAxis(TargetRule):
    """Reduce the second of two dimensions, behind a transpose of the reduced axes to the end."""

    anchors: ClassVar[tuple[str, ...]] = REDUCTIONS

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high."""
        return constant_ints(op.operand(1)) is not None and _is_too_deep(op, target, 2)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """transpose, reshape, reduce, reshape."""
        x = op.operand(0)
        reduced = sorted({axis % x.type.rank for axis in constant_ints(op.operand(1)) or []})
        kept = [axis for axis in range(x.type.rank) if axis not in reduced]
        value = builder.emit("transpose", [x, builder.ints([*kept, *reduced])], quant=x.quant)
        value = reshaped(value, (math.prod(x.shape[a] for a in kept), math.prod(x.shape[a] for a in reduced)), builder)
        value = builder.emit(op.opcode, [value, builder.ints([1])], quant=op.result.quant, keep_dims=False)
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


class SliceInSteps(TargetRule):
    """Slice one axis after the other, each as the second of three dimensions."""

    anchors: ClassVar[tuple[str, ...]] = ("slice", "strided_slice")

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high and the bounds are known."""
        return _is_too_deep(op, target, ALONG_ONE_AXIS) and _ranges(op) is not None

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """A reshape and a strided_slice for each axis that is cut."""
        x = op.operand(0)
        value, shape = x, list(x.shape)
        for axis, taken in enumerate(_ranges(op) or []):
            if taken == range(shape[axis]):
                continue
            around = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
            end = taken.stop if taken.stop >= 0 else -shape[axis] - 1
            bounds = [[0, taken.start, 0], [around[0], end, around[2]], [1, taken.step, 1]]
            operands = [reshaped(value, around, builder), *map(builder.ints, bounds)]
            value = builder.emit("strided_slice", operands, quant=x.quant)
            shape[axis] = len(taken)
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


def _ranges(op: Op) -> list[range] | None:
    """The positions taken along each axis; None where they are not known, or new axes are in play."""
    x, a = op.operand(0), op.attributes
    parameters = [constant_ints(op.operand(i)) for i in range(1, len(op.operands))]
    if any(values is None for values in parameters):
        return None
    given = [values or [] for values in parameters]
    if op.opcode == "slice":
        return [range(b, size if n == -1 else b + n) for b, n, size in zip(given[0], given[1], x.shape)]
    if a["ellipsis_mask"] or a["new_axis_mask"] or a["offset"]:
        return None
    taken = [range(size) for size in x.shape]
    for axis, (begin, end, step) in enumerate(zip(*given)):
        size = x.shape[axis]
        if a["shrink_axis_mask"] >> axis & 1:
            begin += size if begin < 0 else 0
            taken[axis] = range(begin, begin + 1)
            continue
        first = None if a["begin_mask"] >> axis & 1 else begin
        last = None if a["end_mask"] >> axis & 1 else end
        taken[axis] = range(*slice(first, last, step).indices(size))
    return taken


class PadInSteps(TargetRule):
    """Pad one axis after the other, each as the second of three dimensions; later axes pad what earlier ones added."""

    anchors: ClassVar[tuple[str, ...]] = ("pad", "padv2", "mirror_pad")

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high."""
        return constant_ints(op.operand(1)) is not None and _is_too_deep(op, target, ALONG_ONE_AXIS)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """A reshape and a pad for each axis that is padded."""
        x, amounts = op.operand(0), constant_ints(op.operand(1)) or []
        value, shape = x, list(x.shape)
        for axis in range(x.type.rank):
            before, after = amounts[2 * axis : 2 * axis + 2]
            if not before and not after:
                continue
            around = (math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
            paddings = builder.ints([[0, 0], [before, after], [0, 0]])
            operands = [reshaped(value, around, builder), paddings, *op.operands[2:]]
            value = builder.emit(op.opcode, operands, quant=x.quant, **op.attributes)
            shape[axis] += before + after
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


class MergeSplitDimensions(TargetRule):
    """Split the second of three dimensions: all before the axis, the axis, all behind it."""

    anchors: ClassVar[tuple[str, ...]] = ("split", "split_v")

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high."""
        x, axis = op.operand(1 if op.opcode == "split" else 0), self._axis(op)
        return axis is not None and _is_too_deep(op, target, ALONG_ONE_AXIS, x)

    def _axis(self, op: Op) -> int | None:
        given = constant_ints(op.operand(0 if op.opcode == "split" else 2))
        return given[0] if given else None

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """reshape, split, a reshape behind each result."""
        index = 1 if op.opcode == "split" else 0
        x = op.operand(index)
        axis = (self._axis(op) or 0) % x.type.rank
        flat = reshaped(x, (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])), builder)
        place = builder.ints(1)
        operands = [place, flat] if op.opcode == "split" else [flat, op.operand(1), place]
        parts = builder.emit_op(op.opcode, operands, quant=x.quant, **op.attributes).results
        values = [reshaped(part, result.shape, builder) for part, result in zip(parts, op.results)]
        for value, result in zip(values, op.results):
            value.name = result.name
        builder.graph.replace(op, values)


class MergeFullyConnectedDimensions(TargetRule):
    """Let a fully connected layer that keeps its dimensions work on rows."""

    anchors: ClassVar[tuple[str, ...]] = ("fully_connected",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high."""
        return bool(op.attributes["keep_num_dims"]) and _is_too_deep(op, target, 2)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """reshape, fully_connected, reshape."""
        x = op.operand(0)
        rows = reshaped(x, (math.prod(x.shape[:-1]), x.shape[-1]), builder)
        attributes = {**op.attributes, "keep_num_dims": False}
        value = builder.emit("fully_connected", [rows, *op.operands[1:]], quant=op.result.quant, **attributes)
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


RULES = (
    TransposeInSteps(), SliceInSteps(), PadInSteps(), MergeSplitDimensions(), MergeFullyConnectedDimensions(),
)  # fmt: skip
BEFORE_TRANSPOSES = (ReduceLastAxis(),)
