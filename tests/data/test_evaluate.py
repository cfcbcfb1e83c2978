"""Scoring models on a sample set, with models whose answers are known by hand."""

from pathlib import Path

import numpy as np
import pytest

from edgec.data.evaluate import MetricResult, accuracy_drop, evaluate_metric, evaluate_metrics
from edgec.data.samples import Feeds, InputSpec, SampleSet, load_samples
from edgec.errors import DataError


def sample_set(tmp_path: Path, head: str, x: np.ndarray, y: np.ndarray, tail: str = "") -> SampleSet:
    np.savez(tmp_path / "a.npz", x=x, y=y)
    path = tmp_path / "set.toml"
    path.write_text(f'{head}\n[input]\npath = "a.npz"\n{tail}\n[labels]\narray = "y"\n')
    window = "window" in tail
    shape = (1, 4) if window else (1, *x.shape[1:])
    return load_samples(path, inputs=[InputSpec("x", shape)])


def identity(feeds: Feeds) -> list[np.ndarray]:
    return [feeds["x"]]


ROWS = np.array([[0.1, 0.9, 0.0], [0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])


def test_top1_of_two_models_in_one_pass(tmp_path: Path) -> None:
    samples = sample_set(tmp_path, 'metric = "top1"', ROWS, np.array([1, 0, 0]))
    seen = []
    results = evaluate_metrics([identity, lambda feeds: [-feeds["x"]]], samples, on_sample=lambda: seen.append(1))
    assert [(result.metric, result.samples) for result in results] == [("top1", 3), ("top1", 3)]
    assert [result.value for result in results] == pytest.approx([2 / 3, 1 / 3])
    assert len(seen) == 3


def test_second_output(tmp_path: Path) -> None:
    samples = sample_set(tmp_path, 'metric = "top1"\noutput = 1', ROWS, np.array([1, 0, 2]))
    assert evaluate_metric(lambda feeds: [np.zeros((1, 3)), feeds["x"]], samples).value == 1.0
    with pytest.raises(DataError) as caught:
        evaluate_metric(identity, samples)
    assert str(caught.value) == (
        f"evaluating on '{tmp_path / 'set.toml'}': output 1 is to be scored, the model has 1 (from 0); change `output`"
    )


def test_auc_of_two_logits_uses_their_difference(tmp_path: Path) -> None:
    """By logit 1 alone the positives (1.0 and 5.0) would not rank above the negative (3.0)."""
    logits = np.array([[4.0, 3.0], [0.0, 1.0], [2.0, 5.0]])
    samples = sample_set(tmp_path, 'metric = "auc"', logits, np.array([0, 1, 1]))
    assert evaluate_metric(identity, samples).value == 1.0


def test_auc_of_one_score(tmp_path: Path) -> None:
    scores = np.array([[1.0], [2.0], [4.0], [2.0], [3.0]])
    samples = sample_set(tmp_path, 'metric = "auc"', scores, np.array([0, 0, 0, 1, 1]))
    assert evaluate_metric(identity, samples).value == pytest.approx(3.5 / 6)


def test_mean_error(tmp_path: Path) -> None:
    samples = sample_set(tmp_path, 'metric = "mean_error"', np.array([[1.0], [3.0]]), np.array([1.5, 1.0]))
    result = evaluate_metric(identity, samples)
    assert result.value == pytest.approx(1.25)
    assert not result.higher_is_better


def test_reconstruction_auc_groups_windows(tmp_path: Path) -> None:
    """A model that answers zeros has the window's mean square as error: clips of 1s, 2s and 3s score 1, 4 and 9."""
    clips = np.stack([np.full((3, 2), value) for value in (1.0, 3.0, 2.0)])
    tail = "preprocess = { window = { length = 2 } }"
    samples = sample_set(tmp_path, 'metric = "reconstruction_auc"', clips, np.array([0, 0, 1]), tail)
    calls = []

    def zeros(feeds: Feeds) -> list[np.ndarray]:
        calls.append(feeds["x"].shape)
        return [np.zeros((1, 4))]

    result = evaluate_metric(zeros, samples)
    assert result == MetricResult("reconstruction_auc", 0.5, 3)
    assert calls == [(1, 4)] * 6


def test_reconstruction_needs_an_output_of_the_inputs_size(tmp_path: Path) -> None:
    samples = sample_set(tmp_path, 'metric = "reconstruction_auc"', ROWS, np.array([0, 1, 1]))
    with pytest.raises(DataError) as caught:
        evaluate_metric(lambda feeds: [np.zeros((1, 2))], samples)
    assert str(caught.value) == (
        f"evaluating on '{tmp_path / 'set.toml'}': the output has 2 values, the input 3; "
        "reconstruction_auc needs a model that rebuilds its input"
    )


def test_without_metric(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    with pytest.raises(DataError) as caught:
        evaluate_metric(identity, load_samples(tmp_path / "a.npy", inputs=[InputSpec("x", (1, 3))]))
    assert str(caught.value) == (
        f"evaluating on '{tmp_path / 'a.npy'}': it names no metric and labels; give both in a manifest, "
        "see docs/calibration-data.md"
    )


def test_drop_is_positive_where_the_artifact_is_worse() -> None:
    def drop(metric: str, before: float, after: float) -> float:
        return accuracy_drop(MetricResult(metric, before, 9), MetricResult(metric, after, 9))  # type: ignore[arg-type]

    assert drop("top1", 0.9, 0.8) == pytest.approx(0.1)
    assert drop("mean_error", 0.8, 0.9) == pytest.approx(0.1)
