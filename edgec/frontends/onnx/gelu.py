"""Recognizes x * (1 + erf(x / sqrt(2))) / 2, as exporters spell GELU before opset 20, in the translated graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ops import build

TOLERANCE = 1e-5  # relative; exporters print sqrt(2) with seven digits, float16 constants are exact to 5e-4
HALF_TOLERANCE = 1e-3  # for sqrt(2) that was stored in float16
Factor = tuple[Value, Op]  # a factor, and the op that reads it


def recognize_gelu(graph: Graph, error_functions: Sequence[tuple[Value, Value]]) -> int:
    """Replace what computes GELU from an error function by one `gelu`; returns how many there were.

    `error_functions` holds (operand, result) of each translated Erf. An inner value that something else reads stays.
    """
    return sum(_replace(graph, operand, result) for operand, result in error_functions)


def _replace(graph: Graph, operand: Value, result: Value) -> bool:
    x = _over_root_of_two(operand)
    shifted = result.sole_user
    if x is None or shifted is None or shifted.opcode != "add" or not _is_plain(shifted):
        return False
    if not _close(_other_constant(shifted, result), 1.0):
        return False
    product = _top_of_product(shifted.result)
    factors: list[Factor] = []
    if product is None or product.result.shape != x.shape:
        return False
    scale = _factors(product, factors)
    computed = [value for value, _ in factors]
    if len(computed) != 2 or shifted.result not in computed or x not in computed or not _close(scale, 0.5):
        return False
    builder = build(graph, before=product, source=product.source)
    fused = builder.emit("gelu", [x], name=product.name)
    fused.name = product.result.name
    producers = [v.producer for v in product.operands if v is not None]
    graph.replace(product, [fused])
    _erase_unread(producers)
    return True


def _over_root_of_two(value: Value) -> Value | None:
    """x where `value` is x / sqrt(2) or x * sqrt(1/2)."""
    op = value.producer
    if op is None or op.opcode not in ("mul", "div") or not _is_plain(op):
        return None
    x = next((v for v in op.operands if v is not None and not v.is_constant), None)
    if x is None or (op.opcode == "div" and x is not op.operand(0)):
        return None
    number = _other_constant(op, x)
    wanted = math.sqrt(2) if op.opcode == "div" else math.sqrt(0.5)
    return x if _close(number, wanted, HALF_TOLERANCE) else None


def _top_of_product(value: Value) -> Op | None:
    """The last of the products that `value` goes into, one after the other; at most x, 1 + erf and 1/2 make three."""
    found: Op | None = None
    while (user := value.sole_user) is not None and user.opcode in ("mul", "div") and _is_plain(user):
        if user.opcode == "div" and value is not user.operand(0):
            break
        factors: list[Factor] = []
        _factors(user, factors)
        if len(factors) > 2:
            break
        found, value = user, user.result
        if len(factors) == 2 and _close(_factors(user, []), 0.5):
            break
    return found


def _factors(op: Op, factors: list[Factor]) -> float:
    """Collect the computed factors of a product; returns its constant factor. One with other readers stays whole."""
    constant = 1.0
    for index, value in enumerate(v for v in op.operands if v is not None):
        number = _uniform(value)
        below = value.producer
        if number is not None and number != 0:
            constant *= number if op.opcode == "mul" or index == 0 else 1 / number
        elif below is not None and value.sole_user is op and _is_half_product(below):
            constant *= _factors(below, factors)
        else:
            factors.append((value, op))
    return constant


def _is_half_product(op: Op) -> bool:
    """A product that may be taken apart: mul, or a division by a number."""
    if op.opcode not in ("mul", "div") or not _is_plain(op):
        return False
    return op.opcode == "mul" or _uniform(op.operand(1)) is not None


def _is_plain(op: Op) -> bool:
    return bool(op.attributes["fused_activation_function"] == "NONE")


def _other_constant(op: Op, value: Value) -> float | None:
    others = [v for v in op.operands if v is not None and v is not value]
    return _uniform(others[0]) if len(others) == 1 else None


def _uniform(value: Value) -> float | None:
    """The number a float constant of one element holds, None for anything else."""
    if value.data is None or not value.dtype.is_float or value.data.size != 1:
        return None
    return float(np.asarray(value.data).reshape(-1)[0])


def _close(found: float | None, wanted: float, tolerance: float = TOLERANCE) -> bool:
    return found is not None and math.isclose(found, wanted, rel_tol=tolerance)


def _erase_unread(ops: Sequence[Op | None]) -> None:
    pending = list(ops)
    while pending:
        op = pending.pop()
        if op is None or op.graph is None or any(r.use_count for r in op.results):
            continue
        producers = [v.producer for v in op.operands if v is not None]
        op.graph.erase(op)
        pending.extend(producers)
