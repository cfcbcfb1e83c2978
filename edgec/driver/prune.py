"""The pruning stage: by a ratio, or only as much as the budget needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgec.driver.options import AUTO, CompileOptions
from edgec.driver.snapshot import Snapshot
from edgec.errors import CompressionError
from edgec.ir.graph import Module
from edgec.target.target import Target

if TYPE_CHECKING:
    from edgec.compress.importance import Importance
    from edgec.compress.pruning import PruningResult

Holds = Callable[[Module], bool]


@dataclass(frozen=True)
class Pruned:
    """What pruning did; `result` is None where nothing was removed, and `note` says why.

    `latency_ms` is estimated before and after, both at the compute dtype of the scheme.
    """

    request: str
    result: PruningResult | None
    before: Snapshot
    note: str = ""
    latency_ms: tuple[float | None, float | None] = (None, None)


def prune(module: Module, options: CompileOptions, target: Target, holds: Holds) -> Pruned | None:
    """Prune a float module in place as the options ask; None where they ask for nothing.

    `holds` says of a pruned copy whether the budget holds for it.

    Raises:
        CompressionError: the ratio is no number between 0 and 1, `auto` has no budget to aim at, or nothing can go.
    """
    if options.prune is None:
        return None
    from edgec.compress.pruning import apply_pruning, plan_pruning, prune_to_budget

    importance = _importance(options.prune_importance)
    before = Snapshot.of(module)
    multiple = target.channel_multiple
    if options.prune != AUTO:
        plan = plan_pruning(module, _ratio(options.prune), channel_multiple=multiple, importance=importance)
        return Pruned(str(options.prune), apply_pruning(module, plan), before)
    if not options.limits.lines():
        raise CompressionError("Pruning 'auto' removes as much as the budget needs, and there is none: give --budget.")
    options.progress("searching the pruning ratio", None)
    found = prune_to_budget(module, holds, channel_multiple=multiple, importance=importance)
    if found.plan is None or not found.plan.removed_channels:
        return Pruned(AUTO, None, before, found.reason)
    return Pruned(AUTO, apply_pruning(module, found.plan), before, found.reason)


def _ratio(request: float | str) -> float:
    try:
        ratio = float(request)
    except ValueError:
        ratio = -1.0
    if not 0 < ratio < 1:
        raise CompressionError(f"Pruning by '{request}': give a ratio between 0 and 1, or 'auto'.")
    return ratio


def _importance(name: str) -> Importance:
    if name == "l1":
        return "l1"
    if name == "l2":
        return "l2"
    raise CompressionError(f"Pruning with --prune-importance '{name}': channels are ranked by l1 or l2.")
