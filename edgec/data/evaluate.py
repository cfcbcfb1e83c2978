"""Score models on a labelled sample set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgec.data.manifest import Metric
from edgec.data.metrics import MeanError, RocAuc, TopK
from edgec.data.samples import Feeds, Sample, SampleSet
from edgec.errors import DataError

Array = npt.NDArray[Any]
Run = Callable[[Feeds], list[Array]]


@dataclass(frozen=True, slots=True)
class MetricResult:
    """A metric's value over a number of samples; shares and areas are 0..1, `mean_error` is in the target's unit."""

    metric: Metric
    value: float
    samples: int

    @property
    def higher_is_better(self) -> bool:
        """False for errors."""
        return self.metric != "mean_error"


def accuracy_drop(float_result: MetricResult, artifact_result: MetricResult) -> float:
    """How much worse the artifact is, in the metric's unit; negative where it is better."""
    if float_result.metric != artifact_result.metric:
        raise ValueError(f"metrics {float_result.metric} and {artifact_result.metric} cannot be compared")
    loss = float_result.value - artifact_result.value
    return loss if float_result.higher_is_better else -loss


def evaluate_metric(run: Run, samples: SampleSet, *, on_sample: Callable[[], None] | None = None) -> MetricResult:
    """Score one model; see `evaluate_metrics`."""
    return evaluate_metrics([run], samples, on_sample=on_sample)[0]


def evaluate_metrics(
    runs: Sequence[Run], samples: SampleSet, *, on_sample: Callable[[], None] | None = None
) -> list[MetricResult]:
    """Score several models in one pass over the samples.

    Args:
        runs: each takes one feed as `SampleSet.iter_feeds` yields it and returns the model's outputs as real
            (dequantized) values.
        samples: a set with labels and a metric.
        on_sample: called after each sample, for progress.

    Raises:
        DataError: the set has no labels or metric, or labels and outputs do not match.
    """
    if samples.metric is None or samples.labels is None:
        raise DataError(
            f"evaluating on '{samples.origin}': it names no metric and labels; give both in a manifest, "
            "see docs/calibration-data.md"
        )
    scorers = [_scorer(samples) for _ in runs]
    for sample in samples.iter_samples():
        for run, scorer in zip(runs, scorers):
            scorer.add(sample, run)
        if on_sample is not None:
            on_sample()
    return [MetricResult(samples.metric, scorer.value(), len(samples)) for scorer in scorers]


class _Scorer(Protocol):
    def add(self, sample: Sample, run: Run) -> None: ...

    def value(self) -> float: ...


def _scorer(samples: SampleSet) -> _Scorer:
    if samples.metric == "reconstruction_auc":
        return _ReconstructionScorer(samples)
    if samples.metric == "mean_error":
        return _MeanErrorScorer(samples)
    if samples.metric == "auc":
        return _AucScorer(samples)
    return _TopKScorer(samples, 5 if samples.metric == "top5" else 1)


def _mean_output(sample: Sample, run: Run, samples: SampleSet) -> Array:
    """The scored output, averaged over the sample's windows."""
    total = _scored_output(run(sample.feeds[0]), samples)
    for feeds in sample.feeds[1:]:
        total = total + _scored_output(run(feeds), samples)
    return total / len(sample.feeds)


def _scored_output(outputs: list[Array], samples: SampleSet) -> Array:
    if samples.output >= len(outputs):
        raise DataError(
            f"evaluating on '{samples.origin}': output {samples.output} is to be scored, "
            f"the model has {len(outputs)} (from 0); change `output`"
        )
    return np.asarray(outputs[samples.output], dtype=np.float64)


class _TopKScorer:
    def __init__(self, samples: SampleSet, k: int) -> None:
        self._samples, self._top = samples, TopK(k)

    def add(self, sample: Sample, run: Run) -> None:
        self._top.add(_mean_output(sample, run, self._samples), int(_label(sample)))

    def value(self) -> float:
        return self._top.value()


class _AucScorer:
    """One output value is the score; of two or more, the positive class's, less the other one's where there are two
    (which ranks logits and probabilities alike).
    """

    def __init__(self, samples: SampleSet) -> None:
        self._samples, self._auc = samples, RocAuc()

    def add(self, sample: Sample, run: Run) -> None:
        scores = _mean_output(sample, run, self._samples).reshape(-1)
        positive = self._samples.positive_class
        if scores.size > 1 and positive >= scores.size:
            raise DataError(
                f"evaluating on '{self._samples.origin}': positive_class is {positive}, "
                f"the output has {scores.size} values (from 0)"
            )
        score = scores[0] if scores.size == 1 else scores[positive]
        if scores.size == 2:
            score = score - scores[1 - positive]
        self._auc.add(float(score), int(_label(sample)) == positive)

    def value(self) -> float:
        return self._auc.value()


class _MeanErrorScorer:
    def __init__(self, samples: SampleSet) -> None:
        self._samples, self._error = samples, MeanError()

    def add(self, sample: Sample, run: Run) -> None:
        self._error.add(_mean_output(sample, run, self._samples), _label(sample))

    def value(self) -> float:
        return self._error.value()


class _ReconstructionScorer:
    """Anomaly score of a sample: mean over its windows of the mean squared difference of input and output."""

    def __init__(self, samples: SampleSet) -> None:
        self._samples, self._auc = samples, RocAuc()
        if len(samples.inputs) != 1 or np.dtype(samples.inputs[0].dtype).kind != "f":
            raise DataError(
                f"evaluating on '{samples.origin}': reconstruction_auc compares the output with the input and "
                "needs exactly one input of float type"
            )

    def add(self, sample: Sample, run: Run) -> None:
        errors = [self._reconstruction_error(feeds, run) for feeds in sample.feeds]
        self._auc.add(float(np.mean(errors)), int(_label(sample)) == self._samples.positive_class)

    def _reconstruction_error(self, feeds: Feeds, run: Run) -> float:
        (fed,) = feeds.values()
        output = _scored_output(run(feeds), self._samples)
        if output.size != fed.size:
            raise DataError(
                f"evaluating on '{self._samples.origin}': the output has {output.size} values, the input {fed.size}; "
                "reconstruction_auc needs a model that rebuilds its input"
            )
        return float(np.mean(np.square(output.reshape(-1) - fed.reshape(-1).astype(np.float64))))

    def value(self) -> float:
        return self._auc.value()


def _label(sample: Sample) -> Array:
    assert sample.label is not None  # evaluate_metrics checked that the set has labels
    return sample.label
