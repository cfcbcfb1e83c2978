"""Which channels move together: through adds, concats, depthwise convolutions, flattens, slices and broadcasts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgec.compress.channel_rules import apply_rule
from edgec.compress.channel_space import ChannelSpace, Flow, Labels, Read, components
from edgec.ir.graph import Graph, Op, Value

WEIGHTED = ("conv_2d", "depthwise_conv_2d", "transpose_conv", "fully_connected")


@dataclass(frozen=True, slots=True, eq=False)
class Coupling:
    """The solved labels of a graph: equal labels are one channel, removed or kept as a whole.

    `labels` holds, for every value, one label a position of its last axis; `slices` which axes of which constant
    operands go with which labels; `reads` the ops that mix channels; `flows` what each result position depends on;
    `births` the op and labels of every source of channels. `frozen` maps labels that must stay to the reason.
    """

    count: int
    labels: dict[Value, Labels]
    slices: dict[tuple[Op, int], dict[int, Labels]]
    reads: tuple[Read, ...]
    flows: dict[Value, list[Flow]]
    births: tuple[tuple[Op | None, Labels], ...]
    frozen: dict[int, str]

    def frozen_mask(self) -> np.ndarray:
        """bool [count]: labels that must stay."""
        mask = np.zeros(self.count, bool)
        mask[list(self.frozen)] = True
        return mask

    def spare_one(self, removed: np.ndarray) -> np.ndarray:
        """`removed` (bool [count]) with labels taken out so that every value keeps at least one channel."""
        removed = removed.copy()
        for value, labels in self.labels.items():
            if not value.is_constant and labels.size and removed[labels].all():
                removed[labels[0]] = False
        return removed


def analyse_coupling(graph: Graph) -> Coupling:
    """Label every channel of a graph and solve which labels are one; linear in ops and channels."""
    space = ChannelSpace()
    for value in graph.inputs:
        labels = space.fresh(value.shape[-1] if value.shape else 0, None)
        space.labels[value] = labels
        space.freeze(labels, f"'{value.name}' is a graph input")
    for op in graph.ops:
        apply_rule(space, op)
        for result in op.results:
            if result.type.signature is not None and result.type.rank and result.type.signature[-1] == -1:
                space.freeze(space.labels[result], f"'{result.name}' has a dynamic number of channels")
    for value in graph.outputs:
        space.freeze(space.of(value), f"'{value.name}' is a graph output")
    return _solved(space)


def _solved(space: ChannelSpace) -> Coupling:
    root = components(space.count, space.pairs)
    frozen: dict[int, str] = {}
    is_frozen = np.zeros(space.count, bool)
    for labels, reason in space.freezes:
        new = root[labels]
        new = np.unique(new[~is_frozen[new]])  # the first reason stands
        is_frozen[new] = True
        frozen.update(dict.fromkeys(new.tolist(), reason))
    reads = tuple(
        Read(r.op, r.operand, r.weight, r.bias, r.in_axis, r.out_axis, root[r.labels], r.positions) for r in space.reads
    )
    return Coupling(
        space.count,
        {value: root[labels] for value, labels in space.labels.items()},
        {site: {axis: root[labels] for axis, labels in axes.items()} for site, axes in space.slices.items()},
        reads,
        space.flows,
        tuple((op, root[labels]) for op, labels in space.births),
        frozen,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One place where a group's channels live: an axis of an activation (`op` None) or of a constant operand.

    `channels[p]` is the group's channel at position p of the axis, -1 where the position belongs to another group.
    """

    value: Value
    axis: int
    channels: np.ndarray
    op: Op | None = None
    operand: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class ChannelGroup:
    """Channels of one width that move together, named after the first op that gives birth to them.

    `labels` are the coupling's labels of the group's channels, in order. `frozen` maps channels that must stay to the
    reason; the others may be removed one by one, each from all members at once.
    """

    index: int
    name: str
    producers: tuple[str, ...]
    labels: Labels
    members: tuple[Member, ...]
    frozen: dict[int, str]

    @property
    def channels(self) -> int:
        """How many channels the group has."""
        return int(self.labels.size)

    @property
    def prunable(self) -> tuple[int, ...]:
        """The channels that may be removed."""
        return tuple(c for c in range(self.channels) if c not in self.frozen)


def find_groups(graph: Graph) -> list[ChannelGroup]:
    """The groups of channels that come from weighted ops, frozen ones included, in execution order."""
    return groups_of(analyse_coupling(graph))


def groups_of(coupling: Coupling) -> list[ChannelGroup]:
    """The groups of a coupling: births that share a channel belong to one group."""
    births = [(op, labels) for op, labels in coupling.births if labels.size]
    edges = [(np.full(labels.size, i, np.int64), labels + len(births)) for i, (_, labels) in enumerate(births)]
    family = components(len(births) + coupling.count, edges)
    members = _members_by_family(coupling, family[len(births) :])
    groups: list[ChannelGroup] = []
    for first in dict.fromkeys(family[: len(births)].tolist()):
        kin = [births[i] for i in np.flatnonzero(family[: len(births)] == first)]
        ops = [op for op, _ in kin if op is not None]
        if not any(op.opcode in WEIGHTED for op in ops):
            continue
        labels = np.unique(np.concatenate([labels for _, labels in kin]))
        frozen = {c: coupling.frozen[label] for c, label in enumerate(labels.tolist()) if label in coupling.frozen}
        places = tuple(_member(labels, *place) for place in members.get(first, ()))
        names = tuple(op.name for op in ops)
        groups.append(ChannelGroup(len(groups), names[0], names, labels, places, frozen))
    return groups


_Place = tuple[Value, int, Labels, "Op | None", int]


def _members_by_family(coupling: Coupling, family: np.ndarray) -> dict[int, list[_Place]]:
    found: dict[int, list[_Place]] = {}
    for place in _places(coupling):
        for name in np.unique(family[place[2]]).tolist():
            found.setdefault(name, []).append(place)
    return found


def _places(coupling: Coupling) -> Iterator[_Place]:
    for value, labels in coupling.labels.items():
        if not value.is_constant and labels.size:
            yield value, value.type.rank - 1, labels, None, -1
    for (op, operand), axes in coupling.slices.items():
        for axis, labels in axes.items():
            yield op.operand(operand), axis, labels, op, operand


def _member(own: Labels, value: Value, axis: int, labels: Labels, op: Op | None, operand: int) -> Member:
    at = np.searchsorted(own, labels)
    inside = own[np.minimum(at, own.size - 1)] == labels
    return Member(value, axis, np.where(inside, at, -1), op, operand)
