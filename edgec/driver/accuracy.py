"""Accuracy of the float model and of the artifact on labelled data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgec.backends.tflite import serialize
from edgec.cost.estimate import Estimate, Evidence
from edgec.data.evaluate import accuracy_drop, evaluate_metrics
from edgec.driver.feeds import open_samples
from edgec.driver.options import Progress
from edgec.driver.runner import ArtifactRunner, litert_target
from edgec.ir.graph import Module
from edgec.target.target import Target


@dataclass(frozen=True)
class AccuracyFigures:
    """The metric's value for both models and the drop (above zero: the artifact is worse), in the metric's unit."""

    metric: str
    float_value: float
    artifact_value: float
    drop: Estimate
    samples: int
    source: str


def measure_accuracy(
    spec: str | Path, float_module: Module, module: Module, artifact: bytes, target: Target, quantized_source: bool,
    progress: Progress,
) -> AccuracyFigures:  # fmt: skip
    """Score both models in one pass over the samples: the float model in LiteRT, the artifact in its target's runtime.

    Raises:
        DataError: the samples carry no labels or no metric, or do not fit the model.
    """
    samples = open_samples(spec, float_module)
    total, done = len(samples), 0

    def on_sample() -> None:
        nonlocal done
        done += 1
        progress("evaluating", done / total)

    runtime = target if quantized_source else litert_target(target)
    reference = ArtifactRunner(serialize(float_module), float_module, runtime)
    runs = [reference.run_fresh, ArtifactRunner(artifact, module, target).run_fresh]
    ours, theirs = evaluate_metrics(runs, samples, on_sample=on_sample)
    drop = Estimate.exact(accuracy_drop(ours, theirs), Evidence.EXECUTED, f"{samples.metric} on {total} samples")
    return AccuracyFigures(str(samples.metric), ours.value, theirs.value, drop, total, samples.origin)
