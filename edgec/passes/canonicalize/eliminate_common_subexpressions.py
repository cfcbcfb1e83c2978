"""Computes equal things once."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.text_values import to_json
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS
from edgec.passes.base import GraphPass, PassContext
from edgec.passes.canonicalize.fold_constants import RANDOM


@dataclass(frozen=True)
class EliminateCommonSubexpressions(GraphPass):
    """Let an op that repeats an earlier one give way to it.

    Before:  %1 = relu(%0)          After:  %1 = relu(%0)
             %2 = relu(%0)                  %3 = add(%1, %1)
             %3 = add(%1, %2)

    Two ops are equal where opcode, attributes, operands and result types are; constants are compared by content. Ops
    with side effects, reads of state, random ones and those whose results are graph outputs (each output keeps its
    tensor) stay.
    """

    name: ClassVar[str] = "eliminate_common_subexpressions"

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Merge in one graph; returns the number of ops erased."""
        earlier: dict[Hashable, Op] = {}
        digests: dict[int, bytes] = {}
        merged = 0
        for op in graph.ops:
            if not _may_merge(op):
                continue
            key = _key(op, digests)
            first = earlier.setdefault(key, op)
            if first is op or any(r.is_output for r in op.results):
                continue
            graph.replace(op, first.results)
            merged += 1
        return merged

    def describe(self, changes: int) -> str:
        """The report's note."""
        return f"{changes} repeated ops erased"


def _may_merge(op: Op) -> bool:
    definition = OP_DEFS.get(op.opcode)
    if op.opcode in (CUSTOM, OPAQUE, *RANDOM) or definition is None or definition.has_side_effects:
        return False
    return not any(v is not None and _is_state(v) for v in op.operands) and not op.intermediates


def _is_state(value: Value) -> bool:
    """True for what another op may change between two reads: a variable, or the handle of one."""
    return value.is_variable or value.dtype in (DType.RESOURCE, DType.VARIANT)


def _key(op: Op, digests: dict[int, bytes]) -> Hashable:
    operands = tuple(None if v is None else _value_key(v, digests) for v in op.operands)
    types = tuple(r.type for r in op.results)
    return op.opcode, json.dumps(to_json(op.attributes), sort_keys=True), operands, types


def _value_key(value: Value, digests: dict[int, bytes]) -> Hashable:
    if value.data is None or value.sparsity is not None:
        return id(value)
    key = id(value.data)
    if key not in digests:
        digests[key] = blake2b(np.ascontiguousarray(value.data).data, digest_size=16).digest()
    return digests[key], value.type
