"""What an op lets happen to the storage order of its operands and results.

An op is one or more parts. A part ties the orders of some of the op's values (its slots) together: from the order of
one slot follow those of all others (its mode), or the part cannot work in that order. Values whose orders have nothing
to do with each other (what a convolution reads and what it writes) are slots of two parts.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edgec.ir.graph import Op, Value
from edgec.passes.layout.storage_order import (
    Piece,
    StorageOrder,
    as_written,
    channels_last,
    inverse,
    of_permutation,
    of_pieces,
    pieces_in,
    transposed,
)


@dataclass(frozen=True, slots=True)
class Slot:
    """One value of a part; `operand` is its operand index, None for a result (or a graph input)."""

    value: Value
    operand: int | None = None

    @property
    def plain(self) -> StorageOrder:
        """The order of the value stored as written."""
        return as_written(self.value.type.elements)


@dataclass(frozen=True, slots=True)
class Mode:
    """The storage orders of a part's slots; `pieces` are the stored axes of the part's space where it has one."""

    orders: tuple[StorageOrder, ...]
    pieces: tuple[Piece, ...] = ()


class Part(ABC):
    """Slots whose storage orders depend on each other; `mode` is the present choice."""

    def __init__(self, op: Op | None, slots: Iterable[Slot]) -> None:
        self.op = op
        self.slots = tuple(slots)
        self.mode = self.initial()

    def initial(self) -> Mode:
        """The mode of the module as it stands: everything as written."""
        return Mode(tuple(slot.plain for slot in self.slots))

    @abstractmethod
    def mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """The mode in which slot number `slot` has `order`; None where there is none."""

    def supposed_mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """A mode in which the slot has `order` where `mode_for` has none, as several would do; None if none does."""
        return None

    @property
    def is_as_written(self) -> bool:
        """True where every slot is stored as written."""
        return all(order == slot.plain for order, slot in zip(self.mode.orders, self.slots))


class FixedPart(Part):
    """Works on values stored as written only."""

    def mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """The initial mode, if the order is as written."""
        return self.mode if order == self.slots[slot].plain else None


class UniformPart(Part):
    """Works in any order, the same in all slots: elementwise ops on equal shapes, reshapes."""

    def mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """The order everywhere."""
        return Mode((order,) * len(self.slots))


class TransposePart(Part):
    """A transpose: its result is its operand read in another order, no element needs to move."""

    def __init__(self, op: Op, slots: Iterable[Slot], permutation: Sequence[int]) -> None:
        self.permutation = tuple(permutation)
        super().__init__(op, slots)

    def initial(self) -> Mode:
        """The result as written, hence the operand in the order of the transposed axes."""
        x, result = self.slots
        return Mode((of_permutation(x.value.shape, self.permutation), result.plain))

    def mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """The order and its image under the permutation."""
        x, result = self.slots
        if slot == 0:
            image = transposed(order, x.value.shape, self.permutation)
            return None if image is None else Mode((order, image))
        source = transposed(order, result.value.shape, inverse(self.permutation))
        return None if source is None else Mode((source, order))


class BoundaryPart(Part):
    """A graph input or output that may stand with channels last."""

    def __init__(self, op: Op | None, slots: Iterable[Slot]) -> None:
        super().__init__(op, slots)
        shape = self.slots[0].value.shape
        self.permutation = channels_last(len(shape))
        self.last = of_permutation(shape, self.permutation)

    def mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """As written, or with channels last."""
        return Mode((order,)) if order in (self.slots[0].plain, self.last) else None


class MatrixPart(Part):
    """An operand of a batched product, whose last two axes may be swapped."""

    def __init__(self, op: Op | None, slots: Iterable[Slot]) -> None:
        super().__init__(op, slots)
        shape = self.slots[0].value.shape
        axes = range(len(shape))
        self.swap = (*axes[:-2], axes[-1], axes[-2])
        self._swapped = of_permutation(shape, self.swap)

    def mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """As written, or with the last two axes swapped."""
        return Mode((order,)) if order in (self.slots[0].plain, self._swapped) else None


@dataclass(frozen=True)
class Space:
    """The common index space of a part's slots: for each slot its size along every dimension (1: it has none of it).

    Dimensions in `whole` are worked along and must be one stored axis, as must those along which sizes differ (other
    than by being 1). The first `leading` dimensions must be stored first and in order, the last `trailing` ones last.
    """

    shapes: tuple[tuple[int, ...], ...]
    whole: frozenset[int] = frozenset()
    leading: int = 0
    trailing: int = 0
    sizes: tuple[int, ...] = field(init=False)
    undivided: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        columns = list(zip(*self.shapes))
        rank = len(columns)
        differing = {d for d, column in enumerate(columns) if len(set(column) - {1}) > 1}
        ends = {*range(self.leading), *range(rank - self.trailing, rank)}
        object.__setattr__(self, "sizes", tuple(max(column) for column in columns))
        object.__setattr__(self, "undivided", frozenset(differing | self.whole | ends))


def runs_of(pieces: Sequence[Piece]) -> list[tuple[Piece, ...]]:
    """Neighbouring pieces of one dimension joined: what can be one axis of a tensor."""
    return [tuple(run) for _, run in itertools.groupby(pieces, key=lambda piece: piece.dim)]


class SpacePart(Part):
    """Works along dimensions of a space, wherever these are stored."""

    def __init__(self, op: Op | None, slots: Iterable[Slot], space: Space) -> None:
        self.space = space
        super().__init__(op, slots)

    def initial(self) -> Mode:
        """Every dimension whole and in its place."""
        return self._mode(tuple(Piece(d, size, 1) for d, size in enumerate(self.space.sizes) if size > 1))

    def mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """The mode that stores the space's dimensions as `order` does those of the slot."""
        space, shape = self.space, self.space.shapes[slot]
        if any(size == 1 and full > 1 for size, full in zip(shape, space.sizes)):
            return None  # where the missing dimensions would be stored does not follow
        pieces = self._pieces_for(slot, order)
        return None if pieces is None else self._mode_of(pieces)

    def supposed_mode_for(self, slot: int, order: StorageOrder) -> Mode | None:
        """Dimensions that the slot does not have keep the places they have now; the others stand as `order` says."""
        known = self._pieces_for(slot, order)
        if known is None:
            return None
        shape = self.space.shapes[slot]
        places = [i for i, piece in enumerate(self.mode.pieces) if shape[piece.dim] > 1]
        if len(places) != len(known):
            return None
        pieces = list(self.mode.pieces)
        for place, piece in zip(places, known):
            pieces[place] = piece
        return self._mode_of(tuple(pieces))

    def _pieces_for(self, slot: int, order: StorageOrder) -> tuple[Piece, ...] | None:
        """The stored axes of the dimensions that the slot has."""
        space, shape = self.space, self.space.shapes[slot]
        pieces = pieces_in(order, shape)
        if pieces is None or any(p.size != shape[p.dim] for p in pieces if p.dim in space.undivided):
            return None
        return tuple(Piece(p.dim, space.sizes[p.dim], 1) if p.dim in space.undivided else p for p in pieces)

    def _mode_of(self, pieces: tuple[Piece, ...]) -> Mode | None:
        """The mode with these axes; None where they are too many or not where they have to be."""
        if len(runs_of(pieces)) > max(len(self.space.sizes), 4) or not self._ends_in_place(pieces):
            return None
        return self._mode(pieces)

    def _ends_in_place(self, pieces: tuple[Piece, ...]) -> bool:
        space = self.space
        rank = len(space.sizes)
        first = [d for d in range(space.leading) if space.sizes[d] > 1]
        last = [d for d in range(rank - space.trailing, rank) if space.sizes[d] > 1]
        dims = [p.dim for p in pieces]
        return dims[: len(first)] == first and dims[len(dims) - len(last) :] == last

    def _mode(self, pieces: tuple[Piece, ...]) -> Mode:
        return Mode(tuple(of_pieces(self._held(pieces, shape), shape) for shape in self.space.shapes), pieces)

    def _held(self, pieces: tuple[Piece, ...], shape: tuple[int, ...]) -> Iterable[Piece]:
        """What a slot of `shape` has of the pieces."""
        for piece in pieces:
            if shape[piece.dim] > 1:
                yield Piece(piece.dim, shape[piece.dim], 1) if piece.dim in self.space.undivided else piece
