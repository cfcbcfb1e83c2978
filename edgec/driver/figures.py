"""All cost figures of one artifact on one device."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.cost.energy import EnergyEstimate, estimate_energy
from edgec.cost.estimate import Estimate, Evidence
from edgec.cost.flash import estimate_flash
from edgec.cost.latency import LatencyEstimate, estimate_latency
from edgec.driver.budget_lines import Figures
from edgec.driver.memory_figures import MemoryFigures, estimate_ram, execute_arena, plan_module
from edgec.driver.run_feeds import RunFeeds
from edgec.driver.runner import ArtifactRunner
from edgec.errors import MissingExtra, RuntimeFailure
from edgec.ir.graph import Module
from edgec.runtime.bench import LatencyMeasurement, measure_latency
from edgec.target.device import Device


@dataclass(frozen=True)
class CostFigures:
    """Latency, memory, flash and energy of an artifact; `measured` where the device is this machine."""

    memory: MemoryFigures
    latency: LatencyEstimate
    energy: EnergyEstimate
    flash: Estimate
    ram: Estimate
    measured: LatencyMeasurement | None
    missing: str | None = None

    def against_budget(self, accuracy_drop: Estimate) -> Figures:
        """The figures a budget is held against."""
        power = self.energy.average_power_mw
        basis = "the profile's active power"
        power_mw = Estimate.unknown("the profile states no power")
        if power is not None:
            power_mw = Estimate.exact(power, Evidence.DERIVED, basis)
        return Figures(self.latency.total, self.ram, self.flash, self.energy.total, power_mw, accuracy_drop)


def cost_figures(
    module: Module, artifact: bytes, device: Device, kernel_library: str | None = None, *, feeds: RunFeeds,
    execute: bool = True,
) -> CostFigures:  # fmt: skip
    """Price an artifact; with `execute`, a microcontroller's arena and this machine's latency are measured.

    Latency is measured on the first of `feeds`, real-valued inputs by name, that the artifact runs on. Where it runs on
    none latency stays unknown; where TFLM is not installed the arena does, and `missing` says why.
    """
    memory = plan_module(module)
    missing = None
    if device.target.runtime == "tflm" and execute:
        try:
            memory = execute_arena(artifact, memory)
        except MissingExtra as error:
            missing = str(error)
    measured = None
    latency = estimate_latency(module, device, kernel_library)
    if device.latency_basis == "executed" and execute:
        try:
            measured = _measure(artifact, module, device, feeds)
            latency = LatencyEstimate(_executed(measured), latency.per_op_ms)
        except RuntimeFailure as error:
            latency = LatencyEstimate(Estimate.unknown(f"it could not be measured: {error}"), latency.per_op_ms)
    ram = estimate_ram(memory, len(artifact), device)
    if device.target.runtime == "tflm" and memory.arena is None:
        ram = Estimate.unknown(missing or "the arena was not executed")
    return CostFigures(
        memory, latency, estimate_energy(latency.total, device), estimate_flash(len(artifact), device), ram, measured,
        missing,
    )  # fmt: skip


def _measure(artifact: bytes, module: Module, device: Device, given: RunFeeds) -> LatencyMeasurement:
    feeds = given.feeds
    if not feeds:
        raise RuntimeFailure(given.why_none or "there is nothing to run it on")
    runner = ArtifactRunner(artifact, module, device.target, threads=device.cpu.threads)
    for feed in feeds[:-1]:
        try:
            return measure_latency(runner.session, runner.inputs(feed))
        except RuntimeFailure:  # values can decide whether a model runs: a divisor of zero, an index out of range
            continue
    return measure_latency(runner.session, runner.inputs(feeds[-1]))


def _executed(measured: LatencyMeasurement) -> Estimate:
    runs = f"{measured.runs} runs here, {measured.threads} threads, {measured.runtime}"
    basis = f"median of {runs}; band: 10th to 90th percentile"
    return Estimate(measured.median_ms, measured.p10_ms, measured.p90_ms, Evidence.EXECUTED, basis)
