"""Where the dimensions of a space come to stand as axes of real tensors, axes of size 1 included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgec.passes.layout.part import Mode, Space, runs_of
from edgec.passes.layout.storage_order import Piece

Run = tuple[Piece, ...]  # pieces of one dimension that are one axis; none: an axis of size 1 of no dimension


@dataclass(frozen=True, slots=True)
class Placement:
    """The axes that all tensors of a part have in one mode."""

    space: Space
    axes: tuple[Run, ...]

    def shape(self, slot: int) -> tuple[int, ...]:
        """The shape of a slot's tensor, each axis in its place."""
        return tuple(_held_size(self.space, run, slot) for run in self.axes)

    def axis(self, dim: int) -> int:
        """The axis of an undivided dimension."""
        return next(i for i, run in enumerate(self.axes) if run and run[0].dim == dim)

    def axes_of(self, dims: Sequence[int]) -> list[int]:
        """The axes of some dimensions, all parts of them."""
        return [i for i, run in enumerate(self.axes) if run and run[0].dim in dims]

    def spread(self, by_dim: Sequence[int], default: int) -> list[int]:
        """A parameter given by dimension, by axis; axes of divided or no dimensions take the default."""
        undivided = self.space.undivided
        return [by_dim[run[0].dim] if run and run[0].dim in undivided else default for run in self.axes]


def placed_like(space: Space, mode: Mode, slot: int, shape: Sequence[int]) -> Placement | None:
    """The placement in which the tensor of `slot` has `shape`; None where that shape joins or splits its axes."""
    waiting = runs_of(mode.pieces)
    axes: list[Run] = []
    for size in shape:
        if waiting and size == _held_size(space, waiting[0], slot):
            axes.append(waiting.pop(0))
        elif size == 1:
            axes.append(())
        else:
            return None
    return None if waiting else Placement(space, tuple(axes))


def _held_size(space: Space, run: Run, slot: int) -> int:
    if not run or space.shapes[slot][run[0].dim] == 1:
        return 1
    dim = run[0].dim
    return space.shapes[slot][dim] if dim in space.undivided else math.prod(piece.size for piece in run)


def placed_by_default(space: Space, mode: Mode) -> Placement:
    """Dimensions of size 1 in their places, or behind a first dimension stored first, or in front."""
    runs = runs_of(mode.pieces)
    dims = [run[0].dim for run in runs]
    if dims == [d for d, size in enumerate(space.sizes) if size > 1]:
        by_dim = {run[0].dim: run for run in runs}
        return Placement(space, tuple(by_dim.get(d, ()) for d in range(len(space.sizes))))
    ones: list[Run] = [()] * max(len(space.sizes) - len(runs), 0)
    batch_first = math.prod(p.size for p in runs[0]) == space.sizes[0] if dims[0] == 0 else False
    first, rest = (runs[:1], runs[1:]) if batch_first else ([], runs)
    return Placement(space, (*first, *ones, *rest))
