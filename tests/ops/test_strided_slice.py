"""Strided slices against numpy's slicing, and their masks by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op
from edgec.ir.types import TensorType
from edgec.ops import build

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]
BOUNDS = st.integers(-7, 7)
AXES = st.lists(
    st.tuples(st.integers(1, 5), BOUNDS, BOUNDS, BOUNDS.filter(bool), st.booleans(), st.booleans()),
    min_size=1, max_size=4,
)  # fmt: skip


@given(AXES)
def test_lengths_are_numpys(axes: list[tuple[int, int, int, int, bool, bool]]) -> None:
    sizes = tuple(axis[0] for axis in axes)
    slices = tuple(slice(None if nb else b, None if ne else e, s) for _, b, e, s, nb, ne in axes)
    graph = Graph()
    x = graph.add_input("x", TensorType(sizes, DType.FLOAT32))
    emit = build(graph)
    begin, end, strides = (emit.ints([axis[i] for axis in axes]) for i in (1, 2, 3))
    masks: dict[str, Any] = {
        name: sum(axis[i] << n for n, axis in enumerate(axes)) for name, i in (("begin_mask", 4), ("end_mask", 5))
    }
    assert emit.emit("strided_slice", [x, begin, end, strides], **masks).shape == np.empty(sizes)[slices].shape


def test_masks(shape: Shape) -> None:
    x, ones = (4, 5, 6), [1, 1, 1]
    masks = {"begin_mask": 1, "end_mask": 1, "shrink_axis_mask": 4}
    assert shape("strided_slice", x, [0, 1, -1], [0, 3, 0], ones, **masks) == (4, 2)
    assert shape("strided_slice", x, [0, 0, 1], [0, 0, 4], ones, ellipsis_mask=2, new_axis_mask=1) == (1, 4, 5, 3)
    assert shape("strided_slice", x, [1], [2], [1]) == (1, 5, 6)
    assert shape("strided_slice", x, [3, 1], [-2, 2], [1, 1], offset=True) == (0, 2, 6)


def test_bounds_known_at_run_time_only(make: Make) -> None:
    bound = TensorType((2,), DType.INT32)
    op = make("strided_slice", (4, 5, 6), bound, bound, [1, 2], shrink_axis_mask=1, begin_mask=2, end_mask=2)
    assert op.result.type == TensorType((3, 6), DType.FLOAT32)
    op = make("strided_slice", (4, 5, 6), bound, bound, [1, 2], shrink_axis_mask=1)
    assert op.result.type == TensorType((5, 6), DType.FLOAT32, None, (-1, 6))


def test_refusals(refusal: Refusal) -> None:
    assert refusal("strided_slice", (4,), [0], [1], [0]) == "strides must not be 0"
    assert refusal("strided_slice", (4,), [0, 0], [1, 1], [1, 1]) == "2 axes are named, the input has 1"
    assert refusal("strided_slice", (4,), [4], [5], [1], shrink_axis_mask=1) == "index 4 is outside axis 0 of [4]"
    assert refusal("strided_slice", (4,), [0], [1, 2], [1]) == "begin, end and strides have [1, 2, 1] elements"
    assert refusal("strided_slice", (4, 4), [0, 0], [1, 1], [1, 1], ellipsis_mask=3) == (
        "ellipsis_mask 3 has more than one ellipsis"
    )
    long = np.ones(40, np.int32)
    assert refusal("strided_slice", (4,), long, long, long).endswith("40 dimensions, at most 32 are possible")
