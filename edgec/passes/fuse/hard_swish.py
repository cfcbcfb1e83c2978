"""Recognizes x * relu6(x + 3) / 6 in the ways exporters write it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.passes.fuse.clamp import FREE, OPS, Interval, read_clamp, uniform
from edgec.passes.fuse.weighted import other_use
from edgec.passes.pattern import RewriteRule, constant_operand, erase_dead

TOLERANCE = 1e-5  # relative; 1/6 in float32 is off by 2e-8, exporters print it with five digits and more
PRODUCTS = ("mul", "div")


@dataclass(frozen=True, slots=True)
class Gate:
    """`height` * relu6(x + 3), and the ops that compute it, each with the value that only the next of them may read."""

    x: Value
    height: float
    inner: tuple[tuple[Value, Op], ...]


@dataclass(frozen=True, slots=True)
class HardSwish:
    """The last op of the product, x, and the inner values with their only permitted readers."""

    op: Op
    x: Value
    inner: tuple[tuple[Value, Op], ...]


class RecognizeHardSwish(RewriteRule[HardSwish]):
    """Write the product of x and its hard sigmoid as one op.

    Before:  %1 = add(%0, 3)      After:  %4 = hard_swish(%0)
             %2 = relu6(%1)
             %3 = mul(%0, %2)
             %4 = div(%3, 6)

    The factor may stand anywhere in the product, the clamp may be an attribute or a maximum and a minimum, and the gate
    may be clamp(x / 6 + 1/2, 0, 1).
    """

    anchors: ClassVar[tuple[str, ...]] = PRODUCTS

    def pattern(self, op: Op) -> HardSwish | None:
        """A product of x, relu6(x + 3) and 1/6."""
        if op.result.dtype is not DType.FLOAT32 or op.attributes["fused_activation_function"] != "NONE":
            return None
        factors: list[tuple[Value, Op]] = []
        constant = _factors(op, factors)
        if constant is None or len(factors) != 2:
            return None
        for (x, _), (other, reader) in (factors, factors[::-1]):
            gate = _gate(other)
            if gate is not None and gate.x is x and math.isclose(gate.height * constant, 1 / 6, rel_tol=TOLERANCE):
                return HardSwish(op, x, ((other, reader), *gate.inner))
        return None

    def check(self, match: HardSwish) -> str | None:
        """Refuse where an inner value is needed otherwise."""
        if match.op.result.shape != match.x.shape:
            return f"'{match.x.name}' is broadcast"
        return next((r for r in (other_use(value, user) for value, user in match.inner) if r is not None), None)

    def rewrite(self, match: HardSwish, builder: Builder) -> None:
        """One hard_swish."""
        result = builder.emit("hard_swish", [match.x], name=match.op.name)
        result.name = match.op.result.name
        producers = [v.producer for v in match.op.operands if v is not None]
        builder.graph.replace(match.op, [result])
        for producer in producers:
            erase_dead(producer)


def _factors(op: Op, factors: list[tuple[Value, Op]]) -> float | None:
    """Collect the computed factors of a product with their readers; returns the constant factor, None for other ops.

    A product that has another reader counts as one factor.
    """
    found = constant_operand(op)
    if found is None:
        if op.opcode == "div" or any(v is None or v.is_constant for v in op.operands):
            return None
        values, constant = [op.operand(0), op.operand(1)], 1.0
    else:
        number = uniform(found[1])
        if number is None or number == 0 or (op.opcode == "div" and found[0] is not op.operand(0)):
            return None
        values, constant = [found[0]], 1 / number if op.opcode == "div" else number
    for value in values:
        below = None
        if value.producer is not None and value.sole_user is op and _is_plain_product(value.producer):
            below = _factors(value.producer, factors)
        if below is None:
            factors.append((value, op))
        else:
            constant *= below
    return constant


def _is_plain_product(op: Op) -> bool:
    return op.opcode in PRODUCTS and op.attributes["fused_activation_function"] == "NONE"


def _gate(value: Value) -> Gate | None:
    """`value` as a multiple of relu6(x + 3)."""
    interval, inner, op = FREE, [], value.producer
    while (clamp := read_clamp(op)) is not None and op is not None:
        merged = clamp[1].then(interval)
        if merged is None:
            return None
        interval = merged
        inner.append((clamp[0], op))
        op = clamp[0].producer
    if op is None or op.opcode != "add":
        return None
    if interval == FREE and op.attributes["fused_activation_function"] == "RELU6":
        interval = OPS["relu6"]
    elif op.attributes["fused_activation_function"] != "NONE":
        return None
    return _shifted(op, interval, inner)


def _shifted(op: Op, interval: Interval, inner: list[tuple[Value, Op]]) -> Gate | None:
    found = constant_operand(op)
    shift = None if found is None else uniform(found[1])
    if found is None or shift is None:
        return None
    if interval == OPS["relu6"] and math.isclose(shift, 3, rel_tol=TOLERANCE):
        return Gate(found[0], 1.0, tuple(inner))
    scaled = found[0].producer
    if interval != OPS["relu_0_to_1"] or not math.isclose(shift, 0.5, rel_tol=TOLERANCE) or scaled is None:
        return None
    if not _is_plain_product(scaled):
        return None
    factors: list[tuple[Value, Op]] = []
    slope = _factors(scaled, factors)
    if slope is None or len(factors) != 1 or not math.isclose(slope, 1 / 6, rel_tol=TOLERANCE):
        return None
    return Gate(factors[0][0], 1 / 6, (*inner, (found[0], op)))
