"""Where the dimensions of a space come to stand as axes of real tensors, axes of size 1 included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgec.passes.layout.part import Mode, Space
from edgec.passes.layout.storage_order import Piece

Axes = tuple[Piece | None, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """The axes that all tensors of a part have in one mode; None is an axis of size 1 that belongs to no dimension."""

    space: Space
    axes: Axes

    def shape(self, slot: int) -> tuple[int, ...]:
        """The shape of a slot's tensor, each axis in its place."""
        held = self.space.shapes[slot]
        return tuple(1 if p is None or held[p.dim] == 1 else self._size(p, held) for p in self.axes)

    def _size(self, piece: Piece, held: tuple[int, ...]) -> int:
        return held[piece.dim] if piece.dim in self.space.undivided else piece.size

    def axis(self, dim: int) -> int:
        """The axis of an undivided dimension."""
        return next(i for i, p in enumerate(self.axes) if p is not None and p.dim == dim)

    def axes_of(self, dims: Sequence[int]) -> list[int]:
        """The axes of some dimensions, all pieces of them."""
        return [i for i, p in enumerate(self.axes) if p is not None and p.dim in dims]

    def spread(self, by_dim: Sequence[int], default: int) -> list[int]:
        """A parameter given by dimension, by axis; axes of divided or no dimensions take the default."""
        undivided = self.space.undivided
        return [default if p is None or p.dim not in undivided else by_dim[p.dim] for p in self.axes]


def placed_like(space: Space, mode: Mode, slot: int, shape: Sequence[int]) -> Placement | None:
    """The placement in which the tensor of `slot` has `shape`; None where that shape joins or splits its axes."""
    held = space.shapes[slot]
    waiting = list(mode.pieces)
    axes: list[Piece | None] = []
    for size in shape:
        wanted = _held_size(space, waiting[0], held) if waiting else None
        if size == wanted:
            axes.append(waiting.pop(0))
        elif size == 1:
            axes.append(None)
        else:
            return None
    return None if waiting else Placement(space, tuple(axes))


def _held_size(space: Space, piece: Piece, held: tuple[int, ...]) -> int:
    if held[piece.dim] == 1:
        return 1
    return held[piece.dim] if piece.dim in space.undivided else piece.size


def placed_by_default(space: Space, mode: Mode) -> Placement:
    """Dimensions of size 1 behind the first dimension, or in front where that is not stored first."""
    if [p.dim for p in mode.pieces] == [d for d, size in enumerate(space.sizes) if size > 1]:
        by_dim = {p.dim: p for p in mode.pieces}
        return Placement(space, tuple(by_dim.get(d) for d in range(len(space.sizes))))
    ones: list[Piece | None] = [None] * max(len(space.sizes) - len(mode.pieces), 0)
    batch_first = mode.pieces[0].dim == 0 and mode.pieces[0].size == space.sizes[0]
    if batch_first:
        return Placement(space, (mode.pieces[0], *ones, *mode.pieces[1:]))
    return Placement(space, (*ones, *mode.pieces))
