"""Convolutions: weights OHWI (depthwise 1HWO), activations NHWC, bias and activation inside the op."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import constant_ints, require_rank, window_size

INPUT = Operand("input")
WEIGHT = Operand("weight", Role.WEIGHT)
BIAS = Operand("bias", Role.BIAS, optional=True)


def result_dtype(x: Value, weight: Value) -> DType:
    """The dtype of a weighted op's result: that of the activations; refuses pairs that no kernel takes."""
    weights_ok = weight.dtype in _WEIGHTS_FOR.get(x.dtype, ())
    if not weights_ok:
        raise ValueError(f"{x.dtype.value} activations do not go with {weight.dtype.value} weights")
    return x.dtype


_SMALL = (DType.INT8, DType.INT4, DType.INT2)
_WEIGHTS_FOR = {
    DType.FLOAT32: (DType.FLOAT32, DType.FLOAT16, *_SMALL, DType.UINT8),
    DType.FLOAT16: (DType.FLOAT16, DType.FLOAT32),
    DType.INT8: _SMALL,
    DType.INT16: _SMALL,
    DType.UINT8: (DType.UINT8,),
}


def _check_bias(op: Op, channels: int) -> None:
    bias = op.optional_operand(2)
    if bias is not None and bias.type.elements != channels:
        raise ValueError(f"bias '{bias.name}' has {bias.type.elements} elements for {channels} output channels")


def _spatial(op: Op, x: Value, weight: Value) -> tuple[int, int]:
    a = op.attributes
    height = window_size(x.shape[1], weight.shape[1], a["stride_h"], a["dilation_h_factor"], a["padding"])
    width = window_size(x.shape[2], weight.shape[2], a["stride_w"], a["dilation_w_factor"], a["padding"])
    return height, width


def _batch_signature(x: Value, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    if not x.type.is_dynamic or x.type.signature is None:
        return None
    moving = [i for i in range(len(shape) - 1) if x.type.signature[i] == -1]
    return tuple(-1 if i in moving else d for i, d in enumerate(shape))


def _infer_conv_2d(op: Op) -> list[TensorType]:
    x, weight = op.operand(0), op.operand(1)
    require_rank(x, 4)
    require_rank(weight, 4)
    dtype = result_dtype(x, weight)
    groups, rest = divmod(x.shape[3], weight.shape[3]) if weight.shape[3] else (0, 1)
    if rest or groups < 1 or weight.shape[0] % groups:
        raise ValueError(f"{x.shape[3]} input channels do not fit weights {list(weight.shape)}")
    _check_bias(op, weight.shape[0])
    shape = (x.shape[0], *_spatial(op, x, weight), weight.shape[0])
    return [TensorType(shape, dtype, None, _batch_signature(x, shape))]


def _infer_depthwise(op: Op) -> list[TensorType]:
    x, weight = op.operand(0), op.operand(1)
    require_rank(x, 4)
    require_rank(weight, 4)
    dtype = result_dtype(x, weight)
    channels = weight.shape[3]
    if weight.shape[0] != 1 or not x.shape[3] or channels % x.shape[3]:
        raise ValueError(f"{x.shape[3]} input channels do not fit depthwise weights {list(weight.shape)}")
    multiplier = op.attributes["depth_multiplier"]
    if multiplier and multiplier * x.shape[3] != channels:
        raise ValueError(f"depth multiplier {multiplier} does not take {x.shape[3]} channels to {channels}")
    _check_bias(op, channels)
    shape = (x.shape[0], *_spatial(op, x, weight), channels)
    return [TensorType(shape, dtype, None, _batch_signature(x, shape))]


def _infer_transpose_conv(op: Op) -> list[TensorType]:
    sizes, weight, x = op.operand(0), op.operand(1), op.operand(2)
    require_rank(weight, 4)
    require_rank(x, 4)
    dtype = result_dtype(x, weight)
    if weight.shape[3] != x.shape[3]:
        raise ValueError(f"{x.shape[3]} input channels do not fit weights {list(weight.shape)}")
    shape = constant_ints(sizes)
    if shape is None:
        return [TensorType((x.shape[0], 1, 1, weight.shape[0]), dtype, None, (-1, -1, -1, weight.shape[0]))]
    if len(shape) != 4 or shape[3] != weight.shape[0]:
        raise ValueError(f"output shape {shape} does not fit weights {list(weight.shape)}")
    a = op.attributes
    for axis, stride in ((1, a["stride_h"]), (2, a["stride_w"])):
        if window_size(shape[axis], weight.shape[axis], stride, 1, a["padding"]) != x.shape[axis]:
            raise ValueError(f"output shape {shape} does not come from an input of {list(x.shape)}")
    return [TensorType(tuple(shape), dtype)]


def _infer_conv_3d(op: Op) -> list[TensorType]:
    x, weight = op.operand(0), op.operand(1)
    require_rank(x, 5)
    require_rank(weight, 5)  # DHWIO
    if weight.shape[3] != x.shape[4]:
        raise ValueError(f"{x.shape[4]} input channels do not fit weights {list(weight.shape)}")
    a = op.attributes
    strides = (a["stride_d"], a["stride_h"], a["stride_w"])
    dilations = (a["dilation_d_factor"], a["dilation_h_factor"], a["dilation_w_factor"])
    window = [window_size(x.shape[i + 1], weight.shape[i], strides[i], dilations[i], a["padding"]) for i in range(3)]
    return [TensorType((x.shape[0], *window, weight.shape[4]), x.dtype)]


def _infer_conv_3d_transpose(op: Op) -> list[TensorType]:
    sizes, weight, x = op.operand(0), op.operand(1), op.operand(2)
    shape = constant_ints(sizes)
    require_rank(weight, 5)
    if shape is None or len(shape) != 5:
        raise ValueError("the output shape must be a constant of five sizes")
    return [TensorType(tuple(shape), x.dtype)]


def _conv_macs(op: Op) -> int:
    weight = op.operand(1)
    return op.result.type.elements * (weight.type.elements // max(weight.shape[0], 1))


def _depthwise_macs(op: Op) -> int:
    weight = op.operand(1)
    return op.result.type.elements * weight.shape[1] * weight.shape[2]


def _transpose_conv_macs(op: Op) -> int:
    weight, x = op.operand(1), op.operand(2)
    return x.type.elements * (weight.type.elements // max(weight.shape[3], 1))


def _conv_3d_macs(op: Op) -> int:
    weight = op.operand(1)
    return op.result.type.elements * (weight.type.elements // max(weight.shape[4], 1))


def _conv_3d_transpose_macs(op: Op) -> int:
    weight, x = op.operand(1), op.operand(2)
    return x.type.elements * (weight.type.elements // max(weight.shape[4], 1))


def _per_channel(weight: Value) -> bool:
    return weight.quant is not None and len(weight.quant.scale) > 1


def _conv_version(op: Op) -> int:
    """CONV_2D: 1 float or uint8, 2 hybrid, 3 int8, 4 int16, 5 hybrid per channel, 6 groups, 7 int4, 8 later forms."""
    x, weight = op.operand(0), op.operand(1)
    own_bias_type = op.attributes["quantized_bias_type"] != "FLOAT32"
    if weight.dtype is DType.INT2 or (x.dtype is DType.INT16 and own_bias_type):
        return 8
    if weight.dtype is DType.INT4:
        return 7
    if x.shape[3] != weight.shape[3]:
        return 6
    if x.dtype is DType.FLOAT32 and weight.dtype is DType.INT8:
        return 5 if _per_channel(weight) else 2
    return {DType.INT16: 4, DType.INT8: 3}.get(x.dtype, 1)


def _depthwise_version(op: Op) -> int:
    """DEPTHWISE_CONV_2D: 1 float, 2 dilation, 3 int8, 4 hybrid, 5 int16, 6 hybrid per channel, 7 int4."""
    x, weight = op.operand(0), op.operand(1)
    if weight.dtype in (DType.INT4, DType.INT2):
        return 7
    if x.dtype is DType.FLOAT32 and weight.dtype is DType.INT8:
        return 6 if _per_channel(weight) else 4
    dilated = op.attributes["dilation_h_factor"] != 1 or op.attributes["dilation_w_factor"] != 1
    return {DType.INT16: 5, DType.INT8: 3}.get(x.dtype, 2 if dilated else 1)


def _transpose_conv_version(op: Op) -> int:
    """TRANSPOSE_CONV: 1 float, 2 int8, 3 bias, 4 fused activation, 5 a bias type of one's own."""
    if op.operand(2).dtype is DType.INT16 and op.attributes["quantized_bias_type"] != "FLOAT32":
        return 5
    if op.attributes["fused_activation_function"] != "NONE":
        return 4
    if op.optional_operand(3) is not None:
        return 3
    return 2 if op.operand(2).dtype in (DType.INT8, DType.INT16) else 1


INTEGER = (DType.INT8, DType.INT16)

OPS = (
    OpDef(
        "conv_2d", "CONV_2D", "Conv2DOptions", (INPUT, WEIGHT, BIAS), _infer_conv_2d, macs=_conv_macs,
        quant=QuantRule(INTEGER, weight_axis=0), version=_conv_version,
    ),
    OpDef(
        "depthwise_conv_2d", "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", (INPUT, WEIGHT, BIAS), _infer_depthwise,
        macs=_depthwise_macs, quant=QuantRule(INTEGER, weight_axis=3), version=_depthwise_version,
    ),
    OpDef(
        "transpose_conv", "TRANSPOSE_CONV", "TransposeConvOptions",
        (Operand("output_shape", Role.PARAMETER), WEIGHT, INPUT, BIAS), _infer_transpose_conv,
        macs=_transpose_conv_macs, quant=QuantRule(INTEGER, weight_axis=0), version=_transpose_conv_version,
    ),
    OpDef("conv_3d", "CONV_3D", "Conv3DOptions", (INPUT, WEIGHT, BIAS), _infer_conv_3d, macs=_conv_3d_macs),
    OpDef(
        "conv_3d_transpose", "CONV_3D_TRANSPOSE", "Conv3DOptions",
        (Operand("output_shape", Role.PARAMETER), WEIGHT, INPUT, BIAS), _infer_conv_3d_transpose,
        macs=_conv_3d_transpose_macs,
    ),
)  # fmt: skip
