"""Holds figures against the budget and, where there is none, against the device's own memory."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.cost.estimate import Estimate
from edgec.report.model import BudgetLine, BudgetUnit, Verdict, overall_verdict
from edgec.target.budget import Budget, judge
from edgec.target.device import Device


@dataclass(frozen=True)
class Figures:
    """What a budget can be held against; the unit of each stands in the budget's own line."""

    latency_ms: Estimate
    ram_bytes: Estimate
    flash_bytes: Estimate
    energy_mj: Estimate
    power_mw: Estimate
    accuracy_drop: Estimate


def budget_lines(budget: Budget, figures: Figures, device: Device) -> list[BudgetLine]:
    """One line for every limit the user set, then one for each memory of the device that the user did not limit."""
    lines = [
        _line("latency", budget.latency_ms, figures.latency_ms, "ms"),
        _line("ram", budget.ram_bytes, figures.ram_bytes, "bytes"),
        _line("flash", budget.flash_bytes, figures.flash_bytes, "bytes"),
        _line("energy", budget.energy_mj, figures.energy_mj, "mJ"),
        _line("power", budget.power_mw, figures.power_mw, "mW"),
        _line("accuracy-drop", budget.accuracy_drop, figures.accuracy_drop, "fraction"),
    ]
    if budget.ram_bytes is None:
        lines.append(_line("ram", device.sram_bytes, figures.ram_bytes, "bytes", "the device's SRAM"))
    if budget.flash_bytes is None:
        lines.append(_line("flash", device.flash_bytes, figures.flash_bytes, "bytes", "the device's flash"))
    return [line for line in lines if line is not None]


def _line(
    name: str, limit: float | None, estimate: Estimate, unit: BudgetUnit, note: str | None = None
) -> BudgetLine | None:
    if limit is None:
        return None
    verdict = judge(limit, estimate.value, estimate.low, estimate.high)
    return BudgetLine(
        name=name, limit=limit, value=estimate.value, low=estimate.low, high=estimate.high, verdict=verdict, unit=unit,
        evidence=estimate.evidence.value, note=note or (estimate.basis if estimate.value is None else None),
    )  # fmt: skip


def verdict_of(lines: list[BudgetLine]) -> Verdict:
    """The verdict over all lines."""
    return overall_verdict(lines)
