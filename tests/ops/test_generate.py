"""Shapes and refusals of ops that make tensors."""

import math
from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS, build

Make = Callable[..., Op]
Shape = Callable[..., tuple[int, ...]]
Refusal = Callable[..., str]
F = np.float32


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-9, 9).filter(bool))
def test_integer_ranges_are_pythons(start: int, limit: int, delta: int) -> None:
    graph = Graph()
    values = [graph.constant(np.array(v, np.int32)) for v in (start, limit, delta)]
    if (limit - start) * delta < 0:  # the kernel refuses what Python calls an empty range
        return
    assert build(graph).emit("range", values).shape == (len(range(start, limit, delta)),)


def test_shapes(shape: Shape, make: Make) -> None:
    assert shape("range", F(0), F(1), F(0.3)) == (4,)
    assert shape("fill", [2, 3], F(1)) == (2, 3)
    assert shape("fill", np.zeros(0, np.int32), F(1)) == ()
    assert shape("random_uniform", [2, 3]) == (2, 3)
    assert shape("matrix_diag", (2, 3)) == (2, 3, 3)
    assert make("multinomial", (2, 3), np.int32(5)).result.type == TensorType((2, 5), DType.INT64)
    unknown = make("fill", TensorType((3,), DType.INT32), F(1)).result.type
    assert unknown == TensorType((1, 1, 1), DType.FLOAT32, None, (-1, -1, -1))


def test_random_numbers_are_never_folded() -> None:
    assert all(OP_DEFS[name].has_side_effects for name in ("random_uniform", "random_standard_normal", "multinomial"))


def test_refusals(refusal: Refusal) -> None:
    assert refusal("range", F(0), F(1), F(0)) == "from 0.0 to 1.0 by 0.0 is no range"
    assert refusal("range", F(0), F(math.inf), F(1)) == "from 0.0 to inf by 1.0 is no range"
    assert refusal("range", F(0), F(math.nan), F(1)) == "from 0.0 to nan by 1.0 is no range"
    assert refusal("range", F(0), F(1), F(-1)) == "steps of -1.0 do not lead from 0.0 to 1.0"
    assert "numbers" in refusal("range", F(0), F(1e30), F(1e-30))
    assert refusal("range", np.int64(0), np.int64(2**40), np.int64(1)).startswith("dimension 1099511627776 of shape")
    assert refusal("fill", [-1], F(1)) == "dimension -1 of shape [-1] is outside 0..2147483647"
    assert refusal("matrix_set_diag", (2, 3, 4), (2, 4)) == "a diagonal of [2, 4] does not fit [2, 3, 4]"
