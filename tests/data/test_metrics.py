"""Metrics, worked out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.data.metrics import Agreement, MeanError, RocAuc, Top1, TopK
from edgec.errors import DataError


def test_top1_breaks_ties_like_argmax() -> None:
    top = Top1()
    top.add(np.array([[1, 5, 5]], dtype=np.int8), 1)  # hit: the first of the equal highest
    top.add(np.array([[1, 5, 5]], dtype=np.int8), 2)
    assert top.value() == 0.5


def test_topk() -> None:
    top = TopK(2)
    scores = np.array([0.1, 0.4, 0.4, 0.4])
    for label in range(4):
        top.add(scores, label)
    assert top.value() == 0.5  # classes 1 and 2 come first


def test_output_with_nan_counts_as_wrong() -> None:
    top = Top1()
    top.add(np.array([np.nan, 0.0]), 0)  # argmax would say 0
    top.add(np.array([1.0, 0.0]), 0)
    assert top.value() == 0.5


def test_label_outside_of_the_outputs() -> None:
    with pytest.raises(DataError) as caught:
        Top1().add(np.zeros(10), 10)
    assert str(caught.value) == (
        "scoring a classifier: label 10 lies outside of the model's 10 outputs (0 to 9); "
        "check labels.offset and the scored output"
    )


def auc_of(negatives: list[float], positives: list[float]) -> float:
    auc = RocAuc()
    for score in negatives:
        auc.add(score, False)
    for score in positives:
        auc.add(score, True)
    return auc.value()


def test_auc_by_hand() -> None:
    assert auc_of([1, 2], [3, 4]) == 1.0
    assert auc_of([3, 4], [1, 2]) == 0.0
    assert auc_of([5], [5]) == 0.5
    # pairs: (1,2) win, (1,3) win, (2,2) tie, (2,3) win, (4,2) loss, (4,3) loss: 3.5 of 6
    assert auc_of([1, 2, 4], [2, 3]) == pytest.approx(3.5 / 6)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
)
def test_auc_is_the_share_of_won_pairs(negatives: list[float], positives: list[float]) -> None:
    pairs = list(itertools.product(negatives, positives))
    won = sum((positive > negative) + 0.5 * (positive == negative) for negative, positive in pairs)
    assert auc_of(negatives, positives) == pytest.approx(won / len(pairs))


def test_auc_needs_both_kinds() -> None:
    with pytest.raises(DataError) as caught:
        auc_of([], [1, 2])
    assert str(caught.value) == (
        "scoring AUC: found 2 positive and 0 negative samples, both kinds are needed; "
        "check the selection and positive_class"
    )


def test_mean_error() -> None:
    error = MeanError()
    error.add(np.array([[1.0, 2.0]]), np.array([2.0, 4.0]))
    error.add(np.array([[0.0, 0.0]]), np.array([0.0, 1.0]))
    assert error.value() == 1.0  # (1 + 2 + 0 + 1) / 4
    with pytest.raises(DataError) as caught:
        error.add(np.zeros((1, 3)), np.zeros(2))
    assert str(caught.value) == (
        "scoring mean error: the output has shape (1, 3), the target (2,); store targets in the output's shape"
    )


def test_mean_error_of_unsigned_integers_does_not_wrap() -> None:
    error = MeanError()
    error.add(np.array([1], dtype=np.uint8), np.array([3], dtype=np.uint8))
    assert error.value() == 2.0


def test_agreement() -> None:
    agreement = Agreement()
    agreement.add(np.array([0.1, 0.9]), np.array([[0.2, 0.3]]))
    agreement.add(np.array([0.1, 0.9]), np.array([[0.4, 0.3]]))
    agreement.add(np.array([np.nan, 0.9]), np.array([np.nan, 0.3]))
    assert agreement.value() == pytest.approx(1 / 3)


def test_no_samples() -> None:
    for metric in (Top1(), MeanError(), Agreement()):
        with pytest.raises(DataError, match=r"^scoring: no samples were given$"):
            metric.value()


def test_agreement_leaves_empty_outputs_out() -> None:
    agreement = Agreement()
    agreement.add(np.zeros((2, 0)), np.zeros((2, 0)))
    assert agreement.count == 0
