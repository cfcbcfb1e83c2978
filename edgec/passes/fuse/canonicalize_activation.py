"""Activations that are spelled out in several ops become the one op TFLite has for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.passes.fuse.clamp import EXTREMES, OPCODES, OPS, Interval, read_clamp
from edgec.passes.fuse.hard_swish import RecognizeHardSwish
from edgec.passes.fuse.weighted import other_use
from edgec.passes.pattern import RewritePass, RewriteRule, constant_operand, erase_dead


@dataclass(frozen=True, slots=True)
class ClampChain:
    """Clamps in a row as one: what they clamp, to which interval, and the last of them."""

    op: Op
    x: Value
    interval: Interval
    first: Op


class MergeClamps(RewriteRule[ClampChain]):
    """Write clamps in a row as one ReLU, and a maximum with zero as `relu`.

    Before:  %1 = maximum(%0, 0)      After:  %2 = relu6(%0)
             %2 = minimum(%1, 6)
    """

    anchors: ClassVar[tuple[str, ...]] = (*OPS, *EXTREMES)

    def pattern(self, op: Op) -> ClampChain | None:
        """A clamp, alone or behind another, that together have a name; or two of one kind."""
        last = read_clamp(op)
        if last is None:
            return None
        x, interval = last
        if interval in OPCODES and op.opcode in EXTREMES:
            return ClampChain(op, x, interval, op)
        before = read_clamp(x.producer)
        merged = None if before is None else before[1].then(interval)
        if before is None or merged is None or x.producer is None:
            return None
        if merged in OPCODES or op.opcode == x.producer.opcode:
            return ClampChain(op, before[0], merged, x.producer)
        return None

    def check(self, match: ClampChain) -> str | None:
        """Refuse integers, whose bounds depend on the scale, and other readers of the value in between."""
        if match.op.result.dtype is not DType.FLOAT32:
            return f"'{match.op.result.name}' is {match.op.result.dtype.value}, whose bounds depend on its scale"
        return None if match.first is match.op else other_use(match.first.result, match.op)

    def rewrite(self, match: ClampChain, builder: Builder) -> None:
        """One op."""
        op, opcode = match.op, OPCODES.get(match.interval)
        if opcode is not None:
            result = builder.emit(opcode, [match.x], name=op.name)
        else:
            bound = match.interval.low if op.opcode == "maximum" else match.interval.high
            result = builder.emit(op.opcode, [match.x, builder.constant(bound)], name=op.name)
        result.name = op.result.name
        builder.graph.replace(op, [result])
        if match.first is not op:
            erase_dead(match.first)


@dataclass(frozen=True, slots=True)
class Leaky:
    """The maximum of x and a product of x."""

    op: Op
    x: Value
    product: Op
    alpha: float


class RecognizeLeakyRelu(RewriteRule[Leaky]):
    """Write the maximum of x and a fraction of x as one op.

    Before:  %1 = mul(%0, 0.1)          After:  %2 = leaky_relu(%0) {alpha = 0.1}
             %2 = maximum(%0, %1)
    """

    anchors: ClassVar[tuple[str, ...]] = ("maximum",)

    def pattern(self, op: Op) -> Leaky | None:
        """maximum(x, alpha * x) with a number alpha."""
        for x, product in ((op.operand(0), op.operand(1)), (op.operand(1), op.operand(0))):
            producer = product.producer
            if producer is None or producer.opcode != "mul" or producer.result.dtype is not DType.FLOAT32:
                continue
            found = constant_operand(producer)
            plain = producer.attributes["fused_activation_function"] == "NONE"
            if plain and found is not None and found[0] is x and found[1].type.elements == 1:
                return Leaky(op, x, producer, float(found[1].array().reshape(-1)[0]))
        return None

    def check(self, match: Leaky) -> str | None:
        """Refuse slopes for which the maximum is another function, and changes of shape."""
        if not 0 <= match.alpha <= 1:
            return f"the slope {match.alpha:g} is not between 0 and 1"
        return None if match.op.result.shape == match.x.shape else f"'{match.x.name}' is broadcast"

    def rewrite(self, match: Leaky, builder: Builder) -> None:
        """One leaky_relu."""
        result = builder.emit("leaky_relu", [match.x], name=match.op.name, alpha=match.alpha)
        result.name = match.op.result.name
        builder.graph.replace(match.op, [result])
        erase_dead(match.product)


@dataclass(frozen=True)
class CanonicalizeActivation(RewritePass):
    """Write hard swishes, leaky ReLUs and clamps that are spelled out as one op each."""

    name: ClassVar[str] = "canonicalize_activation"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (RecognizeHardSwish(), RecognizeLeakyRelu(), MergeClamps())
