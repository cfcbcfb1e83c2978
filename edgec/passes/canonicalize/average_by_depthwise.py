"""An int8 average pool that rounds as the uint8 kernel does."""

from __future__ import annotations

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build

WEIGHT = 64
"""Every weight; the bias of 1 then is 1/64 of a step of the sum: enough to tell a tie, too little to move anything."""


def rounds_alike(op: Op) -> bool:
    """True where uint8 and int8 kernels of an average_pool_2d agree: no window of it can end half way between steps.

    Both divide the window's sum by its count; uint8 rounds halves up, int8 away from zero.
    """
    return _elements(op) % 2 == 1 and not _is_padded(op)


def can_replace(op: Op) -> bool:
    """True where `replace_by_depthwise` can: all windows have the same count."""
    return not _is_padded(op)


def replace_by_depthwise(op: Op) -> Value:
    """Replace an int8 average_pool_2d by a depthwise_conv_2d that sums the window and rounds halves up.

    Before:  %1 = average_pool_2d(%0)      After:  %1 = depthwise_conv_2d(%0, 64, 1)  weight scale 1 / (64 * count)

    The weights are all 64, so the bias of 1 lifts a sum that lies half way between two steps, and no other, over it.
    """
    x, result = op.operand(0), op.result
    assert op.graph is not None
    assert x.quant is not None
    assert result.quant is not None
    a, channels = op.attributes, x.shape[3]
    scale = float(np.float32(result.quant.scale[0] / x.quant.scale[0] / (WEIGHT * _elements(op))))
    weight = np.full((1, a["filter_height"], a["filter_width"], channels), WEIGHT, np.int8)
    weight_type = TensorType(weight.shape, DType.INT8, QuantParams((scale,) * channels, (0,) * channels, 3))
    bias_scale = float(np.float32(x.quant.scale[0] * scale))
    bias_type = TensorType((channels,), DType.INT32, QuantParams((bias_scale,) * channels, (0,) * channels, 0))
    new = build(op.graph, before=op, source=op.source).emit(
        "depthwise_conv_2d",
        [
            x,
            Value(f"{op.name}_weight", weight_type, weight),
            Value(f"{op.name}_half", bias_type, np.ones(channels, np.int32)),
        ],
        name=op.name, quant=result.quant, padding="VALID", stride_h=a["stride_h"], stride_w=a["stride_w"],
        depth_multiplier=1, fused_activation_function=a["fused_activation_function"],
    )  # fmt: skip
    new.name = result.name
    op.graph.replace(op, [new])
    return new


def _elements(op: Op) -> int:
    return int(op.attributes["filter_height"]) * int(op.attributes["filter_width"])


def _is_padded(op: Op) -> bool:
    """True where some window reaches over the border, so that its count is smaller."""
    a, x, y = op.attributes, op.operand(0).shape, op.result.shape
    if a["padding"] == "VALID":
        return False
    return any(
        (y[axis] - 1) * a[f"stride_{side}"] + a[f"filter_{name}"] > x[axis]
        for axis, side, name in ((1, "h", "height"), (2, "w", "width"))
    )
