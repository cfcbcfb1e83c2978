"""Task metrics as streaming accumulators: one model output at a time, a few numbers of state."""

from typing import Any

import numpy as np
import numpy.typing as npt

from edgec.errors import DataError

Array = npt.NDArray[Any]


def predicted_rank(scores: Array, label: int) -> int:
    """How many classes come before `label` by falling score; of equal scores the lower index comes first.

    This is the order of `argmax`, and it decides ties, which are common among 8-bit outputs, the same way each time.
    """
    own = scores[label]
    return int(np.count_nonzero(scores > own) + np.count_nonzero(scores[:label] == own))


class TopK:
    """Share of samples whose label is among the k highest scores, 0..1; an output with NaN counts as wrong."""

    def __init__(self, k: int) -> None:
        if k < 1:
            raise ValueError(f"k is {k}, at least 1 is needed")
        self.k, self.hits, self.count = k, 0, 0

    def add(self, scores: Array, label: int) -> None:
        """Take one sample's class scores (any shape, one value a class) and its class index."""
        flat = np.asarray(scores).reshape(-1)
        if not 0 <= label < flat.size:
            raise DataError(
                f"scoring a classifier: label {label} lies outside of the model's {flat.size} outputs (0 to "
                f"{flat.size - 1}); check labels.offset and the scored output"
            )
        self.count += 1
        self.hits += not np.isnan(flat).any() and predicted_rank(flat, label) < self.k

    def value(self) -> float:
        """Hits over samples."""
        return self.hits / _at_least_one(self.count)


class Top1(TopK):
    """Share of samples whose label has the highest score."""

    def __init__(self) -> None:
        super().__init__(1)


class RocAuc:
    """Area under the ROC curve: the chance that a positive scores above a negative, equal scores counting one half.

    Computed from rank sums: AUC = (R+ - n+ (n+ + 1) / 2) / (n+ n-), R+ the sum of the positives' mean ranks
    (Mann-Whitney U).
    """

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.positives: list[bool] = []

    def add(self, score: float, positive: bool) -> None:
        """Take one sample's score and whether it is a positive."""
        if np.isnan(score):
            raise DataError(f"scoring AUC: the model's score of sample {len(self.scores)} is NaN")
        self.scores.append(float(score))
        self.positives.append(bool(positive))

    def value(self) -> float:
        """The area, 0..1; needs positives and negatives."""
        positive = np.array(self.positives, dtype=bool)
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if not n_positive or not n_negative:
            raise DataError(
                f"scoring AUC: found {n_positive} positive and {n_negative} negative samples, both kinds are needed; "
                "check the selection and positive_class"
            )
        _, group, size = np.unique(np.array(self.scores), return_inverse=True, return_counts=True)
        mean_rank = np.cumsum(size) - (size - 1) / 2  # of each group of equal scores, counted from 1
        rank_sum = float(mean_rank[group.reshape(-1)][positive].sum())
        return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


class MeanError:
    """Mean absolute difference between outputs and target values, over all elements."""

    def __init__(self) -> None:
        self.total, self.elements, self.count = 0.0, 0, 0

    def add(self, output: Array, target: Array) -> None:
        """Take one sample's output and target; shapes must agree apart from axes of size 1."""
        have, want = np.squeeze(np.asarray(output)), np.squeeze(np.asarray(target))
        if have.shape != want.shape:
            raise DataError(
                f"scoring mean error: the output has shape {np.shape(output)}, the target {np.shape(target)}; "
                "store targets in the output's shape"
            )
        difference = np.abs(have.astype(np.float64) - want.astype(np.float64))
        if np.isnan(difference).any():
            raise DataError(f"scoring mean error: the model's output for sample {self.count} holds NaN")
        self.total += float(difference.sum())
        self.elements += have.size
        self.count += 1

    def value(self) -> float:
        """Sum over elements."""
        return self.total / _at_least_one(self.elements)


class Agreement:
    """Share of samples for which two models' highest scores name the same class, 0..1."""

    def __init__(self) -> None:
        self.same, self.count = 0, 0

    def add(self, first: Array, second: Array) -> None:
        """Take one sample's outputs of both models (any shape, one value a class); no values name no class."""
        one, other = np.asarray(first).reshape(-1), np.asarray(second).reshape(-1)
        if one.size != other.size:
            raise DataError(f"comparing classes: the outputs have {one.size} and {other.size} values")
        if not one.size:
            return
        self.count += 1
        clean = not np.isnan(one).any() and not np.isnan(other).any()
        self.same += clean and int(one.argmax()) == int(other.argmax())

    def value(self) -> float:
        """Agreeing samples over samples."""
        return self.same / _at_least_one(self.count)


def _at_least_one(count: int) -> int:
    if not count:
        raise DataError("scoring: no samples were given")
    return count
