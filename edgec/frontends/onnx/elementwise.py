"""Arithmetic, comparison and logic, element by element, with numpy broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import reduce

import numpy as np

from edgec.frontends.onnx.integer_arithmetic import divided, powered, shifted_left, truncated_remainder
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.frontends.onnx.widening import FLOAT, WIDE, computed_in, widened
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

FLOAT32, INT32, INT64, BOOL = DType.FLOAT32, DType.INT32, DType.INT64, DType.BOOL
_UNSIGNED = (DType.UINT8, DType.UINT16, DType.UINT32)
NO_INT64 = (FLOAT32, INT32)
Unary = Callable[[Translation, Value], Value]


def _binary(opcode: str, kernels: Collection[DType] = WIDE) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        operands = [node.input(0), node.input(1)]
        return widened(context, operands, kernels, lambda a, b: context.emit(opcode, [a, b]))

    return translate


def _variadic(opcode: str) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        operands = [node.input(i) for i in range(len(node.inputs))]
        return widened(
            context, operands, WIDE, lambda *values: reduce(lambda a, b: context.emit(opcode, [a, b]), values)
        )

    return translate


def mean(node: Node, context: Translation) -> Value:
    """Mean of any number of tensors: their sum times 1/n."""
    operands = [node.input(i) for i in range(len(node.inputs))]
    if len(operands) == 1:
        return operands[0]

    def compute(*values: Value) -> Value:
        return context.mul(reduce(context.add, values), context.constant(np.float32(1 / len(values))))

    return widened(context, operands, FLOAT, compute)


def _unary(opcode: str, kernels: Collection[DType] = FLOAT) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        return widened(context, [node.input(0)], kernels, lambda x: context.emit(opcode, [x]))

    return translate


def _composed(compute: Unary, kernels: Collection[DType] = FLOAT) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        return widened(context, [node.input(0)], kernels, lambda x: compute(context, x))

    return translate


# -- arithmetic ------------------------------------------------------------------------------------------------------


def power(node: Node, context: Translation) -> Value:
    """Pow; the usual constant exponents become cheaper ops, the exponent's type may differ from the base's."""
    base, exponent = node.input(0), node.input(1)
    if base.dtype.is_integer and exponent.dtype.is_float:  # in float32, which holds integers up to 2^24 exactly
        return context.cast(context.emit("pow", [context.cast(base, FLOAT32), exponent]), base.dtype)
    wide = computed_in(base.dtype, WIDE)
    x = context.cast(base, wide)
    if wide in (INT32, INT64) and exponent.data is not None and exponent.data.min(initial=0) < 0:
        raise Refusal("an integer base needs exponents that are not negative")
    if exponent.data is not None and exponent.type.elements == 1 and exponent.type.rank <= base.type.rank:
        known = _known_power(context, x, float(exponent.data.reshape(-1)[0]))
        if known is not None:
            return context.cast(known, base.dtype)
    if wide is INT64:
        return context.cast(powered(context, x, context.cast(exponent, wide)), base.dtype)
    return context.cast(context.emit("pow", [x, context.cast(exponent, wide)]), base.dtype)


def _known_power(context: Translation, x: Value, exponent: float) -> Value | None:
    if exponent == 1:
        return x
    if exponent in (2, 3, 4):
        square = context.mul(x, x)
        if exponent == 2:
            return square
        return context.mul(square, x if exponent == 3 else square)
    if not x.dtype.is_float:
        return None
    if exponent == -1:
        return context.div(context.like(x, 1), x)
    return context.emit({0.5: "sqrt", -0.5: "rsqrt"}[exponent], [x]) if exponent in (0.5, -0.5) else None


def modulo(node: Node, context: Translation) -> Value:
    """Mod: with the divisor's sign as TFLite's floor_mod, with the dividend's (fmod=1) by way of magnitudes."""
    a, b = node.input(0), node.input(1)
    if not node.int("fmod", 0):
        if a.dtype.is_float:
            raise Refusal("floats need fmod=1")
        return widened(context, [a, b], WIDE, lambda x, y: context.emit("floor_mod", [x, y]))

    def compute(x: Value, y: Value) -> Value:
        magnitude = context.emit("floor_mod", [context.emit("abs", [x]), context.emit("abs", [y])])
        return context.mul(magnitude, context.emit("sign", [x]))

    wide = computed_in(a.dtype, WIDE)
    if wide is INT64:
        result = truncated_remainder(context, context.cast(a, wide), context.cast(b, wide))
        return context.cast(result, a.dtype)
    return widened(context, [a, b], NO_INT64, compute)


def divide(node: Node, context: Translation) -> Value:
    """Div; integers are rounded toward zero, those of 64 bits by corrected float quotients."""
    a, b = node.input(0), node.input(1)
    wide = computed_in(a.dtype, WIDE)
    if wide is INT64:
        return context.cast(divided(context, context.cast(a, wide), context.cast(b, wide)), a.dtype)
    return widened(context, [a, b], NO_INT64, context.div)


def _absolute(context: Translation, x: Value) -> Value:
    if x.dtype is INT64:
        return context.emit("maximum", [x, context.emit("neg", [x])])
    return context.emit("abs", [x])


def _sign(context: Translation, x: Value) -> Value:
    if x.dtype is INT64:
        return context.emit("maximum", [context.emit("minimum", [x, context.like(x, 1)]), context.like(x, -1)])
    return context.emit("sign", [x])


def _reciprocal(context: Translation, x: Value) -> Value:
    return context.div(context.like(x, 1), x)


# -- transcendental functions ----------------------------------------------------------------------------------------


def error_function(context: Translation, x: Value) -> Value:
    """erf(x) = gelu(z) / (z/2) - 1 with z = sqrt(2) x, as gelu(z) = z/2 (1 + erf(z / sqrt(2))).

    An offset of 1e-20 keeps z from 0 and is lost in rounding anywhere else; x is clamped where erf is 1 in float32, so
    that infinities do not become inf / inf. The absolute error is that of 1 + erf, 2.4e-7 in float32.
    """
    given = x
    x = context.emit("maximum", [context.emit("minimum", [x, context.like(x, 5)]), context.like(x, -5)])
    z = context.add(context.mul(x, context.like(x, math.sqrt(2))), context.like(x, 1e-20))
    ratio = context.div(context.emit("gelu", [z]), context.mul(z, context.like(x, 0.5)))
    result = context.sub(ratio, context.like(x, 1))
    context.error_functions.append((given, result))
    return result


def _tan(context: Translation, x: Value) -> Value:
    return context.div(context.emit("sin", [x]), context.emit("cos", [x]))


def _leg(context: Translation, x: Value) -> Value:
    """sqrt((1 - x)(1 + x)), which keeps its digits near 1."""
    one = context.like(x, 1)
    return context.emit("sqrt", [context.mul(context.sub(one, x), context.add(one, x))])


def _asin(context: Translation, x: Value) -> Value:
    return context.emit("atan2", [x, _leg(context, x)])


def _acos(context: Translation, x: Value) -> Value:
    return context.emit("atan2", [_leg(context, x), x])


def _atan(context: Translation, x: Value) -> Value:
    # The kernel of atan2 does not broadcast.
    return context.emit("atan2", [x, context.emit("fill", [context.ints(list(x.shape)), context.like(x, 1)])])


def _hyperbolic(combine: str) -> Unary:
    def compute(context: Translation, x: Value) -> Value:
        grown, shrunk = context.emit("exp", [x]), context.emit("exp", [context.emit("neg", [x])])
        return context.mul(context.emit(combine, [grown, shrunk]), context.like(x, 0.5))

    return compute


def _asinh(context: Translation, x: Value) -> Value:
    size = context.emit("abs", [x])
    leg = context.emit("sqrt", [context.add(context.mul(x, x), context.like(x, 1))])
    return context.mul(context.emit("log", [context.add(size, leg)]), context.emit("sign", [x]))


def _acosh(context: Translation, x: Value) -> Value:
    leg = context.emit("sqrt", [context.sub(context.mul(x, x), context.like(x, 1))])
    return context.emit("log", [context.add(x, leg)])


def _atanh(context: Translation, x: Value) -> Value:
    one = context.like(x, 1)
    ratio = context.div(context.add(one, x), context.sub(one, x))
    return context.mul(context.emit("log", [ratio]), context.like(x, 0.5))


# -- comparison, logic, bits -----------------------------------------------------------------------------------------


def _comparison(opcode: str, kernels: Collection[DType] = WIDE) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        wide = computed_in(node.input(0).dtype, kernels)
        return context.emit(opcode, [context.cast(node.input(i), wide) for i in (0, 1)])

    return translate


def _logic(opcode: str, operands: int) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        return context.emit(opcode, [node.input(i) for i in range(operands)])

    return translate


def is_nan(node: Node, context: Translation) -> Value:
    """IsNaN: only a NaN differs from itself."""
    x = context.cast(node.input(0), computed_in(node.input(0).dtype, FLOAT))
    return context.emit("not_equal", [x, x])


def is_infinite(node: Node, context: Translation) -> Value:
    """IsInf, of either sign or of one."""
    x = context.cast(node.input(0), computed_in(node.input(0).dtype, FLOAT))
    negative, positive = node.int("detect_negative", 1), node.int("detect_positive", 1)
    if not negative and not positive:
        return context.filled(x.shape, False, DType.BOOL)
    if negative and positive:
        x = context.emit("abs", [x])
    return context.emit("equal", [x, context.like(x, math.inf if positive else -math.inf)])


def where(node: Node, context: Translation) -> Value:
    """Where with broadcasting of all three operands."""
    return context.emit("select_v2", [node.input(0), node.input(1), node.input(2)])


_BITS = (DType.INT8, DType.UINT8, DType.INT16, DType.UINT16, INT32, DType.UINT32)


def bitwise_not(node: Node, context: Translation) -> Value:
    """BitwiseNot: exclusive or with all ones."""
    x = node.input(0)
    computed_in(x.dtype, _BITS)
    ones = context.constant(~np.zeros((), x.dtype.numpy), x.dtype)
    return context.emit("bitwise_xor", [x, ones])


def _bitwise(either: bool) -> Translate:
    """BitwiseAnd or BitwiseOr on the single bits, which a new last axis holds."""

    def translate(node: Node, context: Translation) -> Value:
        a, b = node.input(0), node.input(1)
        width = a.dtype.bits
        if a.dtype not in _BITS or a.dtype is DType.UINT32:
            raise Refusal(f"TFLite has no kernel for it in {a.dtype.value}")
        places = context.constant(np.arange(width), INT32)
        two = context.ints(2)
        weights = context.constant((1 << np.arange(width)).astype(np.uint32).view(np.int32), INT32)

        def bits(x: Value) -> Value:
            wide = context.reshape(context.cast(x, INT32), [*x.shape, 1])
            spread = context.emit("right_shift", [
                context.emit("broadcast_to", [wide, context.ints([*x.shape, width])]),
                context.emit("broadcast_to", [places, context.ints([*x.shape, width])]),
            ])  # fmt: skip
            return context.emit("floor_mod", [spread, two])

        joined = context.emit("maximum", [bits(a), bits(b)]) if either else context.mul(bits(a), bits(b))
        total = context.emit("sum", [context.mul(joined, weights), context.ints([joined.type.rank - 1])])
        return context.cast(total, a.dtype)

    return translate


def bit_shift(node: Node, context: Translation) -> Value:
    """BitShift to the right; to the left as a product with powers of two."""
    x, shift = node.input(0), node.input(1)
    computed_in(x.dtype, _UNSIGNED)
    computed_in(shift.dtype, _UNSIGNED)
    if node.attribute("direction", "") == "RIGHT":
        return context.emit("right_shift", [x, shift])
    if shift.data is None:
        return shifted_left(context, x, shift)
    factors = context.constant(np.left_shift(np.ones((), x.dtype.numpy), shift.data), x.dtype)
    return widened(context, [x, factors], WIDE, context.mul)


TRANSLATIONS: dict[str, Translate] = {
    "Add": _binary("add"),
    "Sub": _binary("sub"),
    "Mul": _binary("mul"),
    "Div": divide,
    "Pow": power,
    "Mod": modulo,
    "Min": _variadic("minimum"),
    "Max": _variadic("maximum"),
    "Sum": _variadic("add"),
    "Mean": mean,
    "Sqrt": _unary("sqrt"),
    "Exp": _unary("exp"),
    "Log": _unary("log"),
    "Abs": _composed(_absolute, WIDE),
    "Neg": _unary("neg", WIDE),
    "Sign": _composed(_sign, WIDE),
    "Reciprocal": _composed(_reciprocal),
    "Floor": _unary("floor"),
    "Ceil": _unary("ceil"),
    "Round": _unary("round"),  # both: half to even
    "Erf": _composed(error_function),
    "Sin": _unary("sin"),
    "Cos": _unary("cos"),
    "Tan": _composed(_tan),
    "Asin": _composed(_asin),
    "Acos": _composed(_acos),
    "Atan": _composed(_atan),
    "Sinh": _composed(_hyperbolic("sub")),
    "Cosh": _composed(_hyperbolic("add")),
    "Asinh": _composed(_asinh),
    "Acosh": _composed(_acosh),
    "Atanh": _composed(_atanh),
    "Equal": _comparison("equal", (*WIDE, BOOL)),
    "Less": _comparison("less"),
    "LessOrEqual": _comparison("less_equal"),
    "Greater": _comparison("greater"),
    "GreaterOrEqual": _comparison("greater_equal"),
    "And": _logic("logical_and", 2),
    "Or": _logic("logical_or", 2),
    "Xor": _logic("not_equal", 2),
    "Not": _logic("logical_not", 1),
    "IsNaN": is_nan,
    "IsInf": is_infinite,
    "Where": where,
    "BitwiseXor": _binary("bitwise_xor", _BITS),
    "BitwiseAnd": _bitwise(either=False),
    "BitwiseOr": _bitwise(either=True),
    "BitwiseNot": bitwise_not,
    "BitShift": bit_shift,
}
