"""Convolutions without a bias get one of zeros."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.types import QuantParams
from edgec.passes.legalize.rule import TargetRule
from edgec.target.target import Target

BIAS_DTYPES = {DType.FLOAT32: DType.FLOAT32, DType.INT8: DType.INT32, DType.INT16: DType.INT64}


class AddZeroBias(TargetRule):
    """Give a convolution without a bias one of zeros: LiteRT refuses `conv_2d` without and crashes on depthwise ones.

    Before:  conv_2d(%0, $w)      After:  conv_2d(%0, $w, $zeros)
    """

    anchors: ClassVar[tuple[str, ...]] = ("conv_2d", "depthwise_conv_2d")

    def needed(self, op: Op, target: Target) -> bool:
        """Where there is none, on every target."""
        return op.optional_operand(2) is None and op.operand(0).dtype in BIAS_DTYPES

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """Append zeros in the dtype and scale the kernel adds in."""
        channels = op.result.shape[-1]
        dtype = BIAS_DTYPES[op.operand(0).dtype]
        quant = _bias_quant(op) if dtype.is_integer else None
        bias = builder.constant(np.zeros(channels, dtype.numpy), dtype, name=f"{op.name}/bias", quant=quant)
        op.set_operands([op.operand(0), op.operand(1), bias])


def _bias_quant(op: Op) -> QuantParams | None:
    x, weight = op.operand(0).quant, op.operand(1).quant
    if x is None or weight is None:
        return None
    scales = tuple(x.scale[0] * scale for scale in weight.scale)
    return QuantParams(scales, (0,) * len(scales), 0 if weight.is_per_channel else None)
