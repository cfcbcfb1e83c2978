"""The whole of post-training quantization in one call: scheme in, quantized module out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from edgec.errors import QuantizationError
from edgec.ir.graph import Module
from edgec.quant.apply import apply_plan
from edgec.quant.calibrate import Progress, calibrate
from edgec.quant.options import QuantOptions
from edgec.quant.plan import QuantPlan, layout, make_plan
from edgec.target.target import Target

FeedsSource = Callable[[], Iterable[Mapping[str, np.ndarray]]]


@dataclass(frozen=True)
class QuantResult:
    """The quantized module, the plan behind it (None for schemes without one), and what the user should know."""

    module: Module
    plan: QuantPlan | None
    notes: tuple[str, ...]


def quantize_module(
    module: Module,
    scheme: str,
    target: Target,
    feeds: FeedsSource | None,
    options: QuantOptions = QuantOptions(),
    progress: Progress | None = None,
) -> QuantResult:
    """Quantize a float module for a target; the module itself is not changed."""
    shape = layout(module, target, scheme)
    found = calibrate(module, feeds(), options.method, options.percentile, progress, values=shape.sources)
    plan = make_plan(shape, target, found.by_value, scheme=scheme, method=found.method, samples=found.samples)
    return QuantResult(apply_plan(module, plan).module, plan, plan.notes)
