"""The part of a plan that needs no ranges: which ops run in int8, and which values share a scale."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgec.errors import QuantizationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import QuantParams
from edgec.ops import OP_DEFS
from edgec.quant.eligible import (
    HOPELESS,
    float_reasons,
    moves_data,
    quantized_operands,
    saturates,
    stranded_movement,
    touches_float,
)
from edgec.quant.groups import UnionFind
from edgec.quant.observers import Range
from edgec.target.target import Scheme, Target


@dataclass(frozen=True)
class Layout:
    """The part of the plan that needs no ranges: which ops run in int8 and which values share one scale."""

    graph: Graph
    int8_ops: tuple[Op, ...]
    float_ops: Mapping[Op, str]
    groups: Mapping[Value, tuple[Value, ...]]  # value → members, the value itself included
    moving: frozenset[Op]  # those int8 ops that only move data: results take the scale of their operands
    fixed: Mapping[Value, QuantParams]  # results whose range TFLite prescribes
    sources: tuple[Value, ...]  # the values whose ranges calibration finds

    def group_of(self, value: Value) -> tuple[Value, ...]:
        """The values that share scale and zero point with `value`."""
        return self.groups.get(value, (value,))


def layout(
    module: Module, target: Target, scheme: Scheme = "w8a8", hopeless: Collection[Value] = (),
    unranged: Collection[Value] = (),
) -> Layout:  # fmt: skip
    """Decide which ops run in int8 and which values share a scale; those on `hopeless` or `unranged` ones stay float.

    Raises:
        QuantizationError: the target runs int8 only and some ops cannot; all of them are named at once.
    """
    graph = module.main
    reasons = float_reasons(graph, target, hopeless, unranged)
    if reasons and "float32" not in target.io_dtype[scheme].inputs:
        listed = "; ".join(f"{op.describe()}: {reason}" for op, reason in reasons.items())
        raise QuantizationError(
            f"quantizing '{module.name}' to {scheme} for target {target.name}, which runs int8 only: "
            f"{len(reasons)} of its {len(graph)} ops cannot become int8: {listed}; replace them in the source model"
        )
    for op in stranded_movement(graph, reasons, target) if reasons else ():
        reasons[op] = "it moves data between ops that stay in float"
    int8_ops = tuple(op for op in graph.ops if touches_float(op) and op not in reasons)
    fixed = _fixed_results(int8_ops)
    moving = dict.fromkeys(op for op in int8_ops if moves_data(op, target))
    groups = _groups(moving, fixed)
    return Layout(graph, int8_ops, reasons, groups, frozenset(moving), fixed, _sources(int8_ops, moving, fixed))


def hopeless_values(layout_: Layout, ranges: Mapping[Value, Range]) -> set[Value]:
    """Values whose measured range leaves nothing in 8 bits, with all that share a scale with them."""
    return {
        member
        for value, range_ in ranges.items()
        if max(abs(range_.minimum), abs(range_.maximum)) >= HOPELESS
        for member in layout_.group_of(value)
    }


def _fixed_results(ops: Sequence[Op]) -> dict[Value, QuantParams]:
    fixed: dict[Value, QuantParams] = {}
    for op in ops:
        rule = OP_DEFS[op.opcode].quant
        if rule.fixed is not None:
            fixed.update((r, QuantParams.per_tensor(*rule.fixed.int8)) for r in op.results)
    return fixed


def _flowing(op: Op) -> list[Value]:
    """The float operands and results that share one scale in a same-scale op, constants apart."""
    definition = OP_DEFS[op.opcode]
    operands = [op.operand(i) for i in quantized_operands(op, definition)]
    return [v for v in operands if not v.is_constant] + [r for r in op.results if r.dtype is DType.FLOAT32]


def _groups(moving: Mapping[Op, None], fixed: Mapping[Value, QuantParams]) -> dict[Value, tuple[Value, ...]]:
    """Values that share a scale. A prescribed range joins only a group all of whose sources have that very range."""
    apart: set[Value] = set()
    for members in _joined(moving, apart):
        movers = [v.producer for v in members if v.producer in moving]
        prescribed = [v for v in members if v in fixed]
        uniform = len(prescribed) + len(movers) == len(members) and len({fixed[v] for v in prescribed}) == 1
        if prescribed and not (uniform and not any(constant_operands(op) for op in movers if op is not None)):
            apart.update(prescribed)
    return {value: members for members in _joined(moving, apart) for value in members}


def _joined(moving: Iterable[Op], apart: set[Value]) -> list[tuple[Value, ...]]:
    union: UnionFind[Value] = UnionFind()
    order: dict[Value, None] = {}
    for op in moving:
        values = [v for v in _flowing(op) if v not in apart]
        order.update(dict.fromkeys(values))
        for value in values[1:]:
            union.join(values[0], value)
    members: dict[Value, list[Value]] = defaultdict(list)
    for value in order:
        members[union.find(value)].append(value)
    return [tuple(group) for group in members.values()]


def constant_operands(op: Op) -> list[int]:
    """Positions of the constants whose values count for the scale that the op's operands share."""
    return [i for i in quantized_operands(op, OP_DEFS[op.opcode]) if op.operand(i).is_constant and not saturates(op, i)]


def _sources(ops: Sequence[Op], moving: Container[Op | None], fixed: Mapping[Value, QuantParams]) -> tuple[Value, ...]:
    found: dict[Value, None] = {}
    for op in ops:
        flowing = [op.operand(i) for i in quantized_operands(op, OP_DEFS[op.opcode])]
        for value in [*(v for v in flowing if not v.is_constant), *op.results]:
            if value.dtype is DType.FLOAT32 and value not in fixed and value.producer not in moving:
                found[value] = None
    return tuple(found)
