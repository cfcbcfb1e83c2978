"""Energy of one inference: the profile's active power times the latency."""

from __future__ import annotations

from dataclasses import dataclass

from edgec.cost.estimate import Estimate, Evidence
from edgec.target.device import Device


@dataclass(frozen=True, slots=True)
class EnergyEstimate:
    """Energy in millijoules and the average power in milliwatts (None where the profile states none)."""

    total: Estimate
    average_power_mw: float | None


def estimate_energy(latency_ms: Estimate, device: Device) -> EnergyEstimate:
    """mJ = mW * ms / 1000; the band multiplies the lows and the highs."""
    power = device.power
    if power is None:
        return EnergyEstimate(Estimate.unknown(f"the profile of {device.name} states no power"), None)
    if latency_ms.value is None or latency_ms.low is None or latency_ms.high is None:
        return EnergyEstimate(Estimate.unknown("the latency is not known"), power.active_mw)
    total = Estimate(
        power.active_mw * latency_ms.value / 1e3,
        power.active_low_mw * latency_ms.low / 1e3,
        power.active_high_mw * latency_ms.high / 1e3,
        Evidence.DERIVED,
        f"{power.active_mw:g} mW active power ({power.supply}) x latency",
    )
    return EnergyEstimate(total, power.active_mw)
