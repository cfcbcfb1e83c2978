"""Ops on more dimensions than their kernels take run on merged ones, between two reshapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.legalize.rule import TargetRule, replace_named
from edgec.target.constraints import rank_limit
from edgec.target.target import Target

REDUCTIONS = ("mean", "sum", "reduce_max", "reduce_min", "reduce_prod")


def _too_deep(op: Op, value: Value, merged: int, target: Target) -> bool:
    """True where the rank of `value` exceeds the limit and `merged` dimensions do not."""
    limit = rank_limit(op.opcode, target)
    return limit is not None and value.type.rank > limit >= merged and not value.type.is_dynamic


def reshaped(value: Value, shape: Sequence[int], builder: Builder) -> Value:
    """The value in another shape; itself where it has that shape."""
    if value.shape == tuple(shape):
        return value
    return builder.emit("reshape", [value, builder.ints(list(shape))], new_shape=tuple(shape), quant=value.quant)


def merged_permutation(shape: Sequence[int], permutation: Sequence[int]) -> tuple[list[int], list[int]]:
    """(shape, permutation) of the same transpose without axes of size 1 and with axes merged that stay neighbours."""
    axes = [axis for axis in permutation if shape[axis] != 1]
    wide = sorted(axes)
    follows = {axis: wide[i + 1] for i, axis in enumerate(wide[:-1])}  # the next axis that is wider than 1
    groups: list[list[int]] = []
    for axis in axes:
        if groups and follows.get(groups[-1][-1]) == axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    order = sorted(range(len(groups)), key=lambda i: groups[i][0])
    sizes = [math.prod(shape[axis] for axis in groups[i]) for i in order]
    return sizes or [1], [order.index(i) for i in range(len(groups))] or [0]


class MergeTransposeDimensions(TargetRule):
    """Transpose fewer dimensions: those of size 1 go, those that stay neighbours become one.

    Before:  %1 = transpose(%0, [0, 1, 4, 2, 5, 3])  1x8x2x4x2x4      After:  reshape, transpose of rank 5, reshape
    """

    anchors: ClassVar[tuple[str, ...]] = ("transpose",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high and merging helps."""
        permutation = constant_ints(op.operand(1))
        if permutation is None:
            return False
        sizes, _ = merged_permutation(op.operand(0).shape, permutation)
        return _too_deep(op, op.operand(0), len(sizes), target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """reshape, transpose, reshape."""
        x, permutation = op.operand(0), constant_ints(op.operand(1)) or []
        rank = x.type.rank
        sizes, order = merged_permutation(x.shape, [axis % rank for axis in permutation])
        value = builder.emit("transpose", [reshaped(x, sizes, builder), builder.ints(order)], quant=x.quant)
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


class MergeConcatenationDimensions(TargetRule):
    """Join along the second of three dimensions: all before the axis, the axis, all behind it."""

    anchors: ClassVar[tuple[str, ...]] = ("concatenation",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high."""
        return _too_deep(op, op.operand(0), 3, target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """A reshape before each operand, one behind the concatenation."""
        axis = op.attributes["axis"] % op.result.type.rank
        parts = []
        for index in range(len(op.operands)):
            value = op.operand(index)
            parts.append(reshaped(value, _around(value.shape, axis), builder))
        activation = op.attributes["fused_activation_function"]
        joined = builder.emit(
            "concatenation", parts, axis=1, quant=op.result.quant, fused_activation_function=activation
        )
        replace_named(op, builder, reshaped(joined, op.result.shape, builder))


def _around(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


class MergeReductionDimensions(TargetRule):
    """Reduce neighbouring axes as one, and keep neighbouring others as one."""

    anchors: ClassVar[tuple[str, ...]] = REDUCTIONS

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high and merging helps."""
        axes = constant_ints(op.operand(1))
        return axes is not None and _too_deep(op, op.operand(0), len(_runs(op.operand(0).shape, axes)), target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """reshape, reduce, reshape."""
        x, axes = op.operand(0), constant_ints(op.operand(1)) or []
        runs = _runs(x.shape, axes)
        value = reshaped(x, [size for size, _ in runs], builder)
        reduced = [i for i, (_, is_reduced) in enumerate(runs) if is_reduced]
        value = builder.emit(op.opcode, [value, builder.ints(reduced)], quant=op.result.quant, keep_dims=False)
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


def _runs(shape: Sequence[int], axes: Sequence[int]) -> list[tuple[int, bool]]:
    """(size, is reduced) of runs of neighbouring axes that are treated alike."""
    reduced = {axis % len(shape) for axis in axes}
    runs: list[tuple[int, bool]] = []
    for axis, size in enumerate(shape):
        if runs and runs[-1][1] == (axis in reduced):
            runs[-1] = (runs[-1][0] * size, runs[-1][1])
        else:
            runs.append((size, axis in reduced))
    return runs


class MergeSoftmaxDimensions(TargetRule):
    """Take the softmax over the last of two dimensions."""

    anchors: ClassVar[tuple[str, ...]] = ("softmax", "log_softmax")

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high."""
        return _too_deep(op, op.operand(0), 2, target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """reshape, softmax, reshape."""
        x = op.operand(0)
        value = reshaped(x, (math.prod(x.shape[:-1]), x.shape[-1]), builder)
        value = builder.emit(op.opcode, [value], quant=op.result.quant, **op.attributes)
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


class MergeSliceDimensions(TargetRule):
    """Slice and pad with untouched neighbouring axes merged."""

    anchors: ClassVar[tuple[str, ...]] = ("slice", "strided_slice", "pad", "padv2", "mirror_pad")

    def needed(self, op: Op, target: Target) -> bool:
        """Where the rank is too high and merging helps."""
        plan = _touched(op)
        return plan is not None and _too_deep(op, op.operand(0), len(_kept_apart(op, plan)), target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """reshape, the op on fewer axes, reshape."""
        x, touched = op.operand(0), _touched(op) or []
        groups = _kept_apart(op, touched)
        value = reshaped(x, [math.prod(x.shape[a] for a in group) for group in groups], builder)
        parameters = [_merged_parameter(op, index, groups, builder) for index in _parameter_indices(op)]
        extra = [op.operand(2)] if op.opcode == "padv2" else []
        value = builder.emit(op.opcode, [value, *parameters, *extra], quant=op.result.quant, **op.attributes)
        replace_named(op, builder, reshaped(value, op.result.shape, builder))


_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _parameter_indices(op: Op) -> tuple[int, ...]:
    return {"slice": (1, 2), "strided_slice": (1, 2, 3)}.get(op.opcode, (1,))


def _touched(op: Op) -> list[bool] | None:
    """For each axis whether the op changes it; None where that is not known or masks are in play."""
    x, given = op.operand(0), [constant_ints(op.operand(i)) for i in _parameter_indices(op)]
    rank = x.type.rank
    masked = op.opcode == "strided_slice" and any(op.attributes[mask] for mask in _MASKS)
    if masked or any(values is None for values in given):
        return None
    first = given[0] or []
    if op.opcode in ("pad", "padv2", "mirror_pad"):
        return [any(first[2 * axis : 2 * axis + 2]) for axis in range(rank)]
    if len(first) != rank:
        return None
    strides = given[2] if op.opcode == "strided_slice" else [1] * rank
    assert strides is not None
    return [op.result.shape[axis] != x.shape[axis] or strides[axis] != 1 for axis in range(rank)]


def _kept_apart(op: Op, touched: Sequence[bool]) -> list[list[int]]:
    """Axes in groups: each touched one alone, untouched neighbours together."""
    groups: list[list[int]] = []
    for axis, is_touched in enumerate(touched):
        if groups and not is_touched and not touched[groups[-1][-1]]:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    return groups


def _merged_parameter(op: Op, index: int, groups: Sequence[Sequence[int]], builder: Builder) -> Value:
    values, shape = constant_ints(op.operand(index)) or [], op.operand(0).shape
    if op.opcode in ("pad", "padv2", "mirror_pad"):
        pairs = [values[2 * group[0] : 2 * group[0] + 2] for group in groups]
        return builder.ints(pairs)
    is_size = index == 2  # sizes of a slice, ends of a strided_slice: the whole of merged axes
    whole = [math.prod(shape[a] for a in group) if is_size and len(group) > 1 else values[group[0]] for group in groups]
    return builder.ints(whole)


RULES = (
    MergeTransposeDimensions(), MergeConcatenationDimensions(), MergeReductionDimensions(), MergeSoftmaxDimensions(),
    MergeSliceDimensions(),
)  # fmt: skip
