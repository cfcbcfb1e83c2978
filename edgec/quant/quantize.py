"""The whole of post-training quantization in one call: scheme in, quantized module out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgec.errors import QuantizationError
from edgec.ir.graph import Module, Value
from edgec.ir.types import QuantParams
from edgec.ops import build
from edgec.passes.base import PassContext
from edgec.passes.fuse.canonicalize_activation import CanonicalizeActivation
from edgec.passes.fuse.fuse_activation import FuseActivation
from edgec.passes.manager import run_passes
from edgec.quant.algorithms.bias_correction import correctable, weight_error_shifts
from edgec.quant.apply import apply_plan
from edgec.quant.calibrate import Progress, Ranges, calibrate
from edgec.quant.layout import Layout, hopeless_values, layout
from edgec.quant.options import QuantOptions
from edgec.quant.plan import QuantPlan, make_plan
from edgec.quant.scheme import represented_range
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
    integers already is returned as it is. Where a module with QDQ pairs comes without samples, ops on tensors that have
    no pair stay in float, as they are in the source, on targets that run floats.

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
    given = _absorbed(wide.module, target)
    shape = layout(wide.module, target, scheme)
    unknown = _unknown_ranges(shape, given)
    if unknown and feeds is None and given and _keeps_floats(target, scheme):
        shape, unknown = _as_in_the_source(wide.module, target, scheme, given), []
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
    given = _absorbed(wide.module, target)
    return not _unknown_ranges(layout(wide.module, target, scheme), given)


def scheme_of_pairs(module: Module, target: Target) -> Scheme | None:
    """The scheme that a float module's QDQ pairs ask of a target: w8a8 where some op computes between pairs of 8 bits.

    None where there are no such pairs, where the target refuses the scheme, or where it runs int8 only and some ranges
    are missing.
    """
    scheme: Scheme = "w8a8"
    if target.scheme_refusal(scheme) is not None or not any(op.opcode == "quantize" for op in module.main.ops):
        return None
    wide = widened(module)
    given = _absorbed(wide.module, target)
    if not _keeps_floats(target, scheme):
        return scheme if carries_all_ranges(module, target, scheme) else None
    shape = _as_in_the_source(wide.module, target, scheme, given)
    return scheme if any(op not in shape.moving for op in shape.int8_ops) else None


def _absorbed(module: Module, target: Target) -> dict[Value, QuantParams]:
    """Strip QDQ pairs and fuse what they stood between; returns the parameters of what is left, found by name again.

    A fused op's result has the name, and so the range, of the last of the ops it stands for. A ReLU stays an op of its
    own where the pair before it saturates earlier than the one behind it.
    """
    given = absorb_qdq(module)
    if not given:
        return given
    named = {value.name: quant for value, quant in given.items()}
    run_passes(module, [CanonicalizeActivation()], PassContext(target))
    given = {
        value: named[value.name] for value in module.main.values() if value.name in named and not value.is_constant
    }
    rule = FuseActivation()
    for op in list(module.main.ops):
        match = rule.pattern(op) if op.opcode in rule.anchors else None
        if match is not None and rule.check(match) is None and _reaches(given.get(op.operand(0)), given.get(op.result)):
            given[op.operand(0)] = given.pop(op.result)
            rule.rewrite(match, build(module.main, before=op))
    return given


def _reaches(before: QuantParams | None, behind: QuantParams | None) -> bool:
    """Whether what one pair lets through fills the range of the next, up to a step."""
    if before is None or behind is None:
        return False
    return represented_range(before).maximum >= represented_range(behind).maximum - behind.scale[0]


def _keeps_floats(target: Target, scheme: Scheme) -> bool:
    """Whether ops may stay in float beside those in int8."""
    return "float32" in target.io_dtype[scheme].inputs


def _as_in_the_source(module: Module, target: Target, scheme: Scheme, given: Mapping[Value, QuantParams]) -> Layout:
    """The layout in which ops on tensors without a range stay in float, with all that shares a scale with those."""
    unranged: set[Value] = set()
    while True:
        shape = layout(module, target, scheme, unranged=unranged)
        unknown = _unknown_ranges(shape, given)
        if not unknown:
            return shape
        unranged.update(unknown)


def _unknown_ranges(shape: Layout, given: Mapping[Value, QuantParams]) -> list[Value]:
    return [value for value in shape.sources if not any(v in given for v in shape.group_of(value))]


def _weighted_inputs(shape: Layout) -> list[Value]:
    return list(dict.fromkeys(correctable(shape.int8_ops).values()))
