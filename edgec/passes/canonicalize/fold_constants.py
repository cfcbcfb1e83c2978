"""Folds ops whose operands are all constant, by running them once in the real kernels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from edgec.errors import RuntimeFailure
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS
from edgec.passes.base import GraphPass, PassContext
from edgec.runtime.evaluate import evaluate_constants

RANDOM = {"random_uniform", "random_standard_normal", "multinomial"}
SMALL_BUFFER_BYTES = 1 << 10
KEPT = {CUSTOM, OPAQUE, *RANDOM}


@dataclass(frozen=True)
class FoldConstants(GraphPass):
    """Replace ops with constant operands by their results.

    Before:  %1 = reshape($w, $shape)      After:  $1 = the reshaped weights
             %2 = conv_2d(%0, %1)                  %2 = conv_2d(%0, $1)

    All foldable ops of a graph are evaluated in one run. A `dequantize` of constant weights stays (it is how a file
    holds fp16 weights), as does what would give more than `max_result_bytes`, unless its operands are larger, and the
    `fill` of a buffer that a loop writes into, unless it is small.
    """

    name: ClassVar[str] = "fold_constants"
    max_result_bytes: int = 64 << 20

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Fold in one graph; returns the number of ops folded."""
        foldable = self._foldable(graph)
        if not foldable:
            return 0
        evaluated = _evaluate(foldable)
        for result, array in evaluated.items():
            constant = graph.constant(array, result.name, dtype=result.dtype, quant=result.quant)
            graph.replace_all_uses(result, constant)
        folded = 0
        for op in reversed(foldable):
            if not any(r.use_count for r in op.results):
                graph.erase(op)
                folded += 1
        return folded

    def _foldable(self, graph: Graph) -> list[Op]:
        known: set[Value] = set()
        foldable = []
        for op in graph.ops:
            if not self._may_fold(op):
                continue
            if all(v is None or v.is_constant or v in known for v in op.operands):
                foldable.append(op)
                known.update(op.results)
        return foldable

    def _may_fold(self, op: Op) -> bool:
        definition = OP_DEFS.get(op.opcode)
        if definition is None or op.opcode in KEPT or definition.has_side_effects or not op.operands:
            return False
        if op.opcode == "dequantize" or any(r.type.is_dynamic or r.is_variable for r in op.results):
            return False
        if any(v is not None and v.sparsity is not None for v in op.operands) or _is_loop_buffer(op):
            return False
        written = sum(r.type.bytes for r in op.results)
        return written <= max(self.max_result_bytes, sum(v.type.bytes for v in op.operands if v is not None))


def _is_loop_buffer(op: Op) -> bool:
    large = op.opcode == "fill" and op.results[0].type.bytes > SMALL_BUFFER_BYTES
    return large and bool(op.results[0].users) and all(user.opcode == "while" for user in op.results[0].users)


def _evaluate(ops: Sequence[Op]) -> dict[Value, np.ndarray]:
    """Results of all ops in one run; where the runtime refuses that, op by op, leaving out what it refuses."""
    try:
        return evaluate_constants(ops)
    except RuntimeFailure:
        results: dict[Value, np.ndarray] = {}
        for op in ops:
            if all(v is None or v.is_constant for v in op.operands):
                with suppress(RuntimeFailure):
                    results.update(evaluate_constants([op]))
        return results
