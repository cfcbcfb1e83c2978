"""Which passes run, in which order: the target's pipeline, split at the stages that need more than a module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgec.errors import ProfileError
from edgec.passes.base import Pass
from edgec.passes.catalogue import PASSES
from edgec.passes.registry import PassRegistry
from edgec.target.target import Target

PRUNE, QUANTIZE = "prune_channels", "quantize"
STAGES = {
    PRUNE: "remove whole channel groups (--prune)",
    QUANTIZE: "quantize to the chosen scheme (--scheme)",
}
# Which pads SAME adds follows from the size, with strides; so does what a crop leaves of a pad.
HOLD_AT_ONE_SIZE = {"fuse_pad_into_conv", "crop_before_window"}


@dataclass(frozen=True)
class Pipeline:
    """Passes on the float graph, and those after quantization."""

    before: tuple[Pass, ...]
    after: tuple[Pass, ...]

    def for_open_sizes(self) -> Pipeline:
        """Without the passes whose rewrites hold at the size they see alone."""
        return Pipeline(tuple(p for p in self.before if p.name not in HOLD_AT_ONE_SIZE), self.after)


def all_passes() -> PassRegistry:
    """Every pass by name, those of the compression package included."""
    from edgec.compress.dead_channels import EliminateDeadChannels

    return PassRegistry((*PASSES.values(), EliminateDeadChannels))


def build_pipeline(target: Target, overrides: Mapping[str, Mapping[str, Any]]) -> Pipeline:
    """The target's passes with their options; `overrides` sets options by pass name.

    Raises:
        ProfileError: the target's pipeline does not hold the stages `prune_channels` and `quantize` in this order.
        PassError: it names an unknown pass or option.
    """
    registry = all_passes()
    names = [step.name for step in target.pipeline.passes]
    if names.count(PRUNE) != 1 or names.count(QUANTIZE) != 1 or names.index(PRUNE) > names.index(QUANTIZE):
        raise ProfileError(
            f"target '{target.name}': its pipeline must hold the stages '{PRUNE}' and '{QUANTIZE}' once each, in order"
        )
    passes: dict[bool, list[Pass]] = {False: [], True: []}
    cut = names.index(PRUNE)
    for index, step in enumerate(target.pipeline.passes):
        if step.name in STAGES:
            continue
        options = {**step.options, **overrides.get(step.name, {})}
        passes[index > cut].append(registry.create(step.name, options))
    return Pipeline(tuple(passes[False]), tuple(passes[True]))
