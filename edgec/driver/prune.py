"""The pruning stage: by a ratio, or only as much as the budget needs."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.backends.tflite import serialize
from edgec.compress.pruning import PruningResult, apply_pruning, plan_pruning, prune_to_budget
from edgec.cost.estimate import Estimate
from edgec.driver.budget_lines import budget_lines, verdict_of
from edgec.driver.figures import cost_figures
from edgec.driver.options import AUTO, CompileOptions
from edgec.driver.snapshot import Snapshot
from edgec.errors import CompressionError
from edgec.ir.graph import Module
from edgec.quant import assume_quantized
from edgec.target.device import Device


@dataclass(frozen=True)
class Pruned:
    """What pruning did: the ratio it used, the groups it cut, and the module's weight before."""

    request: str
    ratio: float
    result: PruningResult
    before: Snapshot
    note: str = ""


def prune(module: Module, options: CompileOptions, device: Device, scheme: str) -> Pruned | None:
    """Prune a float module in place as the options ask; None where they ask for nothing.

    Raises:
        CompressionError: the ratio is no number between 0 and 1, or `auto` has no budget to aim at.
    """
    if options.prune is None:
        return None
    before = Snapshot.of(module)
    multiple = device.target.channel_multiple
    if options.prune == AUTO:
        if not options.budget.lines():
            raise CompressionError(
                "Pruning 'auto' removes as much as the budget needs, and there is none: give --budget."
            )
        options.progress("searching the pruning ratio", None)
        return _prune_to_budget(module, options, device, scheme, before)
    ratio = _ratio(options.prune)
    plan = plan_pruning(module, ratio, channel_multiple=multiple, importance=options.prune_importance)
    return Pruned(str(options.prune), ratio, apply_pruning(module, plan), before)


def _ratio(request: float | str) -> float:
    try:
        ratio = float(request)
    except ValueError:
        ratio = -1.0
    if not 0 < ratio < 1:
        raise CompressionError(f"Pruning by '{request}': give a ratio between 0 and 1, or 'auto'.")
    return ratio


def _prune_to_budget(module: Module, options: CompileOptions, device: Device, scheme: str, before: Snapshot) -> Pruned:
    def holds(candidate: Module) -> bool:
        shaped = assume_quantized(candidate, scheme, device.target)
        costs = cost_figures(shaped, serialize(shaped), device, options.kernel_library)
        figures = costs.against_budget(Estimate.unknown("not measured while searching"))
        lines = [line for line in budget_lines(options.budget, figures, device) if line.name != "accuracy-drop"]
        return verdict_of(lines) == "fits"

    found = prune_to_budget(
        module, holds, channel_multiple=device.target.channel_multiple, importance=options.prune_importance
    )
    return Pruned(AUTO, found.ratio, found.result, before, found.note)
