"""Weights of a weighted op as plain numbers around their zero point."""

from __future__ import annotations

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops.infer import same_padding


def centred(weight: Value) -> np.ndarray:
    """Weights minus their zero points: int64 for integers, float64 for floats, in the weight's shape."""
    data = weight.array()
    if not weight.dtype.is_integer:
        return data.astype(np.float64)
    whole = data.astype(np.int64)
    if weight.quant is None or not any(weight.quant.zero_point):
        return whole
    zero_points = np.array(weight.quant.zero_point, np.int64)
    if weight.quant.axis is None or zero_points.size == 1:
        return np.asarray(whole - zero_points[0])
    shape = [1] * whole.ndim
    shape[weight.quant.axis] = zero_points.size
    return np.asarray(whole - zero_points.reshape(shape))


def zero_point(value: Value) -> int:
    """The stored value of real zero (per-tensor quantization), 0 for floats."""
    return value.quant.zero_point[0] if value.quant is not None else 0


def zero_bias(op: Op, x_index: int, out_axis: int) -> Value:
    """A bias of zeros for a weighted op that has none, in the type its kernel takes."""
    x, weight = op.operand(x_index), op.operand(1)
    outputs, name = weight.shape[out_axis], f"{op.name}/bias"
    if x.dtype.is_float:
        return Value(name, TensorType((outputs,), DType.FLOAT32), np.zeros(outputs, np.float32))
    dtype = DType.INT64 if x.dtype is DType.INT16 else DType.INT32
    quant = None
    if x.quant is not None and weight.quant is not None:
        scales = tuple(scale * x.quant.scale[0] for scale in weight.quant.scale)
        quant = QuantParams(scales, (0,) * len(scales), 0 if len(scales) > 1 else None)
    return Value(name, TensorType((outputs,), dtype, quant), np.zeros(outputs, dtype.numpy))


def is_hybrid(op: Op) -> bool:
    """True for float activations beside integer weights: the kernel quantizes all channels of the input together."""
    return op.operand(0 if op.opcode != "transpose_conv" else 2).dtype.is_float and not op.operand(1).dtype.is_float


def pads(op: Op) -> bool:
    """True where the windows of a convolution reach over the border of the picture."""
    a = op.attributes
    if op.opcode == "fully_connected" or a["padding"] == "VALID":
        return False
    x, weight = op.operand(0), op.operand(1)
    if x.type.is_dynamic and x.type.signature is not None and -1 in x.type.signature[1:3]:
        return True
    along = zip((1, 2), (a["stride_h"], a["stride_w"]), (a["dilation_h_factor"], a["dilation_w_factor"]))
    return any(
        sum(same_padding(x.shape[axis], weight.shape[axis], stride, dilation)) for axis, stride, dilation in along
    )
