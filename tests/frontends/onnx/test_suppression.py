from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("centred", [0, 1])
def test_images_and_classes(compare: Any, centred: int) -> None:
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0.2, 1, (2, 12, 4)).astype(np.float32)
    scores = rng.random((2, 3, 12)).astype(np.float32)
    limits = [np.array([4]), np.array([0.4], np.float32), np.array([0.3], np.float32)]
    compare.check_stated("NonMaxSuppression", [boxes, scores, *limits], center_point_box=centred)


def test_too_many_classes_are_refused(compare: Any) -> None:
    boxes, scores = np.zeros((1, 2, 4), np.float32), np.zeros((1, 300, 2), np.float32)
    inputs = [boxes, scores, np.array([1])]
    with pytest.raises(Exception, match="1 images of 300 classes are more than 256 suppressions"):
        compare.check_stated("NonMaxSuppression", [boxes, np.ones_like(scores), *inputs[2:]])


def test_an_unknown_number_of_boxes_is_refused_with_what_to_do(compare: Any) -> None:
    reason = compare.refusal(
        "NonMaxSuppression", [np.zeros((1, 4, 4), np.float32), np.zeros((1, 1, 4), np.float32), np.array([1])]
    )
    assert reason.startswith("how many boxes it keeps is only known at run time, and the model states no number: state")
