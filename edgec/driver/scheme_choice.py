"""Which quantization schemes are tried, in which order."""

from __future__ import annotations

from edgec.driver.options import AUTO
from edgec.errors import QuantizationError
from edgec.target.budget import Budget
from edgec.target.target import Target

FAITHFUL_FIRST = ("fp32", "fp16", "w8", "w8a16", "w8a8", "w4a8")
STATIC = {"w8a8", "w8a16", "w4a8"}  # activation ranges come from calibration samples


def candidate_schemes(
    requested: str, target: Target, budget: Budget, *, calibrated: bool, stored: str | None = None
) -> list[str]:
    """The schemes to try, the most faithful to the float model first; the first that holds the budget is taken.

    A scheme asked for by name is the only candidate. With `auto` and no budget the target's default is, as far as there
    are calibration samples for it; with a budget every scheme of the target is. A source whose numbers are quantized
    keeps its own scheme, `stored`, as a quantized `.tflite` does.

    Raises:
        QuantizationError: the target refuses the scheme, or a static scheme has no calibration data.
    """
    if requested != AUTO:
        refusal = target.scheme_refusal(requested)
        if refusal is not None:
            raise QuantizationError(f"Choosing the scheme: {refusal}.")
        if requested in STATIC and not calibrated and requested != stored:
            raise QuantizationError(_needs_data(requested))
        return [requested]
    if stored is not None:
        return [stored]
    usable: list[str] = [s for s in FAITHFUL_FIRST if s in target.schemes and (calibrated or s not in STATIC)]
    if not usable:
        raise QuantizationError(_needs_data(target.default_scheme))
    if not budget.lines():
        return [target.default_scheme if target.default_scheme in usable else usable[-1]]
    return usable


def _needs_data(scheme: str) -> str:
    return (
        f"Quantizing to {scheme}: it fixes activation ranges ahead of time and needs real samples to find them; "
        "give some with --calibration MANIFEST, an .npz or .npy file, or a folder of images."
    )
