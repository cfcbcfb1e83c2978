"""Types refuse nonsense when they are made, with the full sentence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.types import QuantParams, TensorType


def quant_refusal(*args: object) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller compares the whole message
        QuantParams(*args)  # type: ignore[arg-type]
    return str(caught.value)


def type_refusal(*args: object) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller compares the whole message
        TensorType(*args)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (((0.5, 0.25), (0,)), "2 scales but 1 zero points"),
        (((), ()), "quantization without a scale"),
        (((0.5, 0.25), (0, 0)), "2 scales but no axis"),
        (((-0.5,), (0,)), "scales must be finite and not negative"),
        (((math.nan,), (0,)), "scales must be finite and not negative"),
        (((math.inf,), (0,)), "scales must be finite and not negative"),
        (((0.5,), (2**63,)), "zero points must fit into 64 bits"),
    ],
)
def test_quantization_refuses(args: tuple[object, ...], sentence: str) -> None:
    assert quant_refusal(*args) == sentence


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (((1, -1), DType.INT8), "dimension -1 of shape [1, -1] is outside 0..2147483647"),
        (((2**31,), DType.INT8), "dimension 2147483648 of shape [2147483648] is outside 0..2147483647"),
        (((1,) * 33, DType.INT8), "a shape of 33 dimensions, at most 32 are possible"),
        (((1, 2), DType.INT8, None, (-1,)), "shape signature [-1] does not fit shape [1, 2]"),
        (((1, 2), DType.INT8, None, (-2, 2)), "shape signature [-2, 2] holds sizes outside -1..2147483647"),
        (((4,), DType.INT8, QuantParams((1.0,) * 4, (0,) * 4, 1)), "quantization axis 1 is outside rank 1"),
        (((4,), DType.INT8, QuantParams((1.0,), (0,), -1)), "quantization axis -1 is outside rank 1"),
        (((4, 2), DType.INT8, QuantParams((1.0,) * 3, (0,) * 3, 0)), "3 scales for 4 channels on axis 0"),
    ],
)
def test_tensor_type_refuses(args: tuple[object, ...], sentence: str) -> None:
    assert type_refusal(*args) == sentence


def test_sizes_by_hand() -> None:
    assert TensorType((2, 3), DType.FLOAT32).bytes == 24
    assert TensorType((3, 3), DType.INT4).bytes == 5  # nine nibbles
    assert TensorType((5,), DType.INT2).bytes == 2  # ten bits
    assert TensorType((), DType.INT64).bytes == 8
    assert TensorType((0, 7), DType.FLOAT32).bytes == 0
    assert TensorType((9,), DType.STRING).bytes == 0  # no fixed size
    assert TensorType((2**31 - 1,) * 4, DType.FLOAT64).elements == (2**31 - 1) ** 4  # no overflow


def test_a_type_is_dynamic_only_where_its_signature_says_so() -> None:
    assert TensorType((1, 4), DType.FLOAT32, None, (-1, 4)).is_dynamic
    assert not TensorType((1, 4), DType.FLOAT32, None, (1, 4)).is_dynamic
    assert not TensorType((1, 4), DType.FLOAT32).is_dynamic


def test_with_keeps_the_rest() -> None:
    quant = QuantParams.per_tensor(0.5, 3)
    type_ = TensorType((1, 4), DType.INT8, quant, (-1, 4))
    assert type_.with_shape((2, 2)) == TensorType((2, 2), DType.INT8, quant)
    assert type_.with_quant(None) == TensorType((1, 4), DType.INT8, None, (-1, 4))
    assert type_.with_dtype(DType.FLOAT32) == TensorType((1, 4), DType.FLOAT32, None, (-1, 4))
    assert str(type_) == "int8[1,4]"


def test_same_mapping_compares_what_the_integers_mean() -> None:
    per_tensor = QuantParams((0.5,), (3,), None, (0.0,), (1.0,))
    assert per_tensor.same_mapping(QuantParams.per_tensor(0.5, 3))
    assert per_tensor.same_mapping(QuantParams((0.5,), (3,), 0))  # one scale: the axis means nothing
    assert not per_tensor.same_mapping(QuantParams.per_tensor(0.5, 2))
    assert not per_tensor.same_mapping(None)
    assert not QuantParams((1.0, 2.0), (0, 0), 0).same_mapping(QuantParams((1.0, 2.0), (0, 0), 1))


def test_every_dtype_has_bits_and_a_numpy_type() -> None:
    for dtype in DType:
        assert dtype.bits >= 0
        assert dtype.numpy.itemsize * 8 >= dtype.bits
    with pytest.raises(ValueError, match=r"^numpy type datetime64 has no TFLite counterpart$"):
        DType.from_numpy(np.dtype("datetime64"))
    assert DType.from_numpy(np.bool_) is DType.BOOL
    assert DType.from_numpy(np.dtype(">f4")) is DType.FLOAT32
    assert {d for d in DType if d.is_integer and d.bits < 8} == {DType.INT2, DType.INT4, DType.UINT4}
