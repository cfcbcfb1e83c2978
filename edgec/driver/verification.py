"""The proof: float module against the source's runtime, artifact against float module, byte for byte where possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgec.backends.tflite import serialize
from edgec.driver.checks import above_rounding, compare_runs, count_identical
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
from edgec.driver.worst_layer import worst_layer
from edgec.errors import MissingExtra, RuntimeFailure, TranslationFault
from edgec.ir.graph import Module
from edgec.memory.tflm_metadata import METADATA_NAME
from edgec.report.model import Check
from edgec.target.target import Target

Feeds = Sequence[Mapping[str, np.ndarray]]
EXACT = 0.0
UNCHECKED_SAMPLES = 2  # with --no-check the artifact is still run, to see that it runs


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

    @classmethod
    def none(cls, why: str) -> Verification:
        """No comparison, and why."""
        return cls(notes=[why])


def verify_artifact(
    source: SourceModel, float_module: Module, module: Module, artifact: bytes, target: Target, feeds: Feeds, *,
    quantized_source: bool, original: Original | None, pruned: bool, check: bool, progress: Progress,
) -> Verification:  # fmt: skip
    """Run and compare everything that can be.

    `original` is a quantized source before any pass; unless channels were `pruned`, the artifact must equal it.

    Raises:
        TranslationFault: the float module departs from the source model by more than rounding explains.
    """
    notes: list[str] = []
    progress("checking against the source", None)
    from_source, source_name = None, None
    if not check:
        notes.append("the comparison with the source model was switched off")
    elif quantized_source:
        notes.append(_quantized_note(original, pruned=pruned))
    else:
        from_source, source_name = _against_source(source, float_module, target, feeds, notes)
    progress("checking the artifact", None)
    try:
        runner = ArtifactRunner(artifact, module, target)
    except MissingExtra as error:
        return Verification(from_source, source_runtime=source_name, notes=[*notes, str(error)])
    if not check:
        feeds = feeds[:UNCHECKED_SAMPLES]
    if quantized_source:
        return _against_original(original, runner, module, target, feeds, notes, pruned=pruned)
    reference = ArtifactRunner(serialize(float_module), float_module, litert_target(target), xnnpack=False)
    compared = compare_runs(
        reference.run, runner.run, feeds, [v.name for v in module.main.outputs],
        name="float module in LiteRT's own kernels", tolerance=None,
    )  # fmt: skip
    if not _is_float(module):
        layer = worst_layer(float_module, module, feeds[:2])
        if layer is not None:
            compared = compared.model_copy(update={"worst_layer": layer[0], "worst_layer_sqnr_db": layer[1]})
    runs, against = _bit_exact(runner, module, target, feeds)
    return Verification(
        from_source, compared, runs, None if runs is None else len(feeds), against, source_name,
        str(runner.session.runtime), notes,
    )  # fmt: skip


def _against_source(
    source: SourceModel, float_module: Module, target: Target, feeds: Feeds, notes: list[str]
) -> tuple[Check | None, str | None]:
    try:
        runtime = source.runtime()
        ours = ArtifactRunner(serialize(float_module), float_module, litert_target(target), xnnpack=False)

        def run_source(feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            return runtime.run(feeds_in_source_layout(feed, float_module))

        def run_ours(feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            return outputs_in_source_layout(ours.run(feed), float_module)

        names = [v.name for v in float_module.main.outputs]
        found = compare_runs(run_source, run_ours, feeds, names, name=runtime.name, tolerance=runtime.tolerance)
    except RuntimeFailure as error:
        notes.append(f"the source model could not be compared: {error}")
        return None, None
    if found.passed is False:
        raise TranslationFault(_departure(source, found))
    return found, runtime.name


def _departure(source: SourceModel, check: Check) -> str:
    failing = filter(above_rounding, check.outputs)
    worst = max(failing, key=lambda o: o.max_rel_to_range if o.max_rel_to_range is not None else float("inf"))
    share = "not finite" if worst.max_rel_to_range is None else f"{worst.max_rel_to_range:.2g} of its range"
    return (
        f"Checking the translation of '{source.path.name}': output '{worst.output}' departs from {check.reference} "
        f"by {share}, the tolerance is {check.tolerance}; this is a fault of the translation, please report it "
        "(--no-check compiles all the same)."
    )


def _quantized_note(original: Original | None, *, pruned: bool) -> str:
    if original is None:
        return "the source is quantized and the target's runtime does not run it: the artifact is compared with nothing"
    if pruned:
        return "the source is quantized and channels were pruned: the artifact is compared with it, not byte for byte"
    return "the source is quantized: the artifact is compared with it byte for byte instead"


def _against_original(
    original: Original | None, runner: ArtifactRunner, module: Module, target: Target, feeds: Feeds, notes: list[str],
    *, pruned: bool,
) -> Verification:  # fmt: skip
    """Compare with the quantized source in the same kernels; without one, only see that the artifact runs."""
    name = str(runner.session.runtime)
    if original is None:
        for feed in feeds:
            runner.run_raw(feed)
        return Verification(artifact_runtime=name, notes=notes)
    if original.note:
        notes.append(original.note)
    reference = ArtifactRunner(original.data, original.module, target)
    compared = compare_runs(
        reference.run, runner.run, feeds, [v.name for v in module.main.outputs], name=original.name,
        tolerance=None if pruned else EXACT,
    )  # fmt: skip
    if pruned:
        return Verification(None, compared, artifact_runtime=name, notes=notes)
    runs = count_identical(reference.run_raw, runner.run_raw, feeds)
    return Verification(None, compared, runs, len(feeds), "the source model", None, name, notes)


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
