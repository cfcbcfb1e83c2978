"""The whole of post-training quantization in one call: scheme in, quantized module out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgec.errors import QuantizationError
from edgec.ir.graph import Module, Value
from edgec.ir.types import QuantParams
from edgec.quant.algorithms.bias_correction import correctable, weight_error_shifts
from edgec.quant.apply import apply_plan
from edgec.quant.calibrate import Progress, Ranges, calibrate
from edgec.quant.layout import Layout, hopeless_values, layout
from edgec.quant.options import QuantOptions
from edgec.quant.plan import QuantPlan, make_plan
from edgec.quant.storage import store_fp16, store_w8
from edgec.quant.stored import absorb_qdq, is_quantized, widened
from edgec.target.target import Scheme, Target

DEFAULTS = QuantOptions()
_STORAGE = {"fp16": store_fp16, "w8": store_w8}
_STORED_AS = {"fp16": "float16", "w8": "int8"}

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
    options: QuantOptions = DEFAULTS,
    progress: Progress | None = None,
) -> QuantResult:
    """Quantize a float module for a target; the module itself is not changed.

    `feeds` yields the calibration samples from the start each time it is called: arrays by input name, in the graph's
    layout, batch axis included. `progress` is called with the number of samples done. A module that computes on
    integers already is returned as it is.

    Raises:
        QuantizationError: the target refuses the scheme or, running int8 only, some ops; a static scheme has no
            calibration samples; or an activation is NaN or infinite.
    """
    refusal = target.scheme_refusal(scheme)
    if refusal is not None:
        raise QuantizationError(f"quantizing '{module.name}': {refusal}")
    if is_quantized(module):
        return QuantResult(module, None, ("the model arrived quantized; its integers are kept as they are",))
    if scheme == "fp32":
        return QuantResult(module, None, ())
    if scheme in _STORAGE:
        stored = _STORAGE[scheme](module, options.small_constant_elements)
        said = f"{stored.constants} constants are stored as {_STORED_AS[scheme]}, {stored.bytes_saved:,} bytes less"
        return QuantResult(stored.module, None, (said, *stored.notes))
    if scheme != "w8a8":
        raise QuantizationError(f"quantizing '{module.name}': scheme {scheme} is not implemented; use fp16, w8 or w8a8")
    return _quantize_statically(module, "w8a8", target, feeds, options, progress)


def _quantize_statically(
    module: Module,
    scheme: Scheme,
    target: Target,
    feeds: FeedsSource | None,
    options: QuantOptions,
    progress: Progress | None,
) -> QuantResult:
    wide = widened(module)
    given = absorb_qdq(wide.module)
    shape = layout(wide.module, target, scheme)
    unknown = _unknown_ranges(shape, given)
    if unknown and feeds is None:
        raise QuantizationError(
            f"quantizing '{module.name}' to {scheme}: int8 activations need ranges measured on real samples, and there "
            "are none; give some with --calibration, or choose a scheme that quantizes weights only (fp16, w8)"
        )
    inputs = _weighted_inputs(shape) if options.bias_correction and feeds is not None else []
    found = Ranges({}, {}, 0, "given")
    if feeds is not None and (unknown or inputs):
        found = calibrate(
            wide.module, feeds(), options.method, options.percentile, progress, values=shape.sources, means_of=inputs
        )
    hopeless = hopeless_values(shape, found.by_value)
    if hopeless:
        shape = layout(wide.module, target, scheme, hopeless)
    plan = make_plan(
        shape, target, found.by_value, given, wide.weights, scheme=scheme, method=found.method, samples=found.samples
    )
    if inputs:
        plan = replace(plan, bias_shifts=weight_error_shifts(plan, found.means))
    return QuantResult(apply_plan(wide.module, plan).module, plan, plan.notes)


def carries_all_ranges(module: Module, target: Target, scheme: Scheme = "w8a8") -> bool:
    """True where QDQ pairs in a float module give every range that quantizing it needs: no samples are wanted then."""
    if not any(op.opcode == "quantize" for op in module.main.ops):
        return False
    wide = widened(module)
    given = absorb_qdq(wide.module)
    return not _unknown_ranges(layout(wide.module, target, scheme), given)


def _unknown_ranges(shape: Layout, given: Mapping[Value, QuantParams]) -> list[Value]:
    return [value for value in shape.sources if not any(v in given for v in shape.group_of(value))]


def _weighted_inputs(shape: Layout) -> list[Value]:
    return list(dict.fromkeys(correctable(shape.int8_ops).values()))
