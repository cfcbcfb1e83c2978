"""Structured channel pruning: decide which channels of which groups go, then remove them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from edgec.compress.coupling import ChannelGroup, analyse_coupling, groups_of
from edgec.compress.importance import IMPORTANCES, Importance, channel_scores
from edgec.compress.remove import remove_channels
from edgec.errors import CompressionError
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module
from edgec.ops import OP_DEFS

MAX_GROUP_RATIO = 0.75


@dataclass(frozen=True, slots=True)
class GroupPruning:
    """What is decided for one group: `removed` are its channels' numbers; `frozen` says why the others must stay."""

    graph: int
    group: int
    name: str
    channels: int
    prunable: int
    removed: tuple[int, ...]
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PruningPlan:
    """Which channels are to go, group by group, and the settings that led to it."""

    ratio: float
    channel_multiple: int
    importance: Importance
    groups: tuple[GroupPruning, ...]

    @property
    def prunable_channels(self) -> int:
        """Channels that could be removed."""
        return sum(group.prunable for group in self.groups)

    @property
    def removed_channels(self) -> int:
        """Channels that are to be removed."""
        return sum(len(group.removed) for group in self.groups)


@dataclass(frozen=True, slots=True)
class PrunedGroup:
    """Channels of one group before and after."""

    name: str
    channels_before: int
    channels_after: int


@dataclass(frozen=True, slots=True)
class PruningResult:
    """What a plan did to a module; `groups` are those that lost channels."""

    groups: tuple[PrunedGroup, ...]
    macs_before: int
    macs_after: int
    weight_bytes_before: int
    weight_bytes_after: int


def plan_pruning(
    module: Module,
    ratio: float,
    *,
    channel_multiple: int = 1,
    importance: Importance = "l1",
    max_group_ratio: float = MAX_GROUP_RATIO,
    min_channels: int = 1,
) -> PruningPlan:
    """Choose the least important channels of all groups together.

    `ratio` is the fraction of the prunable channels to remove (a channel counts once, however many tensors it runs
    through). Channels are taken in blocks, weakest first by score (see `channel_scores`): a group's first block brings
    what is left to a multiple of `channel_multiple`, the others are that large. Blocks of all groups are ranked
    together by their mean score; they are taken until the number removed comes closest to the ratio. No group loses
    more than `max_group_ratio` of its channels nor falls below `min_channels`, so that no layer collapses: a high ratio
    may not be reached. A plan for a larger ratio contains that for a smaller one.

    Raises:
        CompressionError: a setting is out of range, or nothing in the module can be pruned.
    """
    _check_settings(ratio, channel_multiple, importance, max_group_ratio, min_channels)
    groups = [(g, group) for g, graph in enumerate(module.graphs) for group in groups_of(analyse_coupling(graph))]
    prunable = sum(len(group.prunable) for _, group in groups)
    if ratio > 0 and not prunable:
        why = _why_nothing([reason for _, group in groups for reason in group.frozen.values()])
        raise CompressionError(f"Pruning '{module.name}': {why}.")
    blocks: list[tuple[float, int, tuple[int, ...]]] = []
    for position, (_, group) in enumerate(groups):
        blocks += [
            (s, position, b) for s, b in _blocks(group, channel_multiple, importance, max_group_ratio, min_channels)
        ]
    taken: list[list[int]] = [[] for _ in groups]
    left = ratio * prunable
    for _, position, block in sorted(blocks, key=lambda entry: entry[0]):  # stable: blocks of one group stay in order
        if left < len(block) / 2:
            break
        taken[position] += block
        left -= len(block)
    decided = tuple(_decision(graph, group, gone) for (graph, group), gone in zip(groups, taken))
    return PruningPlan(ratio, channel_multiple, importance, decided)


def _why_nothing(reasons: Iterable[str]) -> str:
    listed = "; ".join(sorted(set(reasons))[:3]) or "it has no convolution or fully connected layer"
    return f"no channel can be removed: {listed}"


def _check_settings(ratio: float, multiple: int, importance: str, max_group_ratio: float, min_channels: int) -> None:
    if not 0 <= ratio < 1:
        raise CompressionError(f"Pruning: the ratio is {ratio:g}; it should lie between 0 and 1 (0.3 removes 30 %).")
    if importance not in IMPORTANCES:
        raise CompressionError(f"Pruning: importance is '{importance}'; it should be {' or '.join(IMPORTANCES)}.")
    if multiple < 1 or min_channels < 1 or not 0 < max_group_ratio < 1:
        raise CompressionError(
            f"Pruning: channel_multiple {multiple} and min_channels {min_channels} should be at least 1, "
            f"max_group_ratio {max_group_ratio:g} between 0 and 1."
        )


def _decision(graph: int, group: ChannelGroup, removed: list[int]) -> GroupPruning:
    reasons = tuple(dict.fromkeys(group.frozen.values()))
    return GroupPruning(
        graph, group.index, group.name, group.channels, len(group.prunable), tuple(sorted(removed)), reasons
    )


def _blocks(
    group: ChannelGroup, multiple: int, importance: Importance, max_group_ratio: float, min_channels: int
) -> list[tuple[float, tuple[int, ...]]]:
    """(mean score, channels) of what may be removed one after the other, weakest first, kept counts multiples."""
    prunable = np.array(group.prunable, np.int64)
    least = max(min_channels, math.ceil(group.channels * (1 - max_group_ratio)), 1)
    most = min(prunable.size, group.channels - least)
    if most < 1:
        return []
    scores = channel_scores(group, importance)
    order = prunable[np.argsort(scores[prunable], kind="stable")]
    blocks, start = [], 0
    end = group.channels % multiple or multiple
    while end <= most:
        block = order[start:end]
        blocks.append((float(scores[block].mean()), tuple(block.tolist())))
        start, end = end, end + multiple
    return blocks


def apply_pruning(module: Module, plan: PruningPlan) -> PruningResult:
    """Remove the planned channels from a module (the one the plan was made for, or a copy of it).

    Raises:
        CompressionError: the plan does not fit the module.
    """
    macs, weight_bytes = _macs(module), _weight_bytes(module)
    pruned: list[PrunedGroup] = []
    for number, graph in enumerate(module.graphs):
        coupling = analyse_coupling(graph)
        groups = groups_of(coupling)
        decided = [d for d in plan.groups if d.graph == number]
        if [(g.name, g.channels) for g in groups] != [(d.name, d.channels) for d in decided]:
            raise CompressionError(f"Pruning '{module.name}': the plan was made for another module; plan anew.")
        removed = np.zeros(coupling.count, bool)
        for group, decision in zip(groups, decided):
            removed[group.labels[list(decision.removed)]] = True
        removed = coupling.spare_one(removed)
        if removed.any():
            remove_channels(graph, coupling, removed)
        pruned += [PrunedGroup(g.name, g.channels, int((~removed[g.labels]).sum())) for g in groups]
    changed = tuple(group for group in pruned if group.channels_after < group.channels_before)
    return PruningResult(changed, macs, _macs(module), weight_bytes, _weight_bytes(module))


@dataclass(frozen=True, slots=True)
class BudgetPruning:
    """The least pruning that holds a budget; `plan` is None where even the most does not, and `reason` says so.

    `tried` lists (ratio, whether the budget held) in the order of trial.
    """

    plan: PruningPlan | None
    reason: str
    tried: tuple[tuple[float, bool], ...]


def prune_to_budget(
    module: Module,
    holds: Callable[[Module], bool],
    *,
    channel_multiple: int = 1,
    importance: Importance = "l1",
    max_ratio: float = MAX_GROUP_RATIO,
    tolerance: float = 1 / 64,
) -> BudgetPruning:
    """Find the least ratio for which `holds` is true of a pruned copy, by bisection down to `tolerance`.

    `holds` must not turn false again for a larger ratio. It sees copies; `module` itself is left as it is: apply the
    plan that is returned.
    """
    tried: list[tuple[float, bool]] = []

    def attempt(ratio: float) -> PruningPlan | None:
        plan = plan_pruning(module, ratio, channel_multiple=channel_multiple, importance=importance)
        copy = clone_module(module)
        apply_pruning(copy, plan)
        held = holds(copy)
        tried.append((ratio, held))
        return plan if held else None

    plan = attempt(0.0)
    if plan is not None:
        return BudgetPruning(plan, "the budget holds without pruning", tuple(tried))
    unpruned = plan_pruning(module, 0.0, channel_multiple=channel_multiple, importance=importance)
    if not unpruned.prunable_channels:
        why = _why_nothing(reason for group in unpruned.groups for reason in group.frozen)
        return BudgetPruning(None, f"the budget is missed and {why}", tuple(tried))
    best, low, high = attempt(max_ratio), 0.0, max_ratio
    if best is None:
        return BudgetPruning(
            None, f"the budget is missed even with {max_ratio:.0%} of the channels removed", tuple(tried)
        )
    while high - low > tolerance:
        middle = (low + high) / 2
        plan = attempt(middle)
        if plan is None:
            low = middle
        else:
            best, high = plan, middle
    return BudgetPruning(best, f"the budget holds from {high:.1%} of the channels on", tuple(tried))


def _macs(module: Module) -> int:
    ops = (op for graph in module.graphs for op in graph.ops)
    return sum(OP_DEFS[op.opcode].macs(op) for op in ops if op.opcode in OP_DEFS)


def _weight_bytes(module: Module) -> int:
    constants = {id(v.data): v.type.bytes for graph in module.graphs for v in graph.constants()}
    return sum(constants.values())
