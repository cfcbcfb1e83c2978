"""Division, remainder and powers of integers that TFLite has no kernel for, exact in int64.

LiteRT multiplies, adds, compares and takes floor_mod in int64, but divides in int32 and float32 only.
"""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.translation import Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

FLOAT32, INT64 = DType.FLOAT32, DType.INT64
_ROUNDS = 4  # each float32 quotient is right to 22 bits and more; 3 rounds cover the 63 of int64, one is spare
_EXPONENT_BITS = 6  # 2^63 is out of range already


def divided(context: Translation, x: Value, y: Value) -> Value:
    """x / y of int64, rounded toward zero.

    x less its remainder is a multiple of y, and its quotient is found by float32 divisions of what is left: the error
    of each is divided by the next, until nothing is left.
    """
    whole, quotient = context.sub(x, truncated_remainder(context, x, y)), None
    divisor = context.cast(y, FLOAT32)
    left = whole
    for _ in range(_ROUNDS):
        part = context.div(context.cast(left, FLOAT32), divisor)
        part = context.cast(context.emit("round", [part]), INT64)
        quotient = part if quotient is None else context.add(quotient, part)
        left = context.sub(whole, context.mul(quotient, y))
    assert quotient is not None
    return quotient


def truncated_remainder(context: Translation, x: Value, y: Value) -> Value:
    """What is left of x after division by y toward zero; it has the sign of x."""
    zero = context.like(x, 0)
    remainder = context.emit("floor_mod", [x, y])
    negative = [context.emit("less", [v, zero]) for v in (x, y)]
    turned = context.emit("logical_and", [
        context.emit("not_equal", negative), context.emit("not_equal", [remainder, zero]),
    ])  # fmt: skip
    return context.emit("select_v2", [turned, context.sub(remainder, y), remainder])


def powered(context: Translation, base: Value, exponent: Value) -> Value:
    """base ** exponent of int64 for exponents from 0 to 63, by the squares of the base."""
    one = context.like(base, 1)
    result = one
    for bit in range(_EXPONENT_BITS):
        low = context.emit("floor_mod", [exponent, context.like(exponent, 2 << bit)])
        is_set = context.emit("greater_equal", [low, context.like(exponent, 1 << bit)])
        factor = context.emit("select_v2", [is_set, base, one])
        result = factor if bit == 0 else context.mul(result, factor)
        base = context.mul(base, base)
    return result


def shifted_left(context: Translation, x: Value, amount: Value) -> Value:
    """x << amount as a product with a power of two taken from a table; 0 where nothing is left of x."""
    bits = x.dtype.bits
    powers = context.constant(np.array([*(1 << np.arange(bits, dtype=np.int64)), 0], np.int64))
    place = context.emit("minimum", [context.cast(amount, INT64), context.constant(np.int64(bits))])
    factor = context.emit("gather", [powers, context.cast(place, DType.INT32)], axis=0)
    return context.cast(context.mul(context.cast(x, INT64), factor), x.dtype)
