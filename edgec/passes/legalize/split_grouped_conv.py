"""Grouped convolutions as one convolution a group."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ir.types import QuantParams
from edgec.passes.legalize.rule import TargetRule, replace_named
from edgec.target.target import Target


class SplitGroupedConv(TargetRule):
    """Split a grouped convolution where the target says `grouped_conv_2d = false`.

    Before:  %1 = conv_2d(%0, $w)  2 groups      After:  %a, %b = split(%0, axis 3)
                                                         %c = conv_2d(%a, $w[:half])    %d = conv_2d(%b, $w[half:])
                                                         %1 = concatenation(%c, %d)

    LiteRT, XNNPACK and TFLM's reference kernels run groups as they are, in float and int8.
    """

    anchors: ClassVar[tuple[str, ...]] = ("conv_2d",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the target says so and the weights are known."""
        grouped = op.operand(0).shape[3] != op.operand(1).shape[3]
        return grouped and op.operand(1).is_constant and not target.rules.get("grouped_conv_2d", True)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """split, one conv_2d a group, concatenation."""
        x, weight, bias = op.operand(0), op.operand(1), op.optional_operand(2)
        groups = x.shape[3] // weight.shape[3]
        split = builder.emit_op("split", [builder.ints(3), x], num_splits=groups, quant=x.quant)
        parts = []
        for index, part in enumerate(split.results):
            operands = [part, _slice(weight, index, groups, builder)]
            operands += [] if bias is None else [_slice(bias, index, groups, builder)]
            name = f"{op.name}/group{index}"
            parts.append(builder.emit("conv_2d", operands, name=name, quant=op.result.quant, **op.attributes))
        replace_named(op, builder, builder.emit("concatenation", parts, axis=3, quant=op.result.quant, name=op.name))


def _slice(value: Value, index: int, groups: int, builder: Builder) -> Value:
    """The share of group `index` along the first axis, its scales included."""
    size = value.shape[0] // groups
    share = slice(index * size, (index + 1) * size)
    quant = value.quant
    if quant is not None and len(quant.scale) > 1:
        quant = QuantParams(quant.scale[share], quant.zero_point[share], quant.axis)
    data = np.ascontiguousarray(value.array()[share])
    return builder.constant(data, value.dtype, name=f"{value.name}/group{index}", quant=quant)
