"""Accuracy figures: top-1, agreement, area under the ROC curve, signal to quantization noise."""

import numpy as np
from numpy.typing import NDArray


def top1_percent(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Share of samples whose largest score [N, classes] is at the label, in percent."""
    return float(100 * np.mean(scores.argmax(axis=1) == labels))


def agreement_percent(scores: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Share of samples for which both put the same class first, in percent."""
    return float(100 * np.mean(scores.argmax(axis=1) == reference.argmax(axis=1)))


def sqnr_db(scores: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """10 log10 of the reference's energy over the energy of the difference."""
    noise = float(np.sum((scores.astype(np.float64) - reference.astype(np.float64)) ** 2))
    signal = float(np.sum(reference.astype(np.float64) ** 2))
    return float("inf") if noise == 0 else float(10 * np.log10(signal / noise))


def area_under_roc(scores: NDArray[np.float64], positive: NDArray[np.int64]) -> float:
    """Probability that a positive sample scores above a negative one, ties counted half (Mann-Whitney)."""
    above = scores[positive == 1][:, np.newaxis]
    below = scores[positive == 0][np.newaxis, :]
    return float(np.mean((above > below) + 0.5 * (above == below)))
