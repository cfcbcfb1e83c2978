"""Keeps input dimensions open in the artifact, and proves at other sizes that it still computes the source model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgec.backends.tflite import serialize
from edgec.diagnostics import Note, Severity
from edgec.driver.agreement import departure
from edgec.driver.feeds import generated_feeds
from edgec.driver.open_axes import OpenAxes, Sizes
from edgec.driver.open_rewrite import SizeDependence, open_up
from edgec.driver.open_signatures import at_sizes, write_signatures
from edgec.driver.runner import (
    ArtifactRunner,
    feeds_in_source_layout,
    litert_target,
    outputs_in_source_layout,
)  # fmt: skip
from edgec.driver.source import SourceModel
from edgec.driver.source_runtimes import FLOAT_TOLERANCE, SourceRuntime
from edgec.errors import EdgecError, MissingExtra, RuntimeFailure
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module, Op, Value
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.eliminate_common_subexpressions import EliminateCommonSubexpressions
from edgec.runtime.evaluate import evaluate
from edgec.runtime.isolated import run_isolated
from edgec.target.target import Target

NEEDED_TRIALS = 2
MAX_TRIALS = 3
Feed = Mapping[str, np.ndarray]
Translate = Callable[[Sizes], Module]
"""Reads the model once more at other sizes and runs the float passes."""


@dataclass
class Opening:
    """The open dimensions of one compilation; `translate` gives the float module at other sizes."""

    axes: OpenAxes
    translate: Translate
    second: dict[str, int] = field(default_factory=dict)

    @property
    def doing(self) -> str:
        """How messages begin."""
        return f"Keeping the dimensions of {self.axes.describe()} open"

    def opened(self) -> Module:
        """The float module at its planned sizes, written so that it may be resized.

        Raises:
            SizeDependence: it depends on the sizes in a way an artifact cannot keep, or is not read at any other.
        """
        failure: EdgecError | None = None
        first = self.axes.first_sizes()
        for second in self.axes.second_sizes():
            self.second = second
            try:
                module = self.translate(self.axes.sizes_at(first))
                twin = self.translate(self.axes.sizes_at(self.second))
            except EdgecError as error:
                failure = error
                continue
            compared = f"{self.axes.describe(first)} and {self.axes.describe(self.second)}"
            open_up(module, twin, f"{self.doing} (compared at {compared})")
            EliminateCommonSubexpressions().run(module, PassContext())  # sizes that several ops compute
            return at_sizes(module, self._shapes(module, {}), self.doing).module
        raise SizeDependence(f"{self.doing}: the model is not read at another size: {failure}") from failure

    def sign(self, module: Module) -> None:
        """Write the shape signatures of a finished module."""
        write_signatures(module, self._shapes(module, self.second), self.doing)

    def _shapes(self, module: Module, of: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """The inputs' shapes at some sizes, in the module's own order of axes."""
        shapes = {}
        for name, sizes in self.axes.sizes_at(of).items():
            permutation = module.input_layout.get(name, range(len(sizes)))
            shapes[name] = tuple(sizes[axis] for axis in permutation)
        return shapes

    # -- the proof ---------------------------------------------------------------------------------------------------

    def prove(
        self, source: SourceModel, float_module: Module, module: Module, artifact: bytes, target: Target, *, check: bool
    ) -> Note:
        """Run the artifact at sizes it was not compiled for; returns what was found.

        The float module is compared with the source's own runtime, or, where that is not to be had, with the model
        translated for that size; the artifact with one compiled for that size, byte for byte.

        Raises:
            SizeDependence: they differ, or the source runs at fewer than two other sizes.
        """
        signed = clone_module(float_module)
        self.sign(signed)
        ours = ArtifactRunner(serialize(signed), signed, litert_target(target), xnnpack=False)
        final = ArtifactRunner(artifact, module, target)
        runtime = _runtime(source) if check else None
        passed: list[str] = []
        worst, refused = 0.0, ""
        for trial in self.axes.trial_sizes():
            feed = self._feed(float_module, trial)
            try:
                if source.format == "tflite":  # a file from anywhere may crash the runtime, so a child tries it first
                    run_isolated("litert", artifact, final.inputs(feed))
                wanted = self._wanted(runtime, float_module, trial, feed)
            except EdgecError as error:  # the source itself does not run at this size
                refused = str(error)
                continue
            worst = max(worst, self._agree(ours, float_module, trial, feed, wanted, runtime))
            self._identical(final, module, target, trial, feed)
            passed.append(self.axes.describe(trial))
            if len(passed) == MAX_TRIALS:
                break
        if len(passed) < NEEDED_TRIALS:
            raise SizeDependence(
                f"{self.doing}: the model itself runs at {len(passed)} of the other sizes tried, so nothing shows that "
                f"the artifact is right there: {refused}"
            )
        name = runtime.name if runtime is not None else "translations for those sizes"
        planned = self.axes.describe({})
        return Note(
            Severity.INFO, "open dimensions",
            f"{self.axes.describe()} may be resized when run; memory and latency are those of {planned}; run as "
            f"{'; '.join(passed)} it agrees with {name} (largest error {worst:.1g} of the range) and byte for byte "
            "with artifacts compiled for those sizes",
        )  # fmt: skip

    def _feed(self, module: Module, trial: Mapping[str, int]) -> dict[str, np.ndarray]:
        return generated_feeds(module, count=2, shapes=self._shapes(module, trial))[1]

    def _wanted(
        self, runtime: SourceRuntime | None, module: Module, trial: Mapping[str, int], feed: Feed
    ) -> list[np.ndarray]:
        """What the source computes at a trial's sizes, in its own layout."""
        if runtime is not None:
            return runtime.run(feeds_in_source_layout(feed, module))
        twin = self.translate(self.axes.sizes_at(trial))
        return outputs_in_source_layout(evaluate(twin.main, feed), twin)

    def _agree(
        self, ours: ArtifactRunner, module: Module, trial: Mapping[str, int], feed: Feed, wanted: list[np.ndarray],
        runtime: SourceRuntime | None,
    ) -> float:  # fmt: skip
        """The largest error of the resized float module, relative to the range; raises SizeDependence."""
        at = f"{self.doing}: as {self.axes.describe(trial)}"
        try:
            found = outputs_in_source_layout(ours.run(feed), module)
        except RuntimeFailure as error:
            raise SizeDependence(f"{at} the runtime refuses it: {error}") from error
        tolerance = FLOAT_TOLERANCE if runtime is None or runtime.tolerance is None else runtime.tolerance
        largest = max((departure(a, b, 0.0) for a, b in zip(wanted, found, strict=True)), default=0.0)
        if largest <= tolerance:
            return largest
        raise SizeDependence(f"{at} it computes something else than the source; {self._first_op(module, trial, feed)}.")

    def _first_op(self, module: Module, trial: Mapping[str, int], feed: Feed) -> str:
        """Which op departs first from the model translated for a trial's sizes."""
        copy = at_sizes(module, self._shapes(module, trial), self.doing).module
        try:
            twin = self.translate(self.axes.sizes_at(trial))
        except EdgecError as error:
            return f"which op is first cannot be told, the model is not translated for that size: {error}".rstrip(".")
        pairs: list[tuple[Op, Value, Value]] = []
        for op, other in zip(list(copy.main.ops), list(twin.main.ops)):
            if op.opcode != other.opcode or [r.shape for r in op.results] != [r.shape for r in other.results]:
                return f"the first op to differ is {op.describe()}"
            pairs += [(op, a, b) for a, b in zip(op.results, other.results)]
        copy.main.outputs = [a for _, a, _ in pairs]
        twin.main.outputs = [b for _, _, b in pairs]
        for (op, _, _), have, want in zip(pairs, evaluate(copy.main, feed), evaluate(twin.main, feed)):
            if not np.allclose(have, want, rtol=1e-3, atol=1e-5, equal_nan=True):
                return f"the first op to differ is {op.describe()}"
        return "no single op of it differs from the model translated for that size"

    def _identical(
        self, final: ArtifactRunner, module: Module, target: Target, trial: Mapping[str, int], feed: Feed
    ) -> None:
        """Raise SizeDependence where the resized artifact differs from one compiled for a trial's sizes."""
        fixed = at_sizes(module, self._shapes(module, trial), self.doing).module
        expected = ArtifactRunner(serialize(fixed), fixed, target).run_raw(feed)
        for value, have, want in zip(module.main.outputs, final.run_raw(feed), expected, strict=True):
            if have.tobytes() != want.tobytes():
                raise SizeDependence(
                    f"{self.doing}: as {self.axes.describe(trial)} the runtime computes output '{value.name}' "
                    "otherwise than from an artifact compiled for that size."
                )


def _runtime(source: SourceModel) -> SourceRuntime | None:
    """The source's own runtime, None where it is not to be had or bounds nothing."""
    try:
        runtime = source.runtime()
    except (RuntimeFailure, MissingExtra):
        return None
    return None if runtime.tolerance is None else runtime
