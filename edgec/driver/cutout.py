"""Parts of a module run on their own: from some of its values to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgec.backends.tflite import serialize
from edgec.driver.runner import dequantized, quantized
from edgec.ir.clone import clone_with_maps
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.runtime.litert import LiteRTSession

MAX_TAPPED_BYTES = 256 << 20  # outputs keep their memory to the end of a run, so not all inner values at once


def evaluate(module: Module, feeds: Mapping[Value, np.ndarray], wanted: Sequence[Value]) -> list[np.ndarray]:
    """The wanted values of the main graph in LiteRT's own kernels, given those of `feeds`, its inputs or inner values.

    Constants may be wanted, and what is fed. Only the ops between the two run.

    Raises:
        RuntimeFailure: LiteRT refuses the part.
    """
    known = {value: value.data for value in wanted if value.data is not None} | dict(feeds)
    computed = [value for value in dict.fromkeys(wanted) if value not in known]
    if computed:
        part, inputs = _cut(module, list(feeds), computed)
        session = LiteRTSession(serialize(part), xnnpack=False)
        stored = [quantized(np.asarray(feeds[v]), info) for v, info in zip(inputs, session.input_details)]
        arrays = session.run(stored)
        known |= {v: dequantized(a, info) for v, a, info in zip(computed, arrays, session.output_details)}
    return [np.asarray(known[value]) for value in wanted]


def ops_between(inputs: Sequence[Value], outputs: Sequence[Value]) -> list[Op]:
    """The ops that make `outputs` of `inputs`, in no certain order; the graph's inputs end the walk as well."""
    found: dict[Op, None] = {}
    seen = set(inputs)
    waiting = list(outputs)
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value.producer is not None and value.producer not in found:
            found[value.producer] = None
            waiting += [v for v in value.producer.operands if v is not None]
    return list(found)


def in_order(graph: Graph, ops: Sequence[Op]) -> list[Op]:
    """The ops in the order of execution."""
    members = set(ops)
    return [op for op in graph.ops if op in members]


def _is_whole(module: Module, inputs: Sequence[Value]) -> bool:
    return set(module.main.inputs) <= set(inputs)


def _state(module: Module, inputs: Sequence[Value]) -> list[Value]:
    """What ops without results take, which are there for the state: they run only where the whole graph does."""
    if not _is_whole(module, inputs):
        return []
    return [v for op in module.main.ops if not op.results for v in op.operands if v is not None]


def _cut(module: Module, inputs: Sequence[Value], outputs: Sequence[Value]) -> tuple[Module, list[Value]]:
    """A copy that computes `outputs` of those of `inputs` that it needs, and these."""
    clone = clone_with_maps(module)
    part = clone.module
    graph = part.main
    copies = [clone.values[value] for value in outputs]
    needed = ops_between(inputs, [*outputs, *_state(module, inputs)])
    needed += [op for op in module.main.ops if not op.results and _is_whole(module, inputs)]
    used = {v for op in needed for v in op.operands if v is not None}
    entering = [value for value in inputs if value in used]
    fresh = []
    for index, value in enumerate(entering):
        old = clone.values[value]
        new = Value(f"fed_{index}", old.type)
        graph.replace_all_uses(old, new)
        fresh.append(new)
    kept = {clone.ops[op] for op in needed}
    graph.inputs = fresh
    graph.outputs = copies
    for op in reversed(list(graph.ops)):
        if op not in kept:
            graph.erase(op)
    graph.declared, graph.idle = (), ()
    part.signatures, part.metadata = [], {}
    return part, entering
