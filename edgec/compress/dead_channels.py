"""Removes channels that no result depends on, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from edgec.compress.channel_ranges import analyse_ranges
from edgec.compress.coupling import Coupling, analyse_coupling, groups_of
from edgec.compress.fold_bias import droppable, fold_into_bias
from edgec.compress.probe import Constants, probe_constants
from edgec.compress.remove import remove_channels
from edgec.ir.graph import Graph, Module, Value
from edgec.ops import OP_DEFS
from edgec.passes.base import GraphPass, PassContext, PassResult

DEAD_CHANNELS = "dead_channels"  # the figure in the pass's result
MOST_CHANNELS = 1 << 20  # each is looked at by itself, and a damaged file can ask for any number
MAX_ROUNDS = 100  # each round removes a channel; networks settle in two or three


@dataclass(frozen=True)
class EliminateDeadChannels(GraphPass):
    """Remove channels that add nothing, or the same to every result, and fold what they add into what follows.

    Before:  %1 = conv_2d(%0, $w, $b)          After:  %1 = conv_2d(%0, $w', $b')    filters of zeros gone
             %2 = depthwise_conv_2d(%1, $d)            %2 = depthwise_conv_2d(%1, $d')
             %3 = conv_2d(%2, $v, $c)                  %3 = conv_2d(%2, $v', $c')    c' = c + v * constant

    A channel goes where every op that mixes it with others can do without: its weights for it are zero, or it holds one
    value for every input (a filter of zeros, or one whose whole range the activation clamps) which is real zero, or
    which the bias can take over (no window reaches over the border, the integer bias has room). The value is the real
    kernels' (`probe`). Integer models keep every output bit in TFLM, in XNNPACK and in LiteRT's reference kernels
    (LiteRT's own int8 `quantize` rounds by an element's place in memory); in float a sum may round differently. Each
    value keeps at least one channel.

    `channel_multiple` keeps as many dead channels of a group as its kernels' vectors need to stay full: on XNNPACK an
    odd number of channels can cost more than the multiplications it saves. With 1 every dead channel goes.
    """

    name: ClassVar[str] = "eliminate_dead_channels"
    counted: ClassVar[str] = DEAD_CHANNELS
    channel_multiple: int = 1

    def run(self, module: Module, context: PassContext) -> PassResult:
        """Run on every graph; the note tells the MACs before and after."""
        before = _macs(module)
        result = super().run(module, context)
        if not result.changed:
            return result
        return replace(result, note=f"{result.note}; MACs {before:,} → {_macs(module):,}")

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Remove dead channels of one graph, round after round; returns how many."""
        total = 0
        if _widest(graph) > MOST_CHANNELS:
            return 0
        for _ in range(MAX_ROUNDS):
            removed = _remove_dead(graph, self.channel_multiple)
            total += removed
            if not removed:
                break
        return total

    def describe(self, changes: int) -> str:
        """The report's note."""
        return f"{changes} dead channels removed" if changes != 1 else "1 dead channel removed"


def _widest(graph: Graph) -> int:
    """The most channels that an activation has."""
    values = (*graph.inputs, *(result for op in graph.ops for result in op.results))
    return max((value.shape[-1] for value in values if value.shape), default=0)


def _remove_dead(graph: Graph, channel_multiple: int) -> int:
    coupling = analyse_coupling(graph)
    candidates = ~coupling.frozen_mask()
    if not coupling.reads or not any(candidates[labels].any() for _, labels in coupling.births):
        return 0
    constants = probe_constants(graph, analyse_ranges(graph, coupling))
    removed = coupling.spare_one(_dead_labels(coupling, constants, candidates))
    if channel_multiple > 1:
        _fill_up(removed, coupling, channel_multiple)
    if not removed.any():
        return 0
    fold_into_bias(graph, coupling, constants, removed)
    remove_channels(graph, coupling, removed)
    return int(removed.sum())


def _fill_up(removed: np.ndarray, coupling: Coupling, channel_multiple: int) -> None:
    """Keep the last of a group's dead channels until what stays is a multiple."""
    for group in groups_of(coupling):
        gone = group.labels[removed[group.labels]]
        kept = group.channels - gone.size
        missing = min(gone.size, -kept % channel_multiple)
        removed[gone[gone.size - missing :]] = False


def _dead_labels(coupling: Coupling, constants: Mapping[Value, Constants], candidates: np.ndarray) -> np.ndarray:
    """bool [labels]: removable, and dropped without loss by every op that reads them."""
    dead = np.zeros(coupling.count, bool)
    for _, labels in coupling.births:
        dead[labels] = candidates[labels]
    for read in coupling.reads:
        needed = ~droppable(read, constants.get(read.op.operand(read.operand)))
        dead[read.labels[needed]] = False
    return dead


def _macs(module: Module) -> int:
    ops = (op for graph in module.graphs for op in graph.ops)
    return sum(OP_DEFS[op.opcode].macs(op) for op in ops if op.opcode in OP_DEFS)
