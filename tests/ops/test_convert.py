"""Types and refusals of conversions."""

from collections.abc import Callable

import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS

Make = Callable[..., Op]
Refusal = Callable[..., str]


def test_quantize_goes_by_its_result(make: Make, refusal: Refusal) -> None:
    wanted = TensorType((2, 3), DType.INT8, QuantParams.per_tensor(0.1))
    assert OP_DEFS["quantize"].infer(make("quantize", (2, 3), results=[wanted])) == [wanted.with_quant(None)]
    assert refusal("quantize", (2, 3)) == ("the result types follow from no operand or attribute; they must be given")
    op = make("quantize", (2, 3), results=[TensorType((2, 3), DType.FLOAT32)])
    with pytest.raises(ValueError, match="cannot quantize to float32"):
        OP_DEFS["quantize"].infer(op)


def test_dequantize(make: Make, refusal: Refusal) -> None:
    assert make("dequantize", TensorType((2,), DType.INT8)).result.type == TensorType((2,), DType.FLOAT32)
    assert refusal("dequantize", TensorType((2,), DType.BOOL)) == "cannot dequantize bool"


def test_cast_goes_by_its_attribute(make: Make, refusal: Refusal) -> None:
    assert make("cast", (2,), out_data_type="BOOL").result.type == TensorType((2,), DType.BOOL)
    assert refusal("cast", (2,), out_data_type=99) == "out_data_type is 99"


def test_bitcast_trades_the_last_dimension_for_bits(make: Make) -> None:
    def shape(x: TensorType, dtype: DType) -> tuple[int, ...]:
        return OP_DEFS["bitcast"].infer(make("bitcast", x, results=[TensorType((1,), dtype)]))[0].shape

    assert shape(TensorType((2,), DType.INT32), DType.UINT8) == (2, 4)
    assert shape(TensorType((2, 4), DType.UINT8), DType.FLOAT32) == (2,)
    assert shape(TensorType((2, 4), DType.INT32), DType.FLOAT32) == (2, 4)
    with pytest.raises(ValueError, match="the last size must be 4"):
        shape(TensorType((2, 3), DType.UINT8), DType.FLOAT32)
    with pytest.raises(ValueError, match="cannot read string as float32"):
        shape(TensorType((2, 3), DType.STRING), DType.FLOAT32)


@pytest.mark.parametrize(
    ("result", "version"),
    [
        (TensorType((2, 3), DType.INT8, QuantParams.per_tensor(0.1)), 1),
        (TensorType((2, 3), DType.INT16, QuantParams.per_tensor(0.1)), 2),
        (TensorType((2, 3), DType.INT8, QuantParams((0.1, 0.2), (0, 0), 0)), 3),
        (TensorType((2, 3), DType.INT4, QuantParams.per_tensor(0.1)), 4),
    ],
)
def test_quantize_versions(make: Make, result: TensorType, version: int) -> None:
    assert OP_DEFS["quantize"].write_version(make("quantize", (2, 3), results=[result])) == version
