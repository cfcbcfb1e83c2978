"""Activation functions and normalizations that keep the shape of their input."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import FixedRange, OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import broadcast_shapes, plain, result_like

X = Operand("input")
INT8, INT16 = DType.INT8, DType.INT16


def _version(op: Op) -> int:
    return 2 if op.operand(0).dtype in (INT8, INT16) else 1


def _infer_prelu(op: Op) -> list[TensorType]:
    x, slope = op.operand(0), op.operand(1)
    if broadcast_shapes([x.shape, slope.shape]) != x.shape:
        raise ValueError(f"slope {list(slope.shape)} does not broadcast to {list(x.shape)}")
    return [plain(x)]


def _activation(name: str, options: str | None, quant: QuantRule, *, elementwise: bool = True) -> OpDef:
    return OpDef(
        name, name.upper(), options, (X,), result_like(0), quant=quant, version=_version, is_elementwise=elementwise
    )


_BOTH = QuantRule((INT8, INT16))
_INT8 = QuantRule((INT8,))

# TFLite's 8-bit specification: softmax and logistic give [0, 1], tanh [-1, 1], log-softmax [-16, 0].
_UNIT = FixedRange(int8=(1 / 256, -128), int16=(1 / 32768, 0))
_SYMMETRIC_UNIT = FixedRange(int8=(1 / 128, 0), int16=(1 / 32768, 0))
_LOG_SOFTMAX = FixedRange(int8=(16 / 256, 127))

OPS = (
    _activation("relu", None, _BOTH),
    _activation("relu6", None, _BOTH),
    OpDef("relu_n1_to_1", "RELU_N1_TO_1", None, (X,), result_like(0), quant=_INT8, version=_version,
          is_elementwise=True),
    OpDef("relu_0_to_1", "RELU_0_TO_1", None, (X,), result_like(0), quant=_INT8, is_elementwise=True),
    _activation("leaky_relu", "LeakyReluOptions", _BOTH),
    _activation("elu", None, _INT8),
    _activation("gelu", "GeluOptions", _INT8),
    _activation("hard_swish", "HardSwishOptions", _INT8),
    _activation("logistic", None, QuantRule((INT8, INT16), fixed=_UNIT)),
    _activation("tanh", None, QuantRule((INT8, INT16), fixed=_SYMMETRIC_UNIT)),
    _activation("softmax", "SoftmaxOptions", QuantRule((INT8, INT16), fixed=_UNIT), elementwise=False),
    _activation("log_softmax", "LogSoftmaxOptions", QuantRule((INT8,), fixed=_LOG_SOFTMAX), elementwise=False),
    _activation("l2_normalization", "L2NormOptions",
                QuantRule((INT8,), fixed=FixedRange(int8=(1 / 128, 0))), elementwise=False),
    _activation("local_response_normalization", "LocalResponseNormalizationOptions", QuantRule(), elementwise=False),
    OpDef("prelu", "PRELU", None, (X, Operand("slope", Role.WEIGHT)), _infer_prelu,
          quant=QuantRule((INT8,)), is_elementwise=True),
)  # fmt: skip
