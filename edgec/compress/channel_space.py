"""Channels as labels: every position along the last axis of every value carries one, and coupling makes labels equal.

A label stands for one thing that is removed or kept as a whole. A convolution gives birth to one label per filter; a
depthwise convolution, an activation or a pooling hands labels on; an addition unites those of its operands; a
concatenation strings them together; a flatten repeats them H*W times. Equalities are collected first and solved once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgec.ir.graph import Op, Value

Labels = np.ndarray  # int64 [positions along the last axis]


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A weighted op that mixes the channels of one operand.

    `labels` run along axis `in_axis` of the weight (a flattened operand repeats them); `positions` say which position
    of the operand's last axis each is. Outputs run along `out_axis`. Operands `weight` and `bias` are indices.
    """

    op: Op
    operand: int
    weight: int
    bias: int
    in_axis: int
    out_axis: int
    labels: Labels
    positions: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Position p of a result's last axis depends on position `positions[p]` of `value` alone (-1: not on `value`)."""

    value: Value
    positions: np.ndarray


class ChannelSpace:
    """Collects labels, equalities, slices of constants and reasons to leave channels alone."""

    def __init__(self) -> None:
        self.count = 0
        self.labels: dict[Value, Labels] = {}
        self.slices: dict[tuple[Op, int], dict[int, Labels]] = {}  # (op, constant operand) → axis → labels
        self.reads: list[Read] = []
        self.flows: dict[Value, list[Flow]] = {}
        self.births: list[tuple[Op | None, Labels]] = []
        self.pairs: list[tuple[Labels, Labels]] = []
        self.freezes: list[tuple[Labels, str]] = []

    def fresh(self, width: int, op: Op | None) -> Labels:
        """New labels, born in `op` (None: a graph input or a constant)."""
        labels = np.arange(self.count, self.count + width, dtype=np.int64)
        self.count += width
        self.births.append((op, labels))
        return labels

    def of(self, value: Value) -> Labels:
        """The labels of an operand; those of a constant or of state are new and frozen."""
        if value not in self.labels:
            labels = self.fresh(width(value), None)
            self.freeze(labels, f"'{value.name}' is {'a constant' if value.is_constant else 'state'}")
            self.labels[value] = labels
        return self.labels[value]

    def hand_on(self, result: Value, labels: Labels, flows: Sequence[Flow]) -> None:
        """Give a result its labels and say which operand positions each of its positions depends on."""
        self.labels[result] = labels
        self.flows[result] = list(flows)

    def unite(self, a: Labels, b: Labels) -> None:
        """Make labels equal, position by position."""
        if a is not b:
            self.pairs.append((a, b))

    def freeze(self, labels: Labels, reason: str) -> None:
        """Keep labels from being removed."""
        if labels.size:
            self.freezes.append((labels, reason))

    def freeze_op(self, op: Op, reason: str) -> None:
        """Keep all channels that an op reads and writes."""
        for operand in op.operands:
            if operand is not None and not operand.is_constant:
                self.freeze(self.of(operand), reason)
        for result in op.results:
            labels = self.fresh(width(result), op)
            self.freeze(labels, reason)
            self.labels[result] = labels

    def slice_constant(self, op: Op, index: int, axis: int, labels: Labels) -> None:
        """Let a constant operand lose positions along `axis` with the labels there."""
        self.slices.setdefault((op, index), {})[axis] = labels


def width(value: Value) -> int:
    """Positions along the last axis; 0 for a scalar."""
    return value.shape[-1] if value.shape else 0


def components(count: int, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The smallest member of each node's connected component, by hooking and pointer jumping; int64 [count]."""
    root = np.arange(count, dtype=np.int64)
    if not pairs:
        return root
    a = np.concatenate([p[0] for p in pairs])
    b = np.concatenate([p[1] for p in pairs])
    while True:
        root_a, root_b = root[a], root[b]
        apart = root_a != root_b
        if not apart.any():
            return root
        low = np.minimum(root_a[apart], root_b[apart])
        high = np.maximum(root_a[apart], root_b[apart])
        np.minimum.at(root, high, low)
        while True:
            jumped = root[root]
            if np.array_equal(jumped, root):
                break
            root = jumped
