"""Flash (or storage) an application needs: the model file plus the runtime's code."""

from __future__ import annotations

from edgec.cost.estimate import Estimate, Evidence
from edgec.target.device import Device


def estimate_flash(model_bytes: int, device: Device) -> Estimate:
    """Bytes of the `.tflite` plus the runtime's code floor; the model alone where the profile states no floor."""
    floor = device.runtime_floor
    if floor is None:
        return Estimate.exact(model_bytes, Evidence.PLANNED, "the model file alone; the runtime's code is not counted")
    evidence = Evidence.CALIBRATED if floor.kind == "calibrated" else Evidence.DERIVED
    basis = f"{model_bytes} B model + {floor.code_bytes} B runtime code"
    return Estimate(
        model_bytes + floor.code_bytes,
        model_bytes + floor.code_low_bytes,
        model_bytes + floor.code_high_bytes,
        evidence,
        basis,
    )
