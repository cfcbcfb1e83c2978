"""ReLUs become an attribute of the op before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.passes.fuse.canonicalize_activation import MergeClamps
from edgec.passes.fuse.clamp import ATTRIBUTE_NAMES, ATTRIBUTES, OPS, Interval
from edgec.passes.fuse.weighted import other_use
from edgec.passes.pattern import RewritePass, RewriteRule

# Ops whose kernels in LiteRT, XNNPACK and TFLM apply RELU, RELU6 and RELU_N1_TO_1 themselves; each was run in all.
# `concatenation` and `l2_normalization` have the attribute too, but LiteRT and TFLM refuse it there.
CARRIERS = (
    "conv_2d", "depthwise_conv_2d", "transpose_conv", "fully_connected", "add", "sub", "mul", "div", "average_pool_2d",
    "max_pool_2d",
)  # fmt: skip
INTEGER_CARRIERS = tuple(set(CARRIERS) - {"div"})


@dataclass(frozen=True, slots=True)
class Clamped:
    """A ReLU and what it reads: the op whose result it clamps, and the interval of both together."""

    op: Op
    producer: Op
    merged: Interval | None


class FuseActivation(RewriteRule[Clamped]):
    """Let the op before a ReLU apply it.

    Before:  %1 = conv_2d(%0, $w, $b)      After:  %2 = conv_2d(%0, $w, $b) {RELU6}
             %2 = relu6(%1)

    In integers this is exact only where both results are quantized alike.
    """

    anchors: ClassVar[tuple[str, ...]] = ("relu", "relu6", "relu_n1_to_1")

    def pattern(self, op: Op) -> Clamped | None:
        """A ReLU behind an op that has the attribute."""
        producer = op.operand(0).producer
        if producer is None or "fused_activation_function" not in producer.attributes:
            return None
        before = ATTRIBUTES.get(producer.attributes["fused_activation_function"])
        return Clamped(op, producer, None if before is None else before.then(OPS[op.opcode]))

    def check(self, match: Clamped) -> str | None:
        """Refuse kernels without activation, other readers, other quantization, and clamps without a name."""
        producer, x = match.producer, match.op.operand(0)
        if producer.opcode not in CARRIERS:
            return f"no kernel of {producer.opcode} applies an activation"
        refusal = other_use(x, match.op)
        if refusal is not None:
            return refusal
        if match.merged not in ATTRIBUTE_NAMES:
            activation = producer.attributes["fused_activation_function"]
            return f"{producer.describe()} applies {activation} already, and no attribute stands for both"
        if x.dtype is not DType.FLOAT32 and producer.opcode not in INTEGER_CARRIERS:
            return f"the {x.dtype.value} kernel of {producer.opcode} was not tried with an activation"
        alike = x.quant is match.op.result.quant is None or (x.quant and x.quant.same_mapping(match.op.result.quant))
        return None if alike else f"'{match.op.result.name}' is quantized otherwise than '{x.name}'"

    def rewrite(self, match: Clamped, builder: Builder) -> None:
        """Set the attribute; name and users pass on to the op before."""
        assert match.merged is not None
        match.producer.attributes["fused_activation_function"] = ATTRIBUTE_NAMES[match.merged]
        match.producer.version = None
        match.producer.result.name = match.op.result.name
        builder.graph.replace(match.op, [match.producer.result])


@dataclass(frozen=True)
class FuseActivations(RewritePass):
    """Merge clamps in a row and let the op before a ReLU apply it."""

    name: ClassVar[str] = "fuse_activation"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (MergeClamps(), FuseActivation())
