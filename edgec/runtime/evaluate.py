"""Runs a graph of the IR: serialize it, invoke the real kernels, return what they give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgec.backends.tflite import serialize
from edgec.errors import RuntimeFailure
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.runtime.litert import LiteRTSession


def evaluate(graph: Graph, feeds: Mapping[str, np.ndarray] | Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of a graph in LiteRT's own kernels (no delegate), in the order of the graph's outputs.

    `feeds` are arrays by input name or in the order of the inputs.

    Raises:
        RuntimeFailure: LiteRT refuses the graph or the feeds.
    """
    if isinstance(feeds, Mapping):
        missing = [v.name for v in graph.inputs if v.name not in feeds]
        if missing:
            raise RuntimeFailure(f"Running graph '{graph.name}': nothing is fed to its input '{missing[0]}'.")
    inputs = [feeds[v.name] for v in graph.inputs] if isinstance(feeds, Mapping) else list(feeds)
    return LiteRTSession(serialize(Module([graph])), xnnpack=False).run(inputs)


def evaluate_constants(ops: Sequence[Op]) -> dict[Value, np.ndarray]:
    """Results of ops whose operands are all constants or results of earlier ones of them, all in one run.

    Raises:
        RuntimeFailure: LiteRT refuses one of the ops, or might end this process over it.
    """
    if not ops:
        return {}
    graph = Graph("constants")
    copies: dict[Value, Value] = {}
    for op in ops:
        _refuse_trapping_division(op)
        operands = [None if v is None else copies.setdefault(v, _copy(v)) for v in op.operands]
        results = [_copy(v) for v in op.results]
        copies.update(zip(op.results, results))
        graph.append(Op(op.opcode, operands, results, op.attributes, name=op.name, version=op.version))
    wanted = [result for op in ops for result in op.results]
    graph.outputs = [copies[value] for value in wanted]
    return dict(zip(wanted, evaluate(graph, [])))


def _refuse_trapping_division(op: Op) -> None:
    """LiteRT 2.3 computes the least int32 modulo -1 with the processor's division, whose overflow ends the process."""
    if op.opcode != "floor_mod" or not op.operand(1).dtype.is_integer:
        return
    divisor = op.operand(1).data
    if divisor is None or bool((divisor == -1).any()):
        raise RuntimeFailure(
            f"Running {op.describe()}: a divisor of -1 can end the runtime's process; it stays unfolded."
        )


def _copy(value: Value) -> Value:
    return Value(value.name, value.type, value.data, sparsity=value.sparsity, extra=value.extra)
