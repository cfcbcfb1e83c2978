"""How much a channel matters, judged by its weights alone."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgec.compress.coupling import ChannelGroup, Member
from edgec.ir.op_def import Role
from edgec.ops import OP_DEFS

Importance = Literal["l1", "l2"]
IMPORTANCES: tuple[Importance, ...] = ("l1", "l2")


def channel_scores(group: ChannelGroup, importance: Importance) -> np.ndarray:
    """One score a channel, 1.0 on average over the group; float64 [channels].

    Every weight that a channel has a slice of, in the ops that make it and in those that read it, gives the slice's L1
    or L2 norm, divided by the mean over the weight's slices so that layers of any magnitude compare; the score is the
    mean over the weights. Batch norms are folded when pruning runs, so their scale is part of these norms. Biases do
    not count: they say where a channel lies, not how much it tells.
    """
    scores = [_slice_norms(member, group.channels, importance) for member in group.members if _is_weight(member)]
    if not scores:
        return np.ones(group.channels)
    return np.asarray(np.mean(scores, axis=0))


def _is_weight(member: Member) -> bool:
    if member.op is None or member.op.opcode not in OP_DEFS:
        return False
    trained = OP_DEFS[member.op.opcode].role(member.operand) is Role.WEIGHT
    return trained and member.value.type.rank > 1 and member.op.opcode != "prelu"


def _slice_norms(member: Member, channels: int, importance: Importance) -> np.ndarray:
    data = np.abs(member.value.array().astype(np.float64))
    rows = np.moveaxis(data, member.axis, 0).reshape(data.shape[member.axis], -1)
    energy = rows.sum(axis=1) if importance == "l1" else np.square(rows).sum(axis=1)
    inside = member.channels >= 0
    total = np.bincount(member.channels[inside], energy[inside], minlength=channels)
    norms = total if importance == "l1" else np.sqrt(total)
    mean = norms.mean()
    return np.asarray(norms / mean if mean > 0 else np.ones(channels))
