"""All cost figures of one artifact on one device."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.cost.energy import EnergyEstimate, estimate_energy
from edgec.cost.estimate import Estimate, Evidence
from edgec.cost.flash import estimate_flash
from edgec.cost.latency import LatencyEstimate, estimate_latency
from edgec.driver.budget_lines import Figures
from edgec.driver.memory_figures import MemoryFigures, estimate_ram, execute_arena, plan_module
from edgec.errors import MissingExtra
from edgec.ir.graph import Module
from edgec.runtime.bench import LatencyMeasurement, measure_latency
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.sample_inputs import sample_inputs
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
    module: Module, artifact: bytes, device: Device, kernel_library: str | None = None, *, execute: bool = True
) -> CostFigures:
    """Price an artifact; with `execute`, a microcontroller's arena and this machine's latency are measured.

    Where TFLM is not installed the arena stays unknown and `missing` says why.
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
        measured = _measure(artifact, device)
        latency = LatencyEstimate(_executed(measured), latency.per_op_ms)
    ram = estimate_ram(memory, len(artifact), device)
    if device.target.runtime == "tflm" and memory.arena is None:
        ram = Estimate.unknown(missing or "the arena was not executed")
    return CostFigures(
        memory, latency, estimate_energy(latency.total, device), estimate_flash(len(artifact), device), ram, measured,
        missing,
    )  # fmt: skip


def _measure(artifact: bytes, device: Device) -> LatencyMeasurement:
    session = LiteRTSession(artifact, threads=device.cpu.threads)
    return measure_latency(session, sample_inputs(session.input_details))


def _executed(measured: LatencyMeasurement) -> Estimate:
    runs = f"{measured.runs} runs here, {measured.threads} threads, {measured.runtime}"
    basis = f"median of {runs}; band: 10th to 90th percentile"
    return Estimate(measured.median_ms, measured.p10_ms, measured.p90_ms, Evidence.EXECUTED, basis)
