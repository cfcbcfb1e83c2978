"""Which ops of a float graph can run in int8 on a target, and why the others cannot."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.op_def import OpDef, Role
from edgec.ops import OP_DEFS
from edgec.quant.groups import UnionFind
from edgec.target.target import Target

HOPELESS = 1e8  # beside values like this (masks, padding) nothing of an ordinary activation is left in 8 bits
# TFLM's relu6 clamps and does not rescale (LiteRT's does both): with two scales it gives wrong values.
_KEEPS_SCALE: dict[str, tuple[str, ...]] = {"tflm": ("relu6",)}
_BORDERS = ("quantize", "dequantize")


def float_reasons(
    graph: Graph, target: Target, hopeless: Collection[Value] = (), unranged: Collection[Value] = ()
) -> dict[Op, str]:
    """The ops on float tensors that must stay in float, each with one sentence's reason.

    `hopeless` are activations whose measured range leaves nothing of them in 8 bits; `unranged` those that a source
    with ranges of its own has none for.
    """
    reasons = {}
    for op in graph.ops:
        if touches_float(op):
            reason = _reason(op, target) or _hopeless_reason(op, hopeless) or _unranged_reason(op, unranged)
            if reason is not None:
                reasons[op] = reason
    return reasons


def stranded_movement(graph: Graph, reasons: dict[Op, str], target: Target) -> list[Op]:
    """Ops that only move data between float ops: int8 would cost accuracy and conversions there and gain nothing.

    Connected ops that move data stand or fall together: they are stranded where no op that computes in int8 is next to
    any of them.
    """
    moving = [op for op in graph.ops if touches_float(op) and op not in reasons and moves_data(op, target)]
    union: UnionFind[Op] = UnionFind()
    anchored: set[Op] = set()
    members = set(moving)
    for op in moving:
        for neighbour in _neighbours(op):
            if neighbour in members:
                union.join(op, neighbour)
            elif touches_float(neighbour) and neighbour not in reasons:
                anchored.add(op)
    roots = {union.find(op) for op in anchored}
    return [op for op in moving if union.find(op) not in roots]


def touches_float(op: Op) -> bool:
    """True where the op reads or gives float32 tensors that flow."""
    return any(v.dtype is DType.FLOAT32 for v in op.results) or any(
        v is not None and v.dtype is DType.FLOAT32 and not v.is_constant for v in op.operands
    )


def moves_data(op: Op, target: Target) -> bool:
    """True for ops whose results are among their operands' values: all with one scale throughout."""
    definition = OP_DEFS.get(op.opcode)
    return definition is not None and (definition.quant.same_scale or op.opcode in _KEEPS_SCALE.get(target.runtime, ()))


def quantized_operands(op: Op, definition: OpDef) -> list[int]:
    """Positions of the float32 operands that become integers when the op runs in int8."""
    return [
        i
        for i, v in enumerate(op.operands)
        if v is not None
        and v.dtype is DType.FLOAT32
        and definition.role(i) in (Role.ACTIVATION, Role.WEIGHT, Role.BIAS)
    ]


def _neighbours(op: Op) -> list[Op]:
    producers = [v.producer for v in op.operands if v is not None and v.producer is not None]
    return [*producers, *(user for result in op.results for user in result.users)]


def _reason(op: Op, target: Target) -> str | None:
    definition = OP_DEFS.get(op.opcode)
    if definition is None:
        return "a custom op has no known integer form"
    if op.opcode in _BORDERS:
        return "it stands where the source model changes between float and integers"
    if any(o.role is Role.STATE for o in definition.operands) or op.intermediates:
        return "layers with state are not quantized yet"
    if DType.INT8 not in definition.quant.activations:
        return "LiteRT has no int8 kernel for it"
    refusal = target.refusal(op.opcode, DType.INT8)
    if refusal is not None:
        return refusal
    if any(v.dtype.is_float and v.dtype is not DType.FLOAT32 for v in op.results):
        return "its result is no float32 tensor"
    return _operand_reason(op, definition)


def _hopeless_reason(op: Op, hopeless: Collection[Value]) -> str | None:
    found = next((v for v in (*op.operands, *op.results) if v in hopeless), None)
    if found is None:
        return None
    return f"its tensor '{found.name}' reaches beyond {HOPELESS:g}, beside which int8 keeps nothing"


def _unranged_reason(op: Op, unranged: Collection[Value]) -> str | None:
    found = next((v for v in (*op.operands, *op.results) if v in unranged), None)
    return None if found is None else f"the source model has it in float: its tensor '{found.name}' has no range there"


def _operand_reason(op: Op, definition: OpDef) -> str | None:
    for index in quantized_operands(op, definition):
        value = op.operand(index)
        role = definition.role(index)
        if role in (Role.WEIGHT, Role.BIAS) and not value.is_constant:
            return f"its {role.value} '{value.name}' is computed at run time"
        if value.is_constant and value.sparsity is not None:
            return f"its constant '{value.name}' is stored sparse"
        if value.is_constant and role is not Role.ACTIVATION and not np.isfinite(value.array()).all():
            return f"its {role.value} '{value.name}' holds NaN or infinite values"
        if value.is_constant and role is Role.ACTIVATION and not saturates(op, index) and not _is_ordinary(value):
            return f"its constant '{value.name}' reaches beyond {HOPELESS:g}, beside which int8 keeps nothing"
    return None


def saturates(op: Op, index: int) -> bool:
    """True for the padding value in front of a max pool: any value at or below the smallest int8 does the same."""
    return op.opcode == "padv2" and index == 2 and all(u.opcode == "max_pool_2d" for u in op.result.users)


def _is_ordinary(value: Value) -> bool:
    data = value.array()
    return bool(np.isfinite(data).all()) and float(np.abs(data).max(initial=0.0)) < HOPELESS
