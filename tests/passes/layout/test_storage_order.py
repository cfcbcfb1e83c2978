"""The algebra of storage orders, against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.passes.layout.emitter import reordered, reordered_along
from edgec.passes.layout.storage_order import (
    Piece,
    as_written,
    inverse,
    of_permutation,
    of_pieces,
    pieces_in,
    refined,
    stored_axes,
    transposed,
)

SHAPES = st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=5)


@st.composite
def permuted_shapes(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    shape = draw(SHAPES)
    return shape, draw(st.permutations(range(len(shape))))


def test_nchw_stored_as_nhwc() -> None:
    order = of_permutation((1, 3, 8, 8), (0, 2, 3, 1))
    assert order == ((64, 1), (3, 64))
    assert pieces_in(order, (1, 3, 8, 8)) == (Piece(2, 8, 1), Piece(3, 8, 1), Piece(1, 3, 1))
    assert as_written(192) == ((192, 1),)


def test_moving_axes_of_size_one_is_no_move() -> None:
    assert of_permutation((1, 64, 1, 1), (0, 2, 3, 1)) == as_written(64)


def test_channel_shuffle_is_an_order_of_the_channels() -> None:
    """[N,C,H,W] -> [g, C/g, HW] -> transpose -> [N,C,H,W] keeps height and width together."""
    nhwc = of_permutation((1, 6, 2, 2), (0, 2, 3, 1))
    shuffled = transposed(nhwc, (2, 3, 4), (1, 0, 2))
    assert shuffled is not None
    assert pieces_in(shuffled, (1, 6, 2, 2)) == (Piece(2, 2, 1), Piece(3, 2, 1), Piece(1, 2, 1), Piece(1, 3, 2))


@pytest.mark.parametrize(("order", "shape"), [(((4, 1), (3, 4)), (2, 6)), (((3, 1), (4, 3)), (3, 4))])
def test_a_run_across_a_border_has_no_pieces(order: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> None:
    assert pieces_in(order, shape) is None


@given(permuted_shapes())
def test_reordered_is_numpys_transpose(case: tuple[list[int], list[int]]) -> None:
    shape, permutation = case
    data = np.arange(math.prod(shape)).reshape(shape)
    order = of_permutation(shape, permutation)
    np.testing.assert_array_equal(reordered(data, order), data.transpose(permutation).ravel())


@given(permuted_shapes(), st.randoms(use_true_random=False))
def test_transposed_describes_the_same_memory(case: tuple[list[int], list[int]], random: object) -> None:
    """Reading x, stored in any order, as its transpose leaves every element where it is."""
    shape, permutation = case
    order = of_permutation(shape, permutation[::-1])
    image = transposed(order, shape, permutation)
    assert image is not None
    data = np.arange(math.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(reordered(data, order), reordered(data.transpose(permutation), image))
    back = transposed(image, [shape[axis] for axis in permutation], inverse(permutation))
    assert back == order


@given(permuted_shapes())
def test_pieces_and_axes_give_the_order_back(case: tuple[list[int], list[int]]) -> None:
    shape, permutation = case
    order = of_permutation(shape, permutation)
    pieces = pieces_in(order, shape)
    assert pieces is not None
    assert of_pieces(pieces, shape) == order
    axes = stored_axes(order, [shape[axis] for axis in permutation])
    assert axes is not None
    assert [size for size, _ in axes] == [shape[axis] for axis in permutation]


@given(permuted_shapes(), st.data())
def test_refined_orders_have_the_same_atoms(case: tuple[list[int], list[int]], data: st.DataObject) -> None:
    shape, permutation = case
    other = data.draw(st.permutations(range(len(shape))))
    cut = refined(of_permutation(shape, permutation), of_permutation(shape, other))
    assert cut is not None
    assert sorted(cut[0]) == sorted(cut[1])
    assert math.prod(size for size, _ in cut[0]) == math.prod(shape)


def test_reordered_along_one_axis() -> None:
    data = np.arange(2 * 6).reshape(2, 6)
    np.testing.assert_array_equal(reordered_along(data, 1, ((3, 1), (2, 3))), data[:, [0, 3, 1, 4, 2, 5]])
