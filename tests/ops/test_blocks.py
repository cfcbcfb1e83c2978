"""Shapes and refusals of space, depth and batch blocks, worked out by hand."""

from collections.abc import Callable

Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]


def test_shapes(shape: Shape) -> None:
    assert shape("space_to_depth", (1, 4, 6, 3), block_size=2) == (1, 2, 3, 12)
    assert shape("depth_to_space", (1, 2, 3, 12), block_size=2) == (1, 4, 6, 3)
    assert shape("space_to_batch_nd", (1, 4, 6, 3), [2, 3], [[1, 1], [0, 0]]) == (6, 3, 2, 3)
    assert shape("batch_to_space_nd", (6, 3, 2, 3), [2, 3], [[1, 1], [0, 0]]) == (1, 4, 6, 3)
    assert shape("space_to_batch_nd", (2, 4, 3), [2], [[0, 0]]) == (4, 2, 3)


def test_refusals(refusal: Refusal) -> None:
    assert refusal("space_to_depth", (1, 4, 5, 3), block_size=2) == "4x5 positions do not divide into blocks of 2x2"
    assert refusal("depth_to_space", (1, 4, 5, 6), block_size=2) == "6 channels do not divide into blocks of 2x2"
    assert refusal("depth_to_space", (1, 4, 5, 6)) == "block_size must be positive, found 0"
    assert refusal("space_to_batch_nd", (1, 4, 6, 3), [2, 0], [[0, 0], [0, 0]]) == (
        "blocks [2, 0] must be positive and margins [0, 0, 0, 0] not negative"
    )
    assert refusal("space_to_batch_nd", (1, 5, 6, 3), [2, 2], [[0, 0], [0, 0]]) == (
        "5 padded positions do not divide into blocks of 2"
    )
    assert refusal("batch_to_space_nd", (5, 4, 6, 3), [2, 2], [[0, 0], [0, 0]]) == (
        "a batch of 5 does not divide into blocks [2, 2]"
    )
    assert refusal("batch_to_space_nd", (4, 1, 6, 3), [2, 2], [[2, 1], [0, 0]]) == (
        "crops 2 and 1 take more than 2 positions"
    )
    assert refusal("batch_to_space_nd", (4, 1, 6, 3), [2], [[2, 1]]) == (
        "block shape [1] and margins [1, 2] do not fit [4, 1, 6, 3]"
    )
