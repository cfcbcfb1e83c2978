"""The proof: float module against the source's runtime, artifact against float module, byte for byte where possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgec.backends.tflite import serialize
from edgec.diagnostics import Note, Severity
from edgec.driver.checks import compare_runs, count_identical, worst_output
from edgec.driver.feeds import Feeds
from edgec.driver.first_departure import Diagnosis, diagnose, diagnose_stored
from edgec.driver.fitting_feeds import fitting_feeds
from edgec.driver.kept_outputs import KeptOutputs
from edgec.driver.options import Progress
from edgec.driver.original import Original
from edgec.driver.runner import (
    ArtifactRunner,
    feeds_in_source_layout,
    litert_target,
    open_session,
    outputs_in_source_layout,
)  # fmt: skip
from edgec.driver.source import SourceModel
from edgec.driver.source_runs import SourceRuns, recorded
from edgec.driver.source_runtimes import ROUNDING_TOLERANCE
from edgec.driver.stored_steps import BAR, few_steps, steps_apart
from edgec.driver.worst_layer import worst_layer
from edgec.errors import MissingExtra, RuntimeFailure, TranslationFault
from edgec.ir.graph import Module
from edgec.memory.tflm_metadata import METADATA_NAME
from edgec.passes.base import Pass
from edgec.report.model import Check
from edgec.target.target import Target

# LiteRT 2.3: ADD writes in place; a reshape of its result shares the buffer; an ADD behind that writes in place, too,
# though the first result is still to be read. XNNPACK plans its memory itself.
OVERWRITTEN = (
    "LiteRT's own kernels overwrite a value of this model that is still to be read, so that they depart from the "
    "source: run the artifact with XNNPACK, as LiteRT does by default; the checks give every value a buffer of its own"
)
UNCHECKED_SAMPLES = 1  # with --no-check the artifact is still run, to see that it runs


@dataclass(frozen=True)
class Verification:
    """The comparisons that were made; None where one was not, for the reason in `notes`."""

    float_vs_source: Check | None = None
    artifact_vs_float: Check | None = None
    bit_exact_runs: int | None = None
    bit_exact_of: int | None = None
    bit_exact_against: str | None = None
    source_runtime: str | None = None
    artifact_runtime: str | None = None
    notes: list[str] = field(default_factory=list)
    cross_check: Check | None = None
    tool_versions: Mapping[str, str] = field(default_factory=dict)  # of the second opinion
    warnings: list[Note] = field(default_factory=list)

    @classmethod
    def none(cls, why: str) -> Verification:
        """No comparison, and why."""
        return cls(notes=[why])


def verify_artifact(
    source: SourceModel, source_runs: SourceRuns, float_module: Module, module: Module, artifact: bytes, target: Target,
    feeds: Feeds, *,
    passes: Sequence[Pass], later_passes: Sequence[Pass], other_feeds: Callable[[], Feeds] | None,
    quantized_source: bool, original: Original | None,
    pruned: bool, check: bool, progress: Progress,
) -> Verification:  # fmt: skip
    """Run and compare everything that can be; the source runs by `source_runs`.

    `passes` made the float module of the source, `later_passes` the artifact behind quantization; where the source and
    what was made of it depart, they are run again to find out where.
    `other_feeds` gives inputs to try where `feeds` lead to NaN or infinity, None where they are real samples.
    `original` is a quantized source before any pass; unless channels were `pruned`, the artifact must equal it but for
    the few steps that `stored_steps` explains, which are a warning.

    Raises:
        TranslationFault: the float module does not run, departs from the source model by more than rounding explains,
            or the artifact from its quantized source.
    """
    notes: list[str] = []
    warnings: list[Note] = []
    own_buffers = False
    kept = KeptOutputs()
    progress("checking against the source", None)
    from_source, source_name = None, None
    if not check:
        notes.append("the comparison with the source model was switched off")
    elif quantized_source:
        notes.append(_quantized_note(original, target, pruned=pruned))
    else:
        compared_with = _SourceComparison(source, source_runs, float_module, target, artifact)
        from_source = compared_with.run(feeds, other_feeds, passes, notes)
        feeds, source_name = compared_with.feeds or feeds, compared_with.name
        own_buffers, kept = compared_with.own_buffers, compared_with.kept
        if own_buffers:
            warnings.append(Note(Severity.WARNING, "LiteRT", OVERWRITTEN))
    progress("checking the artifact", None)
    if not check:
        feeds = feeds[:UNCHECKED_SAMPLES]
    reference = None
    if not quantized_source:
        reference = kept.of(feeds)
        if reference is None:
            in_float = serialize(float_module, like=artifact)
            session = ArtifactRunner(
                in_float, float_module, litert_target(target), xnnpack=False, own_buffers=own_buffers
            )  # fmt: skip
            reference = recorded(session.run, feeds) if source.is_large else session.run
            del in_float, session
    try:
        runner = ArtifactRunner(artifact, module, target)
    except MissingExtra as error:
        return Verification(from_source, source_runtime=source_name, notes=[*notes, str(error)])
    if reference is None:
        stored = _StoredComparison(source, original, [*passes, *later_passes], float_module, module, target)
        return stored.run(runner, feeds, notes, without_bar=pruned or not check)
    compared = compare_runs(
        reference, runner.run, feeds, [v.name for v in module.main.outputs],
        name="float module in LiteRT's own kernels", tolerance=None,
    )  # fmt: skip
    runs, against = _bit_exact(runner, module, target, feeds)
    artifact_runtime = str(runner.session.runtime)
    del runner
    if not _is_float(module):
        layer = worst_layer(float_module, module, feeds[:2], one_at_a_time=source.is_large)
        if layer is not None:
            compared = compared.model_copy(update={"worst_layer": layer[0], "worst_layer_sqnr_db": layer[1]})
    return Verification(
        from_source, compared, runs, None if runs is None else len(feeds), against, source_name, artifact_runtime,
        notes, warnings=warnings,
    )  # fmt: skip


@dataclass
class _SourceComparison:
    """The float module against the source in its own runtime; `feeds` are those that the figures speak of.

    `own_buffers` is true where the two agree only as long as no two tensors share memory; `kept` holds what the float
    module gave when it was run last.
    """

    source: SourceModel
    source_runs: SourceRuns
    float_module: Module
    target: Target
    artifact: bytes  # for a float scheme the float module's own bytes, which need not be in memory twice
    feeds: Feeds = ()
    name: str | None = None
    own_buffers: bool = False
    kept: KeptOutputs = field(default_factory=KeptOutputs)

    def run(
        self, feeds: Feeds, other_feeds: Callable[[], Feeds] | None, passes: Sequence[Pass], notes: list[str]
    ) -> Check | None:
        """The figures, on `other_feeds` where the first lead to NaN or infinity.

        None with a note where the source does not run; raises TranslationFault where the float module does not.
        """
        try:
            found, self.feeds = self._on_fitting(feeds, generated=other_feeds is not None)
            if found.passed is False:
                self.own_buffers = True
                apart = self._compared(self.feeds)
                self.own_buffers = apart.passed is True
                found = apart if self.own_buffers else found
            if found.passed and not found.finite and other_feeds is not None:
                others = other_feeds()
                again = self._compared(others)
                if again.finite or not again.passed:
                    found, self.feeds = again, others
        except (RuntimeFailure, MissingExtra) as error:
            notes.append(f"the source model could not be compared: {error}")
            return None
        if found.passed is False:
            given = [feeds_in_source_layout(feed, self.float_module) for feed in self.feeds]
            diagnosis = diagnose(self.source, self.source.runtime(), passes, litert_target(self.target), given)
            raise TranslationFault(_departure(self.source, found, diagnosis))
        if not found.finite:
            notes.append("some outputs are NaN or infinity, in the source as well: give real inputs with --calibration")
        self.name = found.reference
        return found

    def _on_fitting(self, feeds: Feeds, *, generated: bool) -> tuple[Check, Feeds]:
        """The figures on `feeds`, and these; of generated ones only on those that suit the source, where not all do."""
        try:
            found = self._compared(feeds)
        except RuntimeFailure:
            if not generated:
                raise
            fitting, _ = fitting_feeds(self.source, self.float_module, feeds)
            if not 0 < len(fitting) < len(feeds):
                raise
        else:
            if found.passed is not False or not generated:
                return found, feeds
            fitting, _ = fitting_feeds(self.source, self.float_module, feeds)
            if not 0 < len(fitting) < len(feeds):
                return found, feeds
        return self._compared(fitting), fitting

    def _compared(self, feeds: Feeds) -> Check:
        """Both from their initial state; of a large model the source runs first, and is gone when ours is loaded."""
        module = self.float_module
        reference = self.source_runs.on(feeds)
        written = serialize(module, like=self.artifact)
        ours = _OwnRuns(self.source.path.name, written, module, self.target, own_buffers=self.own_buffers)
        kept = self.kept = KeptOutputs()
        return compare_runs(
            reference.run, lambda feed: outputs_in_source_layout(kept.keep(feed, ours.run(feed)), module),
            feeds, [v.name for v in module.main.outputs], name=reference.name, tolerance=reference.tolerance,
            allowed=[few_steps(v) for v in module.main.outputs],
            rounding=reference.tolerance is not None and reference.tolerance >= ROUNDING_TOLERANCE,
        )  # fmt: skip


class _OwnRuns:
    """The float module in LiteRT's own kernels; where it does not run, that is no failure of the source's."""

    def __init__(self, name: str, artifact: bytes, module: Module, target: Target, *, own_buffers: bool) -> None:
        self._name = name
        try:
            self._runner = ArtifactRunner(
                artifact, module, litert_target(target), xnnpack=False, own_buffers=own_buffers
            )  # fmt: skip
        except RuntimeFailure as error:
            raise self._fault(error) from error

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Real-valued outputs in order; raises TranslationFault where LiteRT fails."""
        try:
            return self._runner.run(feed)
        except RuntimeFailure as error:
            raise self._fault(error) from error

    def _fault(self, error: RuntimeFailure) -> TranslationFault:
        return TranslationFault(
            f"Checking the translation of '{self._name}': the float module that was made of it does not run in LiteRT, "
            f"please report it: {error}"
        )


def _departure(source: SourceModel, check: Check, diagnosis: Diagnosis) -> str:
    worst = worst_output(check)
    share = "in shape or by values that are not finite"
    if worst.max_rel_to_range is not None:
        share = f"by {worst.max_rel_to_range:.2g} of its range (largest error {worst.max_abs_error:.3g})"
    return (
        f"Checking the translation of '{source.path.name}': output '{worst.output}' departs from {check.reference} "
        f"{share}, the tolerance is {check.tolerance}; {diagnosis.where}; {diagnosis.blame} "
        "(--no-check compiles all the same)."
    )


def _quantized_note(original: Original | None, target: Target, *, pruned: bool) -> str:
    if original is None:
        return "the source is quantized and the target's runtime does not run it: the artifact is compared with nothing"
    if pruned:
        return "the source is quantized and channels were pruned: the artifact is compared with it, not byte for byte"
    if original.target.runtime != target.runtime:
        return (
            "the source is quantized and the target's runtime does not run it as it is: the artifact is compared with "
            "it in LiteRT's own kernels, which may round otherwise"
        )
    return "the source is quantized: the artifact is compared with it byte for byte instead"


@dataclass(frozen=True)
class _StoredComparison:
    """The artifact against its quantized source in the same kernels; without one, it is only seen to run."""

    source: SourceModel
    original: Original | None
    passes: Sequence[Pass]  # all that made the artifact
    float_module: Module
    module: Module
    target: Target

    def run(self, runner: ArtifactRunner, feeds: Feeds, notes: list[str], *, without_bar: bool) -> Verification:
        """The figures; no bar is set where channels were pruned, or with --no-check."""
        name = str(runner.session.runtime)
        original = self.original
        if original is None:
            for feed in feeds:
                runner.run_raw(feed)
            return Verification(artifact_runtime=name, notes=notes)
        if original.note:
            notes.append(original.note)
        alike = original.target.runtime == self.target.runtime
        reference = ArtifactRunner(original.data, original.module, original.target, xnnpack=alike)
        outputs = [v.name for v in self.module.main.outputs]
        compared = compare_runs(reference.run, runner.run, feeds, outputs, name=original.name, tolerance=None)
        if without_bar:
            return Verification(None, compared, artifact_runtime=name, notes=notes)
        runs = count_identical(reference.run_steps, runner.run_steps, feeds)
        within, warnings = (True, []) if runs == len(feeds) else self._beyond_bytes(reference, runner, feeds, alike)
        compared = compared.model_copy(update={"passed": within, "tolerance": BAR})
        against = "the source model" if alike else "the source model in LiteRT's own kernels"
        return Verification(None, compared, runs, len(feeds), against, None, name, notes, warnings=warnings)

    def _beyond_bytes(
        self, reference: ArtifactRunner, runner: ArtifactRunner, feeds: Feeds, alike: bool
    ) -> tuple[bool, list[Note]]:
        """Whether the bar holds though bytes differ, and the warning that says by how much they do.

        Raises:
            TranslationFault: it does not hold, and other kernels are no explanation.
        """
        assert self.original is not None
        found = [one for one in steps_apart(reference.run, runner.run, feeds, self.original.module) if one.apart_at_all]
        text = "; ".join(str(one) for one in found)
        beyond = [one for one in found if one.beyond]
        if not beyond:
            why = "its known causes are results that lie half way between two steps"
            return True, [Note(Severity.WARNING, "source check", f"{text}: within the bar of {BAR}; {why}")]
        given = [feeds_in_source_layout(feed, self.float_module) for feed in feeds]
        diagnosis = diagnose_stored(self.source, self.original, self.passes, self.target, given)
        if diagnosis is None and not alike:
            why = "in LiteRT's own kernels the two agree, so it is the target's kernels that compute otherwise"
            return False, [Note(Severity.WARNING, "source check", f"{text}: beyond the bar of {BAR}; {why}")]
        if diagnosis is None:
            diagnosis = Diagnosis("in LiteRT's own kernels nothing departs after any pass: it is the target's kernels")
        raise TranslationFault(
            f"Checking the artifact of '{self.source.path.name}' against {self.original.name}: {beyond[0]}, the bar is "
            f"{BAR}; {diagnosis.where}; {diagnosis.blame} (--no-check compiles all the same)."
        )


def _is_float(module: Module) -> bool:
    return not any(r.quant is not None for op in module.main.ops for r in op.results)


def _bit_exact(runner: ArtifactRunner, module: Module, target: Target, feeds: Feeds) -> tuple[int | None, str | None]:
    """How many runs were byte-identical, and to what."""
    if target.runtime != "tflm" or METADATA_NAME not in module.metadata:
        return None, None
    plan = module.metadata.pop(METADATA_NAME)
    try:
        plain = open_session(serialize(module), target)
    finally:
        module.metadata[METADATA_NAME] = plan
    return (
        count_identical(lambda feed: list(plain.run(runner.inputs(feed))), runner.run_raw, feeds),
        "the same model under TFLM's own memory planner",
    )
