"""Types, fixed ranges and refusals of activation functions."""

from collections.abc import Callable

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS

Make = Callable[..., Op]
Refusal = Callable[..., str]


@pytest.mark.parametrize(
    ("opcode", "low", "high"), [("softmax", 0, 1), ("logistic", 0, 1), ("tanh", -1, 1), ("log_softmax", -16, 0),
                                ("l2_normalization", -1, 1)],
)  # fmt: skip
def test_fixed_int8_ranges_cover_the_function(opcode: str, low: float, high: float) -> None:
    fixed = OP_DEFS[opcode].quant.fixed
    assert fixed is not None
    scale, zero_point = fixed.int8
    assert scale * (-128 - zero_point) <= low + 1e-9 + scale
    assert scale * (127 - zero_point) >= high - scale - 1e-9
    assert 255 * scale <= (high - low) * 1.01  # no bits are wasted


def test_int8_softmax_may_give_int16(make: Make) -> None:
    x = TensorType((1, 4), DType.INT8)
    op = make("softmax", x, results=[TensorType((1, 4), DType.INT16)])
    assert OP_DEFS["softmax"].infer(op) == [TensorType((1, 4), DType.INT16)]
    op = make("softmax", (1, 4), results=[TensorType((1, 4), DType.INT8)])
    with pytest.raises(ValueError, match="float32 cannot become int8"):
        OP_DEFS["softmax"].infer(op)


def test_prelu_slopes_must_broadcast(refusal: Refusal) -> None:
    assert refusal("prelu", (1, 8, 8, 4), np.zeros((1, 1, 3), np.float32)).startswith("shapes ")
    assert refusal("prelu", (1, 8), np.zeros((2, 8), np.float32)) == "slope [2, 8] does not broadcast to [1, 8]"
