"""Ops that join, cut, pad, repeat or reduce along axes: the axes follow the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.layout.emitter import Emitter
from edgec.passes.layout.part import Part, Space, SpacePart
from edgec.passes.layout.placement import Placement
from edgec.passes.layout.rule import SpaceRule, emit_like, fetch_placed, operand_slot, result_slots, with_placed


def _axes(op: Op, index: int, rank: int) -> list[int] | None:
    """Non-negative axes from a constant operand."""
    axes = constant_ints(op.optional_operand(index))
    return None if axes is None else sorted({axis % rank for axis in axes}) if rank else []


def _ints_like(
    values: Sequence[int] | np.ndarray | int, old: Value, emitter: Emitter, shape: Sequence[int] | None = None
) -> Value:
    """A parameter of the dtype of the old one."""
    data = np.asarray(values, old.dtype.numpy)
    return emitter.builder.constant(data if shape is None else data.reshape(shape), old.dtype)


def _part(op: Op, operands: Sequence[int], shapes: Sequence[Sequence[int]], whole: Sequence[int] = (),
          *, trailing: int = 0) -> list[Part]:  # fmt: skip
    slots = [*(operand_slot(op, i) for i in operands), *result_slots(op)]
    space = Space(tuple(tuple(shape) for shape in shapes), frozenset(whole), trailing=trailing)
    return [SpacePart(op, slots, space)]


class Concatenation(SpaceRule):
    """`concatenation` and `pack`."""

    opcodes: ClassVar[tuple[str, ...]] = ("concatenation", "pack")

    def parts(self, op: Op) -> list[Part] | None:
        """The result's space; packed operands have size 1 along the new axis."""
        result = op.result
        axis = op.attributes["axis"] % result.type.rank
        shapes = [op.operand(i).shape for i in range(len(op.operands))]
        if op.opcode == "pack":
            shapes = [(*shape[:axis], 1, *shape[axis:]) for shape in shapes]
        if result.shape[axis] == 1:
            return None
        return _part(op, range(len(shapes)), [*shapes, result.shape], [axis])

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """The axis where its dimension stands."""
        axis = placement.axis(op.attributes["axis"] % op.result.type.rank)
        fetched = fetch_placed(part, placement, emitter, without=axis if op.opcode == "pack" else None)
        return emit_like(op, with_placed(op, fetched), emitter, axis=axis)


class Split(SpaceRule):
    """`split`, `split_v` and `unpack`."""

    opcodes: ClassVar[tuple[str, ...]] = ("split", "split_v", "unpack")
    _X: ClassVar[dict[str, int]] = {"split": 1, "split_v": 0, "unpack": 0}

    def parts(self, op: Op) -> list[Part] | None:
        """The operand's space; unpacked results have size 1 along the axis."""
        x = op.operand(self._X[op.opcode])
        axis = self._dim(op)
        if axis is None or x.shape[axis] == 1:
            return None
        shapes = [result.shape for result in op.results]
        if op.opcode == "unpack":
            shapes = [(*shape[:axis], 1, *shape[axis:]) for shape in shapes]
        return _part(op, [self._X[op.opcode]], [x.shape, *shapes], [axis])

    def _dim(self, op: Op) -> int | None:
        rank = op.operand(self._X[op.opcode]).type.rank
        if op.opcode == "unpack":
            return int(op.attributes["axis"]) % rank
        axes = _axes(op, 0 if op.opcode == "split" else 2, rank)
        return axes[0] if axes else None

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """The axis where its dimension stands."""
        dim = self._dim(op)
        assert dim is not None
        axis = placement.axis(dim)
        fetched = fetch_placed(part, placement, emitter)
        if op.opcode == "unpack":
            return emit_like(op, with_placed(op, fetched), emitter, axis=axis)
        index = 0 if op.opcode == "split" else 2
        old = op.operand(index)
        return emit_like(op, with_placed(op, fetched, {index: _ints_like(axis, old, emitter, old.shape)}), emitter)


class Slice(SpaceRule):
    """`slice` with constant bounds."""

    opcodes: ClassVar[tuple[str, ...]] = ("slice",)

    def parts(self, op: Op) -> list[Part] | None:
        """The operand's space."""
        x = op.operand(0)
        if constant_ints(op.operand(1)) is None or constant_ints(op.operand(2)) is None:
            return None
        cut = [d for d, (a, b) in enumerate(zip(x.shape, op.result.shape)) if a != b]
        return _part(op, [0], [x.shape, op.result.shape], cut) if cut else None

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """Begin and size by axis."""
        begin = placement.spread(constant_ints(op.operand(1)) or [], 0)
        bounds = {
            1: _ints_like(begin, op.operand(1), emitter),
            2: _ints_like(placement.shape(1), op.operand(2), emitter),
        }
        return emit_like(op, with_placed(op, fetch_placed(part, placement, emitter), bounds), emitter)


class StridedSlice(SpaceRule):
    """`strided_slice` with constant bounds and forward steps; dropped axes included, new ones not."""

    opcodes: ClassVar[tuple[str, ...]] = ("strided_slice",)

    def parts(self, op: Op) -> list[Part] | None:
        """The operand's space; a dropped axis has size 1 in the result."""
        x, bounds = op.operand(0), strided_bounds(op)
        if bounds is None:
            return None
        taken = [len(range(*b)) for b in bounds]
        worked = [d for d, size in enumerate(x.shape) if taken[d] != size]
        dropped = self._dropped(op)
        shape = [1 if d in dropped else taken[d] for d in range(x.type.rank)]
        if tuple(s for d, s in enumerate(shape) if d not in dropped) != op.result.shape:
            return None
        return _part(op, [0], [x.shape, shape], [*worked, *dropped])

    def _dropped(self, op: Op) -> set[int]:
        return {d for d in range(op.operand(0).type.rank) if op.attributes["shrink_axis_mask"] >> d & 1}

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """Begin, end and stride by axis, without masks but for dropped axes."""
        bounds = strided_bounds(op)
        assert bounds is not None
        shape = placement.shape(0)
        dropped = placement.axes_of(sorted(self._dropped(op)))
        begin = placement.spread([b[0] for b in bounds], 0)
        ends = placement.spread([b[1] for b in bounds], -1)
        end = [size if e == -1 else e for size, e in zip(shape, ends)]
        stride = placement.spread([b[2] for b in bounds], 1)
        parameters = {i: _ints_like(v, op.operand(i), emitter) for i, v in ((1, begin), (2, end), (3, stride))}
        return emit_like(
            op, with_placed(op, fetch_placed(part, placement, emitter), parameters), emitter,
            begin_mask=0, end_mask=0, shrink_axis_mask=sum(1 << axis for axis in dropped),
        )  # fmt: skip


def strided_bounds(op: Op) -> list[tuple[int, int, int]] | None:
    """(begin, end, stride) for every dimension, None for forms that are left alone."""
    x, a = op.operand(0), op.attributes
    given = [constant_ints(op.operand(i)) for i in (1, 2, 3)]
    if a["ellipsis_mask"] or a["new_axis_mask"] or a["offset"] or None in given:
        return None
    begins, ends, strides = (v or [] for v in given)
    if any(s < 1 for s in strides):
        return None
    bounds = []
    for d, size in enumerate(x.shape):
        if d >= len(begins):
            bounds.append((0, size, 1))
            continue
        begin = 0 if a["begin_mask"] >> d & 1 else _clamped(begins[d], size)
        end = size if a["end_mask"] >> d & 1 else _clamped(ends[d], size)
        shrunk = a["shrink_axis_mask"] >> d & 1
        bounds.append((begin, begin + 1, 1) if shrunk else (begin, max(end, begin), strides[d]))
    return bounds


def _clamped(bound: int, size: int) -> int:
    return min(max(bound + size if bound < 0 else bound, 0), size)


class Pad(SpaceRule):
    """`pad`, `padv2` and `mirror_pad` with constant paddings."""

    opcodes: ClassVar[tuple[str, ...]] = ("pad", "padv2", "mirror_pad")

    def parts(self, op: Op) -> list[Part] | None:
        """The result's space."""
        x, paddings = op.operand(0), constant_ints(op.operand(1))
        if paddings is None or not any(paddings):
            return None
        padded = [d for d in range(x.type.rank) if paddings[2 * d] or paddings[2 * d + 1]]
        return _part(op, [0], [x.shape, op.result.shape], padded)

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """Paddings by axis."""
        paddings = constant_ints(op.operand(1)) or []
        before, after = placement.spread(paddings[::2], 0), placement.spread(paddings[1::2], 0)
        given = {1: _ints_like(np.column_stack([before, after]), op.operand(1), emitter)}
        return emit_like(op, with_placed(op, fetch_placed(part, placement, emitter), given), emitter)


class Repeat(SpaceRule):
    """`tile` and `broadcast_to` with constant parameters."""

    opcodes: ClassVar[tuple[str, ...]] = ("tile", "broadcast_to")

    def parts(self, op: Op) -> list[Part] | None:
        """The result's space."""
        x, given = op.operand(0), constant_ints(op.operand(1))
        if given is None:
            return None
        rank = op.result.type.rank
        shape = (1,) * (rank - x.type.rank) + x.shape
        repeated = [d for d in range(rank) if shape[d] != op.result.shape[d]]
        return _part(op, [0], [shape, op.result.shape], repeated) if repeated and x.type.elements > 1 else None

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """Multiples or the wanted shape by axis."""
        have, wanted = placement.shape(0), placement.shape(1)
        given = wanted if op.opcode == "broadcast_to" else [w // h for w, h in zip(wanted, have)]
        parameter = {1: _ints_like(given, op.operand(1), emitter)}
        return emit_like(op, with_placed(op, fetch_placed(part, placement, emitter), parameter), emitter)


class AlongAxes(SpaceRule):
    """`reverse_v2` and `cumsum`: the shape stays, axes are an operand."""

    opcodes: ClassVar[tuple[str, ...]] = ("reverse_v2", "cumsum")

    def parts(self, op: Op) -> list[Part] | None:
        """The operand's space, its named axes whole."""
        x = op.operand(0)
        axes = _axes(op, 1, x.type.rank)
        if not axes or all(x.shape[axis] == 1 for axis in axes):
            return None
        return _part(op, [0], [x.shape, op.result.shape], axes)

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """The axes where their dimensions stand."""
        old = op.operand(1)
        axes = placement.axes_of(_axes(op, 1, op.operand(0).type.rank) or [])
        axis = axes[0] if op.opcode == "cumsum" else axes
        given = {1: _ints_like(axis, old, emitter, old.shape if op.opcode == "cumsum" else None)}
        return emit_like(op, with_placed(op, fetch_placed(part, placement, emitter), given), emitter)


class Reduction(SpaceRule):
    """Reductions and positions of extremes over constant axes."""

    opcodes: ClassVar[tuple[str, ...]] = (
        "mean", "sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_any", "reduce_all", "arg_max", "arg_min",
    )  # fmt: skip

    def parts(self, op: Op) -> list[Part] | None:
        """The operand's space; the result has size 1 along the reduced axes."""
        x = op.operand(0)
        axes = _axes(op, 1, x.type.rank)
        if not axes or all(x.shape[axis] == 1 for axis in axes):
            return None
        shape = [1 if d in axes else size for d, size in enumerate(x.shape)]
        return _part(op, [0], [x.shape, shape], axes if op.opcode.startswith("arg") else ())

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """The axes where their dimensions stand."""
        old = op.operand(1)
        axes = placement.axes_of(_axes(op, 1, op.operand(0).type.rank) or [])
        if op.opcode.startswith("arg"):
            given = {1: _ints_like(axes[0], old, emitter, old.shape)}
        else:
            given = {1: _ints_like(axes, old, emitter)}
        return emit_like(op, with_placed(op, fetch_placed(part, placement, emitter), given), emitter)


class OverLastAxis(SpaceRule):
    """Ops over the last axis: it has to stay there, the others may stand as they like."""

    opcodes: ClassVar[tuple[str, ...]] = ("softmax", "log_softmax", "l2_normalization", "local_response_normalization")

    def parts(self, op: Op) -> list[Part] | None:
        """The operand's space with its last dimension last."""
        x = op.operand(0)
        return _part(op, [0], [x.shape, op.result.shape], trailing=1) if x.type.rank and x.shape[-1] > 1 else None

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """On the tensor as placed, of rank 4 where the kernel wants that."""
        shape = placement.shape(0)
        while shape[-1] == 1:  # axes behind the last dimension
            shape = shape[:-1]
        while len(shape) > 4:
            shape = (shape[0] * shape[1], *shape[2:])
        if op.opcode == "local_response_normalization":
            shape = (1,) * (4 - len(shape)) + shape
        return emit_like(op, [emitter.fetch(op.operand(0), part.mode.orders[0], shape)], emitter)


class Gather(SpaceRule):
    """`gather` of one axis by indices of rank 0 or 1."""

    opcodes: ClassVar[tuple[str, ...]] = ("gather",)

    def parts(self, op: Op) -> list[Part] | None:
        """The operand's space; by one index the axis vanishes."""
        x, indices = op.operand(0), op.operand(1)
        axis = op.attributes["axis"] % max(x.type.rank, 1)
        if op.attributes["batch_dims"] or indices.type.rank > 1 or not x.shape or x.shape[axis] == 1 or x.is_constant:
            return None
        count = indices.shape[0] if indices.type.rank else 1
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        return _part(op, [0], [x.shape, shape], [axis])

    def emit_placed(self, op: Op, part: SpacePart, placement: Placement, emitter: Emitter) -> Sequence[Value]:
        """The axis where its dimension stands."""
        axis = placement.axis(op.attributes["axis"] % op.operand(0).type.rank)
        return emit_like(op, with_placed(op, fetch_placed(part, placement, emitter)), emitter, axis=axis)


RULES = (
    Concatenation(), Split(), Slice(), StridedSlice(), Pad(), Repeat(), AlongAxes(), Reduction(), OverLastAxis(),
    Gather(),
)  # fmt: skip
