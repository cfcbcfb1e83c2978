"""The values of channels that are the same for every input, read from the kernels themselves.

Only the ops that give such channels are run, once, on arbitrary inputs: what a fixed channel holds after that run it
holds after every run. For integers a value counts where every runtime at hand (LiteRT with
and without XNNPACK and in its reference kernels, TFLM) gives the same: requantization of a halfway case differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.backends.tflite import serialize
from edgec.compress.channel_ranges import ChannelFacts
from edgec.compress.weights import zero_bias, zero_point
from edgec.errors import MissingExtra, RuntimeFailure
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import AMPLE_ARENA_BYTES, TFLMSession


@dataclass(frozen=True, slots=True, eq=False)
class Constants:
    """Channels that hold one stored value at every place for every input; `known` is bool [channels]."""

    known: np.ndarray
    stored: np.ndarray


def probe_constants(graph: Graph, facts: ChannelFacts) -> dict[Value, Constants]:
    """The constant channels of a graph; empty where no runtime takes the ops that give them."""
    ops = [op for op in graph.ops if any(_has_fixed(facts, r) for r in op.results)]
    ops = [op for op in ops if len(op.results) == 1 and _is_static(op.result)]
    if not ops:
        return {}
    runs = _run_everywhere(ops)
    if not runs:
        return {}
    constants = {}
    for index, op in enumerate(ops):
        runs_of_op = runs[:1] if op.result.dtype.is_float else runs  # floats differ in their last bits
        rows = [run[index].reshape(-1, op.result.shape[-1]) for run in runs_of_op]
        known = facts.fixed[op.result].copy()
        for row in rows:
            known &= (row == rows[0][0]).all(axis=0)
        constants[op.result] = Constants(known, rows[0][0])
    return constants


def _has_fixed(facts: ChannelFacts, value: Value) -> bool:
    return value in facts.fixed and bool(facts.fixed[value].any())


def _is_static(value: Value) -> bool:
    """True where at most the batch may change, along which every sample gets the same."""
    signature = value.type.signature
    return value.type.elements > 0 and (signature is None or -1 not in signature[1:])


def _run_everywhere(ops: Sequence[Op]) -> list[list[np.ndarray]]:
    """Results of all ops, from each runtime that takes them."""
    graph = _probe_graph(ops)
    model = serialize(Module([graph]))
    feeds = [np.full(v.shape, zero_point(v), v.dtype.numpy) for v in graph.inputs]
    runs = []
    loaders: list[Callable[[], LiteRTSession | TFLMSession]] = [lambda: LiteRTSession(model, xnnpack=False)]
    if not all(value.dtype.is_float for value in graph.outputs):
        loaders.append(lambda: TFLMSession(model, AMPLE_ARENA_BYTES))
        loaders.append(lambda: LiteRTSession(model))
        loaders.append(lambda: LiteRTSession(model, reference_kernels=True))
    for load in loaders:
        try:
            runs.append(load().run(feeds))
        except (RuntimeFailure, MissingExtra):
            continue  # the other runtime may take it; where none does, no constant is known
    return runs


def _with_bias(op: Op, operands: list[Value | None]) -> list[Value | None]:
    """Operands with zeros for a missing bias: LiteRT refuses a conv_2d without one and crashes on a depthwise one."""
    if op.opcode not in ("conv_2d", "depthwise_conv_2d") or op.optional_operand(2) is not None:
        return operands
    return [*operands[:2], zero_bias(op, 0, 0 if op.opcode == "conv_2d" else 3)]


def _probe_graph(ops: Sequence[Op]) -> Graph:
    """The ops alone, every result an output; what they read from elsewhere becomes an input."""
    graph = Graph("probe")
    copies: dict[Value, Value] = {}
    made = {result for op in ops for result in op.results}
    for op in ops:
        for operand in op.operands:
            if operand is None or operand in copies:
                continue
            copies[operand] = Value(operand.name, operand.type, operand.data, extra=operand.extra)
            if not operand.is_constant and operand not in made:
                graph.inputs = (*graph.inputs, copies[operand])
        for result in op.results:
            copies[result] = Value(result.name, result.type, extra=result.extra)
        operands = _with_bias(op, [None if v is None else copies[v] for v in op.operands])
        results = [copies[v] for v in op.results]
        graph.append(Op(op.opcode, operands, results, op.attributes, name=op.name, version=op.version))
    graph.outputs = [copies[op.result] for op in ops]
    return graph
