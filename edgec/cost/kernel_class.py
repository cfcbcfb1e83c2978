"""The kernel class of an op: the granularity at which a device profile states cycles per MAC."""

from __future__ import annotations

from enum import Enum

from edgec.ir.graph import Op

CHANNELS_OF_A_PICTURE = 4  # a convolution over the graph input with at most so many channels is a first convolution


class KernelClass(Enum):
    """Classes whose cost per MAC differs; the value is the key in a device profile."""

    POINTWISE = "pointwise"
    CONV = "conv"
    FIRST_CONV = "first_conv"
    DEPTHWISE = "depthwise"
    FULLY_CONNECTED = "fully_connected"
    OTHER = "other"  # priced by output elements, not by MACs


_BY_OPCODE = {
    "depthwise_conv_2d": KernelClass.DEPTHWISE,
    "fully_connected": KernelClass.FULLY_CONNECTED,
    "batch_matmul": KernelClass.FULLY_CONNECTED,
    "unidirectional_sequence_lstm": KernelClass.FULLY_CONNECTED,
    "svdf": KernelClass.FULLY_CONNECTED,
    "transpose_conv": KernelClass.CONV,
    "conv_3d": KernelClass.CONV,
}


def kernel_class(op: Op) -> KernelClass:
    """The class of one op."""
    if op.opcode != "conv_2d":
        return _BY_OPCODE.get(op.opcode, KernelClass.OTHER)
    weight = op.operand(1)
    if weight.shape[3] <= CHANNELS_OF_A_PICTURE and op.operand(0).producer is None:
        return KernelClass.FIRST_CONV
    return KernelClass.POINTWISE if weight.shape[1] * weight.shape[2] == 1 else KernelClass.CONV
