"""One compilation, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from edgec.backends.tflite import serialize
from edgec.data.samples import SampleSet
from edgec.diagnostics import Note, Severity
from edgec.driver.candidates import AS_STORED, Candidate, CandidateMaker, lines_of, quant_options
from edgec.driver.cross_check import check_request, cross_check
from edgec.driver.feeds import generated_feeds, open_samples
from edgec.driver.figures import cost_figures
from edgec.driver.fitting_feeds import fitting_feeds
from edgec.driver.open_axes import Sizes, check_target, open_axes
from edgec.driver.opening import Opening
from edgec.driver.options import CompileOptions, CompileResult
from edgec.driver.original import Original, may_crash, runnable_original, try_out
from edgec.driver.pipeline import Pipeline, build_pipeline
from edgec.driver.prune import Pruned
from edgec.driver.report_builder import ReportParts, build_report
from edgec.driver.requantize import check_stored_scheme, dequantized_source
from edgec.driver.run_feeds import RunFeeds, run_feeds
from edgec.driver.runner import litert_target
from edgec.driver.scheme_choice import STATIC, candidate_schemes
from edgec.driver.shape_request import Requests, parse_requests, planned_sizes
from edgec.driver.signature_names import by_tensor_name
from edgec.driver.snapshot import Snapshot
from edgec.driver.source import ReadOptions, SourceModel, load_source
from edgec.driver.source_runs import SourceRuns
from edgec.driver.trace import ALL, Trace
from edgec.driver.unrunnable import check_runnable
from edgec.driver.verification import Verification, verify_artifact
from edgec.errors import LoweringError, PassError, ProfileError, RuntimeFailure, TranslationFault
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module
from edgec.ir.open_size import has_open_size
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.fix_batch import FixBatch
from edgec.passes.legalize.legalize import refusal_text
from edgec.passes.manager import PassRecord, run_passes
from edgec.quant import carries_all_ranges, scheme_of_pairs
from edgec.quant.stored import is_quantized
from edgec.target.constraints import check_legality
from edgec.target.device import Device
from edgec.target.load import load_device


def compile_model(model: object, options: CompileOptions) -> CompileResult:
    """Compile a model for one device; writes nothing (see `CompileResult.write`).

    `model` is a file's path, `package.module:function` of PyTorch code, or a `torch.nn.Module` with
    `options.example_inputs`.

    Raises:
        EdgecError: the model, the device, the data or an option is at fault; one sentence says how.
    """
    return _Compilation(model, options).run()


def fit_model(model: object, options: CompileOptions) -> CompileResult:
    """What a model costs on a device as it is: no pass changes a `.tflite`, and nothing is pruned or quantized.

    Raises:
        EdgecError: the model, the device or an option is at fault.
    """
    return _Compilation(model, options).fit()


@dataclass
class _Compilation:
    model: object
    options: CompileOptions
    run_feeds: RunFeeds = field(default_factory=lambda: RunFeeds([]))

    @cached_property
    def device(self) -> Device:
        device = self.options.device
        return device if isinstance(device, Device) else load_device(device)

    @cached_property
    def pipeline(self) -> Pipeline:
        overrides = {"move_transposes": {"keep_nchw": self.options.keep_nchw}}
        pipeline = build_pipeline(self.device.target, overrides)
        return pipeline.for_open_sizes() if has_open_size(planned_sizes(self.requests)) else pipeline

    @cached_property
    def trace(self) -> Trace:
        return Trace(self.device.target, self.options.explain, self.options.print_after)

    @cached_property
    def requests(self) -> Requests:
        return by_tensor_name(parse_requests(self.options.shapes), self.model)

    @cached_property
    def source(self) -> SourceModel:
        self.options.progress("reading the model", None)
        return self._read(planned_sizes(self.requests))

    def _read(self, sizes: Sizes) -> SourceModel:
        o = self.options
        int8_only = all(scheme in STATIC for scheme in self.device.target.schemes)
        reading = ReadOptions(o.frontend, o.python, o.inputs, o.outputs, unroll=int8_only)
        source = load_source(self.model, sizes, o.example_inputs, reading)
        return dequantized_source(source) if o.requantize else source

    @cached_property
    def opening(self) -> Opening | None:
        """The dimensions that stay open in the artifact."""
        axes = open_axes(self.source.module, self.requests, f"Reading '{self.source.path}'")
        if axes is None:
            return None
        check_target(axes, self.device.target)
        return Opening(axes, self._translated_at)

    @cached_property
    def _exported_network(self) -> bytes:
        network = self.source.network
        return b"" if network is None else network.exported()

    def _translated_at(self, sizes: Sizes) -> Module:
        """The float module at other sizes."""
        network = self.source.network
        module = self._read(sizes).module if network is None else network.at_sizes(self._exported_network, sizes)
        run_passes(module, self.pipeline.before, PassContext(self.device.target))
        return module

    def run(self) -> CompileResult:
        device, options = self.device, self.options
        self._check_print_after()
        self._check_kernel_library()
        quant_options(options)  # a misspelt method is refused before any work
        pipeline = self.pipeline
        module = self.source.module
        if options.check:
            self.source.prepare_runtime()
        opening = self.opening
        if options.cross_check is not None:
            check_request(self.source, options.cross_check, options.frontend, options.python)
        check_runnable(module, device.target, self.source.path.name)
        self._note_empty_inputs(module)
        quantized_source = is_quantized(module)
        if quantized_source:
            check_stored_scheme(options.scheme, module, self.source.path.name)
        original = self._original(module) if quantized_source else None
        options.progress("running passes", None)
        before = Snapshot.of(module)
        records = self.trace.run(module, pipeline.before)
        if opening is not None:
            options.progress("keeping dimensions open", None)
            module = opening.opened()
        schemes = [AS_STORED] if quantized_source else self._schemes(module)
        float_module = clone_module(module)
        samples = self._samples(options.calibration, module)
        if (self.source.format == "tflite" or may_crash(float_module)) and not quantized_source:
            try_out(serialize(float_module), float_module, litert_target(device.target))
        network = self.source.network
        examples = None if network is None else network.examples
        self.run_feeds = run_feeds(float_module, samples, self.source.bytes, examples)
        source_runs = SourceRuns(self.source, float_module)
        if options.check and not quantized_source and self.source.is_large:
            options.progress("running the source", None)
            source_runs.make_ahead(self.run_feeds.feeds)
        maker = CandidateMaker(
            options, device, self.source, pipeline, self.trace, opening, float_module, records, self.run_feeds, samples
        )
        candidate, pruned = maker.best(module, schemes)
        self.trace.join(candidate.trace)
        verification = self._verification(
            candidate, source_runs, float_module, samples, original, quantized_source, pruned
        )
        if options.cross_check is not None and self.run_feeds.feeds:
            options.progress("cross-checking", None)
            found, notes, versions = cross_check(
                self.source, float_module, device.target, self.run_feeds.feeds, options.python,
                planned_sizes(self.requests),
            )  # fmt: skip
            notes = [*verification.notes, *notes]
            verification = replace(verification, cross_check=found, notes=notes, tool_versions=versions)
        if opening is not None:
            options.progress("trying other sizes", None)
            note = opening.prove(
                self.source, float_module, candidate.module, candidate.artifact, device.target, check=options.check
            )
            candidate.notes.append(note)
        return self._result(candidate, pruned, verification, before, samples, float_module)

    def _verification(
        self, candidate: Candidate, source_runs: SourceRuns, float_module: Module, samples: SampleSet | None,
        original: Original | None, quantized_source: bool, pruned: Pruned | None,
    ) -> Verification:  # fmt: skip
        verify = partial(
            verify_artifact, self.source, source_runs, float_module, candidate.module, candidate.artifact,
            self.device.target,
            passes=self.pipeline.before, later_passes=self.pipeline.after,
            other_feeds=partial(generated_feeds, float_module, positive=True) if samples is None else None,
            quantized_source=quantized_source, original=original,
            pruned=pruned is not None and pruned.result is not None, check=self.options.check,
            progress=self.options.progress,
        )  # fmt: skip
        feeds = self.run_feeds.feeds
        if not feeds:
            return Verification.none(f"nothing was run or compared: {self.run_feeds.why_none}")
        try:
            return verify(feeds)
        except (RuntimeFailure, TranslationFault) as error:
            fitting, why = fitting_feeds(self.source, float_module, feeds, numbers=samples is None)
            if len(fitting) == len(feeds):
                raise
            if samples is not None:
                raise RuntimeFailure(
                    f"Checking '{self.source.path.name}' on its calibration samples: the model does not run on all of "
                    f"them, or not as it states ({why}); give samples that suit it."
                ) from error
        if fitting:
            return verify(fitting)
        return Verification.none(
            f"nothing was run or compared: on generated inputs the model does not run, or not as it states ({why}); "
            "give real ones with --calibration"
        )

    def _note_empty_inputs(self, module: Module) -> None:
        for value in module.main.inputs:
            if not value.type.elements:
                found = f"input '{value.name}' has shape {list(value.shape)}, which holds nothing"
                self.trace.context.notes.append(Note(Severity.WARNING, "borders", found))

    def _schemes(self, module: Module) -> list[str]:
        target = self.device.target
        ranges_known = self.options.calibration is not None or carries_all_ranges(module, target)
        stored: str | None = scheme_of_pairs(module, target)
        if stored is None and self.source.rounds_at_run_time and target.scheme_refusal("w8") is None:
            stored = "w8"  # what TFLite calls dynamic range quantization
        return candidate_schemes(
            self.options.scheme, target, self.options.limits, calibrated=ranges_known, stored=stored
        )

    def _original(self, module: Module) -> Original | None:
        self.options.progress("trying the source", None)
        return runnable_original(self.source, clone_module(module), self.device.target)

    def fit(self) -> CompileResult:
        """Price the model without compressing it."""
        self._check_kernel_library()
        source = self.source
        module = source.module
        records: list[PassRecord] = []
        if source.format == "tflite":
            check_runnable(module, self.device.target, source.path.name)
            artifact = serialize(module) if source.shapes else source.path.read_bytes()
            if self.device.latency_basis == "executed":
                try_out(artifact, module, self.device.target)
            self.trace.run(module, [FixBatch()])  # only for the figures: the artifact is the file itself
        else:
            records = self.trace.run(module, self.pipeline.before)
            artifact = serialize(module)
        self.options.progress("pricing", None)
        scheme = AS_STORED if is_quantized(module) else "fp32"
        refusals = check_legality(module, self.device.target, None if scheme == AS_STORED else scheme)
        try:
            feeds = run_feeds(module, None, source.bytes)
            costs = cost_figures(module, artifact, self.device, self.options.kernel_library, feeds=feeds)
        except RuntimeFailure as error:
            if not refusals:
                raise
            raise LoweringError(refusal_text(refusals, self.device.target)) from error
        notes = [Note(Severity.WARNING, r.op.describe() if r.op else "borders", r.message) for r in refusals]
        if any(request.open_axes for request in self.requests.values()):
            notes.append(Note(Severity.INFO, "--shape", "edgec fit keeps nothing open: it prices the planned sizes"))
        candidate = Candidate(scheme, module, artifact, records, notes, costs, None, None, self.trace.branch())
        return self._result(candidate, None, Verification.none("edgec fit compares nothing"), None, None, module)

    def _result(
        self, candidate: Candidate, pruned: Pruned | None, verification: Verification,
        before: Snapshot | None, samples: SampleSet | None, float_module: Module,
    ) -> CompileResult:  # fmt: skip
        trace = self.trace
        report = build_report(
            ReportParts(
                source=self.source, device=self.device, kernel_library=self.options.kernel_library,
                module=candidate.module, artifact=candidate.artifact, scheme=candidate.scheme,
                records=candidate.records, notes=[*self.source.module.notes, *trace.context.notes, *candidate.notes],
                costs=candidate.costs, lines=lines_of(candidate, self.options, self.device), verification=verification,
                accuracy=candidate.accuracy, pruned=pruned, before=before, samples=samples,
                calibration_method=candidate.calibration,
            )
        )  # fmt: skip
        return CompileResult(
            candidate.artifact, candidate.module, report, "".join(trace.listing), tuple(trace.context.refusals)
        )

    def _samples(self, spec: str | Path | None, module: Module) -> SampleSet | None:
        if spec is None:
            return None
        self.options.progress("opening calibration samples", None)
        return open_samples(spec, module, self.options.calibration_limit)

    def _check_print_after(self) -> None:
        wanted = self.options.print_after
        names = {p.name for p in (*self.pipeline.before, *self.pipeline.after)}
        if wanted not in (None, ALL) and wanted not in names:
            raise PassError(
                f"Printing after '{wanted}': the pipeline has no such pass; it runs {', '.join(sorted(names))}."
            )

    def _check_kernel_library(self) -> None:
        wanted, known = self.options.kernel_library, self.device.kernel_libraries
        if wanted is not None and wanted not in known:
            choice = f"it has {', '.join(sorted(known))}" if known else "it has none, its latency is measured"
            raise ProfileError(
                f"Pricing on {self.device.name}: its profile has no kernel library '{wanted}'; {choice}."
            )
