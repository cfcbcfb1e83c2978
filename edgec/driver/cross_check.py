"""A second opinion: another program's translation of the same ONNX file, run on the same inputs as ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgec.backends.tflite import serialize
from edgec.driver.checks import Run, compare_runs
from edgec.driver.feeds import Feeds
from edgec.driver.original import try_out
from edgec.driver.runner import ArtifactRunner, feeds_in_source_layout, litert_target, outputs_in_source_layout
from edgec.driver.source import ONNX2TF, ReadOptions, Shapes, SourceModel, load_source
from edgec.driver.source_runtimes import FLOAT_TOLERANCE
from edgec.errors import ImportFailure, MissingExtra, RuntimeFailure
from edgec.ir.graph import Module
from edgec.report.model import Check
from edgec.target.target import Target

THEIRS = "onnx2tf's .tflite"


def check_request(source: SourceModel, wanted: str, frontend: str | None, python: str | None) -> None:
    """Refuse a cross-check that cannot be made, before any work.

    Raises:
        ImportFailure: there is no such program, or the source is no ONNX file read by edgec's own front end.
        MissingExtra: no interpreter with onnx2tf is known.
    """
    from edgec.frontends.tensorflow.onnx2tf import find_onnx2tf

    doing = f"Cross-checking '{source.path}'"
    if wanted != ONNX2TF:
        raise ImportFailure(f"{doing}: there is no second opinion '{wanted}'; it is {ONNX2TF}.")
    if source.format != "onnx":
        raise ImportFailure(f"{doing}: onnx2tf reads .onnx files only; compile it without --cross-check.")
    if frontend is not None:
        raise ImportFailure(f"{doing}: --frontend and --cross-check are both {ONNX2TF}; keep one.")
    find_onnx2tf(python, doing)


def cross_check(
    source: SourceModel, float_module: Module, target: Target, feeds: Feeds, python: str | None, shapes: Shapes
) -> tuple[Check | None, list[str], dict[str, str]]:
    """The comparison with onnx2tf's float `.tflite` as reference, what there is to say about it, and its versions.

    Where onnx2tf fails, or writes what LiteRT does not run, there is no comparison but a note: that is its fault.
    """
    try:
        opinion = load_source(source.path, shapes, options=ReadOptions(ONNX2TF, python))
        other = opinion.module
        data = serialize(other)
        litert = litert_target(target)
        try_out(data, other, litert)
        theirs = ArtifactRunner(data, other, litert, xnnpack=False)
        ours = ArtifactRunner(serialize(float_module), float_module, litert, xnnpack=False)
    except (ImportFailure, RuntimeFailure) as error:
        return None, [f"the cross-check could not be made: {error}"], {}

    def run_theirs(feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return outputs_in_source_layout(theirs.run(feeds_in_source_layout(feed, float_module)), other)

    def run_ours(feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return outputs_in_source_layout(ours.run(feed), float_module)

    names = [value.name for value in float_module.main.outputs]
    try:
        found = compare_runs(run_theirs, run_ours, feeds, names, name=THEIRS, tolerance=FLOAT_TOLERANCE)
    except RuntimeFailure as error:  # ours ran on the same inputs before
        return None, [f"the cross-check could not be made: {error}"], opinion.tool_versions
    if found.passed:
        return found, [], opinion.tool_versions
    right = _who_is_right(source, float_module, feeds, names, run_theirs, run_ours)
    return found, [f"{THEIRS} departs from edgec's translation: {right}"], opinion.tool_versions


def _who_is_right(
    source: SourceModel, float_module: Module, feeds: Feeds, names: Sequence[str], run_theirs: Run, run_ours: Run
) -> str:
    """Which of the two the source's own runtime is with, with the largest errors."""
    try:
        runtime = source.runtime()
        wanted = {id(feed): runtime.run(feeds_in_source_layout(feed, float_module)) for feed in feeds}
    except (RuntimeFailure, MissingExtra) as error:
        return f"the source could not be run to tell which of them is right: {error}"
    theirs, ours = (
        compare_runs(lambda feed: wanted[id(feed)], run, feeds, names, name=runtime.name, tolerance=runtime.tolerance)
        for run in (run_theirs, run_ours)
    )
    verdict = {
        (False, True): "agrees with edgec", (True, False): "agrees with onnx2tf", (True, True): "agrees with both",
    }.get((bool(theirs.passed), bool(ours.passed)), "agrees with neither")  # fmt: skip
    return (
        f"{runtime.name} {verdict} (largest error relative to the range: onnx2tf's {_error(theirs)}, "
        f"edgec's {_error(ours)})"
    )


def _error(check: Check) -> str:
    return "not finite" if check.max_rel_to_range is None else f"{check.max_rel_to_range:.1e}"
