"""Activation functions and normalizations that keep the shape of their input."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import FixedRange, OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import broadcast_shapes, own_dtype, plain, result_like
from edgec.ops.version import INT8_2, INT8_2_INT16_3, Version, by_dtype

X = Operand("input")
INT8, INT16 = DType.INT8, DType.INT16


def _infer_softmax(op: Op) -> list[TensorType]:
    x = op.operand(0)
    dtype = own_dtype(op, x.dtype)
    if dtype is not x.dtype and (x.dtype, dtype) != (INT8, INT16):  # the kernels' one mixed form
        raise ValueError(f"{x.dtype.value} cannot become {dtype.value}")
    return [plain(x, dtype)]


def _infer_prelu(op: Op) -> list[TensorType]:
    x, slope = op.operand(0), op.operand(1)
    if broadcast_shapes([x.shape, slope.shape]) != x.shape:
        raise ValueError(f"slope {list(slope.shape)} does not broadcast to {list(x.shape)}")
    return [plain(x)]


def _activation(
    name: str, options: str | None, quant: QuantRule, version: Version | int = 1, *, elementwise: bool = True
) -> OpDef:
    return OpDef(
        name, name.upper(), options, (X,), result_like(0), quant=quant, version=version, is_elementwise=elementwise
    )


_BOTH = QuantRule((INT8, INT16))
_INT8 = QuantRule((INT8,))

# TFLite's 8-bit specification: softmax and logistic give [0, 1], tanh [-1, 1], log-softmax [-16, 0].
_UNIT = FixedRange(int8=(1 / 256, -128), int16=(1 / 32768, 0))
_SYMMETRIC_UNIT = FixedRange(int8=(1 / 128, 0), int16=(1 / 32768, 0))
_LOG_SOFTMAX = FixedRange(int8=(16 / 256, 127))
_L2 = FixedRange(int8=(1 / 128, 0))
_TWO_THREE = by_dtype(INT8_2_INT16_3)
_WITH_UINT8 = by_dtype({INT8: 2, DType.UINT8: 2, INT16: 3})

OPS = (
    _activation("relu", None, _BOTH, _WITH_UINT8),
    _activation("relu6", None, _BOTH, _TWO_THREE),
    _activation("relu_n1_to_1", None, _INT8),
    _activation("relu_0_to_1", None, _INT8),
    _activation("leaky_relu", "LeakyReluOptions", _BOTH, by_dtype({INT16: 2})),
    _activation("elu", None, _INT8),
    _activation("gelu", "GeluOptions", _BOTH, by_dtype({INT8: 2, DType.UINT8: 2, INT16: 3})),
    _activation("hard_swish", "HardSwishOptions", _INT8),
    _activation("logistic", None, QuantRule((INT8, INT16), fixed=_UNIT), _TWO_THREE),
    _activation("tanh", None, QuantRule((INT8, INT16), fixed=_SYMMETRIC_UNIT), _TWO_THREE),
    OpDef("softmax", "SOFTMAX", "SoftmaxOptions", (X,), _infer_softmax, quant=QuantRule((INT8, INT16), fixed=_UNIT),
          version=_TWO_THREE),
    _activation("log_softmax", "LogSoftmaxOptions", QuantRule((INT8,), fixed=_LOG_SOFTMAX), by_dtype(INT8_2),
                elementwise=False),
    _activation("l2_normalization", "L2NormOptions", QuantRule((INT8,), fixed=_L2), by_dtype(INT8_2),
                elementwise=False),
    _activation("local_response_normalization", "LocalResponseNormalizationOptions", QuantRule(), elementwise=False),
    OpDef("prelu", "PRELU", None, (X, Operand("slope", Role.WEIGHT)), _infer_prelu,
          quant=_BOTH, is_elementwise=True),
)  # fmt: skip
