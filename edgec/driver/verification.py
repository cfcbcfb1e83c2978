"""The proof: float module against the source's runtime, artifact against float module, byte for byte where possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgec.backends.tflite import serialize
from edgec.driver.checks import Run, compare_runs, count_identical
from edgec.driver.options import Progress
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

    @classmethod
    def none(cls, why: str) -> Verification:
        """No comparison, and why."""
        return cls(notes=[why])


def verify_artifact(
    source: SourceModel, float_module: Module, module: Module, artifact: bytes, target: Target, feeds: Feeds, *,
    quantized_source: bool, check: bool, progress: Progress,
) -> Verification:  # fmt: skip
    """Run and compare everything that can be.

    Raises:
        TranslationFault: the float module departs from the source model by more than rounding explains.
    """
    notes: list[str] = []
    progress("checking against the source", None)
    from_source, source_name = None, None
    if not check:
        notes.append("the comparison with the source model was switched off")
    elif quantized_source:
        notes.append("the source is quantized: the artifact is compared with it byte for byte instead")
    else:
        from_source, source_name = _against_source(source, float_module, target, feeds, notes)
    progress("checking the artifact", None)
    try:
        runner = ArtifactRunner(artifact, module, target)
    except MissingExtra as error:
        return Verification(from_source, source_runtime=source_name, notes=[*notes, str(error)])
    float_name = "the source's own file" if quantized_source else "float module in LiteRT's own kernels"
    reference = _reference(float_module, target, quantized_source)
    if not check:
        feeds = feeds[:UNCHECKED_SAMPLES]
    compared = compare_runs(
        reference.run, runner.run, feeds, [v.name for v in module.main.outputs], name=float_name,
        tolerance=EXACT if quantized_source else None,
    )  # fmt: skip
    if not quantized_source and not _is_float(module):
        layer = worst_layer(float_module, module, feeds[:2])
        if layer is not None:
            compared = compared.model_copy(update={"worst_layer": layer[0], "worst_layer_sqnr_db": layer[1]})
    runs, against = _bit_exact(reference.run_raw, runner, module, target, feeds, quantized_source)
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
    worst = max(check.outputs, key=lambda o: o.max_rel_to_range if o.max_rel_to_range is not None else float("inf"))
    share = "not finite" if worst.max_rel_to_range is None else f"{worst.max_rel_to_range:.2g} of its range"
    return (
        f"Checking the translation of '{source.path.name}': output '{worst.output}' departs from {check.reference} "
        f"by {share}, the tolerance is {check.tolerance}; this is a fault of the translation, please report it "
        "(--no-check compiles all the same)."
    )


def _reference(float_module: Module, target: Target, quantized_source: bool) -> ArtifactRunner:
    """The float module in LiteRT's own kernels; a model that came quantized in its target's own runtime."""
    runtime = target if quantized_source else litert_target(target)
    return ArtifactRunner(serialize(float_module), float_module, runtime, xnnpack=False)


def _is_float(module: Module) -> bool:
    return not any(r.quant is not None for op in module.main.ops for r in op.results)


def _bit_exact(
    reference: Run, runner: ArtifactRunner, module: Module, target: Target, feeds: Feeds, quantized_source: bool
) -> tuple[int | None, str | None]:
    """How many runs were byte-identical, and to what."""
    if quantized_source:
        return count_identical(reference, runner.run_raw, feeds), "the source model"
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
