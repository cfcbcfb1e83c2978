"""Broadcasting, versions and refusals of elementwise arithmetic."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS
from edgec.ops.infer import broadcast_shapes

Make = Callable[..., Op]
Refusal = Callable[..., str]
SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@given(SHAPES, SHAPES)
def test_broadcasting_is_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        wanted = np.broadcast_shapes(a, b)
    except ValueError:
        wanted = None
    try:
        found = broadcast_shapes([a, b])
    except ValueError:
        found = None
    assert found == wanted


def test_a_moving_dimension_moves_the_result(make: Make) -> None:
    moving = TensorType((1, 1, 3), DType.FLOAT32, None, (-1, 1, 3))
    assert make("add", moving, (4, 3)).result.type.signature == (-1, 4, 3)


def test_comparisons_give_bools(make: Make) -> None:
    assert make("less", (2, 3), (3,)).result.type == TensorType((2, 3), DType.BOOL)


def test_refusals(refusal: Refusal) -> None:
    assert refusal("add", (2, 3), (4,)) == "shapes [2, 3] and [4] do not broadcast"
    assert refusal("add", (2, 3), TensorType((2, 3), DType.INT32)) == (
        "operands must have one dtype, found float32, int32"
    )
    assert refusal("add", (2, 3)) == "operand 'b' is missing"
    assert refusal("add_n", (2, 3), (3,)) == "operands must have one shape, found [2, 3] and [3]"
    assert refusal("add_n") == "needs at least one operand 'values'"


def test_versions(make: Make) -> None:
    def version(opcode: str, *operands: TensorType, result: float | None = None) -> int:
        op = make(opcode, *operands)
        if result is not None:
            op.result.type = op.result.type.with_quant(QuantParams.per_tensor(result))
        return OP_DEFS[opcode].write_version(op)

    tenth = QuantParams.per_tensor(0.1)
    int8 = TensorType((2,), DType.INT8, tenth)
    int16 = TensorType((2,), DType.INT16, tenth)
    assert [version("mul", int8, int8, result=r) for r in (0.1, 0.01)] == [2, 3]  # 3: rescaled by 1 or more
    assert [version("add", t, t) for t in (int8, int16, int16.with_quant(None))] == [2, 3, 5]
    long_, short = TensorType((2,) * 6, DType.FLOAT32), TensorType((2,), DType.FLOAT32)
    assert [version("sub", long_, other) for other in (long_, short)] == [1, 3]
