"""Activations the target lacks, in ops it has."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.passes.legalize.rule import TargetRule, lacks, replace_named
from edgec.target.target import Target

CLAMPS = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "relu_n1_to_1": (-1.0, 1.0), "relu_0_to_1": (0.0, 1.0)}
ACTIVATION_OPS = {"RELU": "relu", "RELU6": "relu6", "RELU_N1_TO_1": "relu_n1_to_1"}


class SeparateActivation(TargetRule):
    """Put an activation that the kernel of its op refuses into an op of its own.

    Before:  %1 = concatenation(%a, %b) {RELU}      After:  %2 = concatenation(%a, %b)
                                                            %1 = relu(%2)
    """

    anchors: ClassVar[tuple[str, ...]] = ("concatenation", "l2_normalization")

    def needed(self, op: Op, target: Target) -> bool:
        """Where there is an activation with an op, on every target."""
        return op.attributes["fused_activation_function"] in ACTIVATION_OPS

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """The op without, then the activation."""
        attributes = {**op.attributes, "fused_activation_function": "NONE"}
        plain = builder.emit(op.opcode, op.operands, name=op.name, quant=op.result.quant, **attributes)
        opcode = ACTIVATION_OPS[op.attributes["fused_activation_function"]]
        replace_named(op, builder, builder.emit(opcode, [plain], quant=op.result.quant))


class ClampByExtremes(TargetRule):
    """Write a ReLU the target lacks as maximum and minimum.

    Before:  %1 = relu_n1_to_1(%0)      After:  %2 = maximum(%0, -1)
                                                %1 = minimum(%2, 1)

    In integers only where input and output are quantized alike, as the two demand.
    """

    anchors: ClassVar[tuple[str, ...]] = tuple(CLAMPS)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the target lacks the op and quantization does not forbid the change."""
        x, result = op.operand(0), op.result
        alike = x.dtype is DType.FLOAT32 or (x.quant is not None and x.quant.same_mapping(result.quant))
        return alike and lacks(op, target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """One op a bound."""
        value = op.operand(0)
        for opcode, bound in zip(("maximum", "minimum"), CLAMPS[op.opcode]):
            if math.isfinite(bound):
                value = builder.emit(opcode, [value, _bound(value, bound, builder)], quant=op.result.quant)
        replace_named(op, builder, value)


def _bound(value: Value, bound: float, builder: Builder) -> Value:
    if value.dtype is DType.FLOAT32:
        return builder.constant(bound)
    assert value.quant is not None
    limits = np.iinfo(value.dtype.numpy)
    stored = value.quant.zero_point[0] + round(bound / value.quant.scale[0])
    return builder.constant(np.array(min(max(stored, limits.min), limits.max), value.dtype.numpy), quant=value.quant)


class GeluByTanh(TargetRule):
    """Write a float gelu the target lacks with tanh.

    gelu(x) = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, 2016), exact for
    `approximate`, else off by at most 5e-4.
    """

    anchors: ClassVar[tuple[str, ...]] = ("gelu",)

    def needed(self, op: Op, target: Target) -> bool:
        """Where the target lacks gelu and the value is float."""
        return op.result.dtype is DType.FLOAT32 and lacks(op, target)

    def rewrite(self, op: Op, builder: Builder, target: Target) -> None:
        """u = x * (a + b x^2), then x * (tanh(u) / 2 + 1 / 2)."""
        x, root = op.operand(0), math.sqrt(2 / math.pi)
        squared = builder.emit("mul", [x, x])
        inner = builder.emit("mul", [squared, builder.constant(root * 0.044715)])
        inner = builder.emit("add", [inner, builder.constant(root)])
        gate = builder.emit("tanh", [builder.emit("mul", [x, inner])])
        gate = builder.emit("mul", [gate, builder.constant(0.5)])
        gate = builder.emit("add", [gate, builder.constant(0.5)])
        replace_named(op, builder, builder.emit("mul", [x, gate], name=op.name))
