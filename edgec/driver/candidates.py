"""Artifacts of one float module, one a scheme, and which of them holds the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from edgec.backends.tflite import serialize
from edgec.cost.estimate import Estimate
from edgec.cost.latency import estimate_latency
from edgec.data.samples import SampleSet
from edgec.diagnostics import Note, Severity
from edgec.driver.accuracy import AccuracyFigures, measure_accuracy
from edgec.driver.budget_lines import budget_lines, verdict_of
from edgec.driver.figures import CostFigures, cost_figures
from edgec.driver.memory_figures import embed_plan, plan_module, reorder_ops
from edgec.driver.opening import Opening
from edgec.driver.options import AUTO, CompileOptions
from edgec.driver.original import may_crash, try_out
from edgec.driver.pipeline import Pipeline
from edgec.driver.prune import Pruned, prune
from edgec.driver.run_feeds import RunFeeds
from edgec.driver.scheme_choice import STATIC
from edgec.driver.source import SourceModel
from edgec.driver.trace import Trace
from edgec.driver.zero_samples import WatchedSamples
from edgec.errors import QuantizationError
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module
from edgec.memory.tflm_metadata import METADATA_NAME
from edgec.passes.manager import PassRecord
from edgec.quant import QuantOptions, quantize_module
from edgec.quant.stored import is_quantized
from edgec.report.model import BudgetLine
from edgec.target.device import Device

AS_STORED = "as stored"
FEW_SAMPLES = 4


@dataclass(frozen=True)
class Candidate:
    """A finished artifact with everything that is reported of it."""

    scheme: str
    module: Module
    artifact: bytes
    records: list[PassRecord]
    notes: list[Note]
    costs: CostFigures
    accuracy: AccuracyFigures | None
    calibration: str | None
    trace: Trace  # of the passes behind quantization


@dataclass(frozen=True)
class CandidateMaker:
    """Prunes, quantizes, lowers and prices one float module for a device.

    `records` are of the passes that made it; `feeds` is what artifacts are timed on, `samples` what they are calibrated
    on; `trace` is branched for every artifact that is tried, and the branch of a trial lowering is dropped.
    """

    options: CompileOptions
    device: Device
    source: SourceModel
    pipeline: Pipeline
    trace: Trace
    opening: Opening | None
    float_module: Module
    records: list[PassRecord]
    feeds: RunFeeds
    samples: SampleSet | None

    def best(self, module: Module, schemes: list[str]) -> tuple[Candidate, Pruned | None]:
        """The first scheme that holds the budget; where none does, the one that comes closest (the last tried)."""
        best: tuple[int, Candidate, Pruned | None] | None = None
        rank = {"fits": 0, "uncertain": 1, "unknown": 1, "misses": 2}
        for scheme in schemes:
            work = clone_module(module)
            pruned = prune(work, self.options, self.device.target, partial(self._holds, scheme))
            if pruned is not None:
                pruned = replace(pruned, latency_ms=(self._latency_ms(module, scheme), self._latency_ms(work, scheme)))
            candidate = self._finish(work, scheme)
            found = rank[verdict_of(lines_of(candidate, self.options, self.device))]
            if best is None or found < best[0] or found == best[0] == 2:
                best = (found, candidate, pruned)
            if found == 0:
                break
        assert best is not None
        return best[1], best[2]

    def _latency_ms(self, module: Module, scheme: str) -> float | None:
        """Latency of a float module as it would be under a scheme, in milliseconds."""
        dtype = self.device.target.compute_dtype.get(scheme)  # type: ignore[call-overload]
        return estimate_latency(module, self.device, self.options.kernel_library, dtype=dtype).total.value

    def _holds(self, scheme: str, module: Module) -> bool:
        """Whether the budget, accuracy left aside, holds for a pruned float module, roughly quantized."""
        work = clone_module(module)
        if scheme in (AS_STORED, "fp32"):
            quantized = work
        else:
            feeds = None if self.samples is None else partial(_few, self.samples)
            rough = QuantOptions(method="minmax", bias_correction=False)
            quantized = quantize_module(work, scheme, self.device.target, feeds, rough).module
        artifact, _ = self._lower(quantized, self.trace.branch())
        figures = cost_figures(quantized, artifact, self.device, self.options.kernel_library, feeds=self.feeds)
        unknown = Estimate.unknown("not measured while searching")
        lines = budget_lines(self.options.limits, figures.against_budget(unknown), self.device)
        return verdict_of([line for line in lines if line.name != "accuracy-drop"]) == "fits"

    def _lower(self, module: Module, trace: Trace) -> tuple[bytes, list[PassRecord]]:
        """The passes behind quantization, the memory plan, and the bytes."""
        records = trace.run(module, self.pipeline.after)
        module.metadata.pop(METADATA_NAME, None)  # a plan that came with the file speaks of its tensors, not of ours
        if self.device.target.runtime == "tflm":
            saved = reorder_ops(module)
            if saved is not None:
                trace.context.notes.append(Note(Severity.INFO, "schedule", saved))
            embed_plan(module, plan_module(module))
        if self.opening is not None:
            self.opening.sign(module)
        return serialize(module), records

    def _finish(self, module: Module, scheme: str) -> Candidate:
        """Quantize, legalize, plan memory, serialize and price one candidate."""
        options, target, samples = self.options, self.device.target, self.samples
        notes: list[Note] = []
        calibration = None
        if scheme not in (AS_STORED, "fp32"):
            options.progress(f"quantizing to {scheme}", None)
            watched = WatchedSamples(samples) if samples is not None else None
            result = quantize_module(
                module, scheme, target, watched.iter_feeds if watched is not None else None,
                quant_options(options), progress=self._calibrating(),
            )  # fmt: skip
            module = result.module
            notes = [Note(Severity.INFO, "quantize", text) for text in result.notes]
            notes += watched.warnings() if watched is not None else []
            calibration = result.plan.method if result.plan is not None and scheme in STATIC else None
        trace = self.trace.branch()
        artifact, after = self._lower(module, trace)
        if self.source.format == "tflite" or may_crash(module):
            try_out(artifact, module, target)  # a file from anywhere may crash the runtimes
        options.progress("pricing", None)
        costs = cost_figures(module, artifact, self.device, options.kernel_library, feeds=self.feeds)
        accuracy = None
        if options.eval is not None:
            quantized_source = is_quantized(self.float_module)
            accuracy = measure_accuracy(
                options.eval, self.float_module, module, artifact, target, quantized_source, options.progress
            )
        return Candidate(scheme, module, artifact, [*self.records, *after], notes, costs, accuracy, calibration, trace)

    def _calibrating(self) -> Callable[[int], None]:
        total = self.samples.feed_count() if self.samples is not None else 1

        def report(done: int) -> None:
            self.options.progress("calibrating", done / total)

        return report


def lines_of(candidate: Candidate, options: CompileOptions, device: Device) -> list[BudgetLine]:
    """The budget's lines, held against a candidate."""
    drop = Estimate.unknown("no labelled data was given; give some with --eval")
    if candidate.accuracy is not None:
        drop = candidate.accuracy.drop
    return budget_lines(options.limits, candidate.costs.against_budget(drop), device)


def quant_options(options: CompileOptions) -> QuantOptions:
    """How activation ranges are chosen; raises QuantizationError for a method there is none of."""
    method = options.calibration_method
    if method == AUTO:
        return QuantOptions()
    try:
        return QuantOptions(method=method)  # type: ignore[arg-type]  # checked by the class
    except ValueError as error:
        raise QuantizationError(f"Choosing activation ranges: {error}.") from error


def _few(samples: SampleSet) -> Iterator[Mapping[str, np.ndarray]]:
    """The first samples: enough to make a quantized graph of the right shapes, not to trust its ranges."""
    return islice(samples.iter_feeds(), FEW_SAMPLES)
