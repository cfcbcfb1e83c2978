"""Replaces ops that TFLite's converter does not know by others that it does; `composed_ops` says by which."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any

from .composed_ops import COMPOSITIONS, Unfit
from .refusal import lacking_ops, tensorflow

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
AROUND = {"SelectV2"}  # looked at although TFLite has them: what they read may be needless
# Whose integers the converter refuses by a rule of its own, without a word of ops.
PRODUCTS = ("MatMul", "BatchMatMulV2", "BatchMatMulV3")
NEW = "/edgec_composed"
MOST_ROUNDS = 8  # of calls in calls


def composed_after(error: BaseException, graph: Any) -> Any | None:
    """A graph as a GraphDef that does without the ops for which the converter failed; None where it cannot."""
    return composed(graph.as_graph_def(), lacking_ops(error) or PRODUCTS)


def composed(graph_def: Any, lacking: Iterable[str]) -> Any | None:
    """The graph without those ops, as far as that is possible; None where nothing was replaced.

    Every new node takes the name of the one it replaces, so that what reads that one, and the graph's ends, stay.
    """
    wanted, changed = set(lacking), False
    for _ in range(MOST_ROUNDS):
        calls = _calls_with(graph_def, wanted)
        replaced = _one_round(graph_def, wanted, calls)
        if replaced is None:
            break
        graph_def, changed = replaced, True
        if not calls:
            break
    return graph_def if changed else None


def _calls_with(graph_def: Any, wanted: set[str]) -> set[str]:
    """The names of functions that hold such an op, or call one that does."""
    ops = {f.signature.name: {node.op for node in f.node_def} for f in graph_def.library.function}
    called = {
        f.signature.name: {node.attr["f"].func.name for node in f.node_def if node.op in CALLS}
        for f in graph_def.library.function
    }
    found = {name for name, inside in ops.items() if inside & wanted}
    while more := {name for name, inner in called.items() if inner & found} - found:
        found |= more
    return found


def _one_round(graph_def: Any, wanted: set[str], calls: set[str]) -> Any | None:
    tf = tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
        done = set()
        for op in graph.get_operations():
            is_call = op.type in CALLS and op.get_attr("f").name in calls
            if (not is_call and not (op.type in wanted or op.type in AROUND)) or len(op.outputs) != 1:
                continue
            try:
                result = _body(op, graph_def) if is_call else COMPOSITIONS[op.type](op)
            except (KeyError, Unfit):
                continue
            tf.identity(result, name=op.name + NEW)
            done.add(op.name)
    if not done:
        return None
    result = graph.as_graph_def()
    for node in [node for node in result.node if node.name in done]:
        result.node.remove(node)
    for node in result.node:
        if node.name.endswith(NEW):
            node.name = node.name[: -len(NEW)]
    return result


def _body(call: Any, graph_def: Any) -> Any:
    """What a function gives, its nodes put in the place of the call."""
    functions = importlib.import_module("tensorflow.python.framework.function_def_to_graph")
    name = call.get_attr("f").name
    definition = next(f for f in graph_def.library.function if f.signature.name == name)
    body, _ = functions.function_def_to_graph_def(definition)
    arguments = {f"{a.name}:0": tensor for a, tensor in zip(definition.signature.input_arg, call.inputs)}
    [result] = (definition.ret[a.name] for a in definition.signature.output_arg)
    inner = tensorflow().import_graph_def(
        body, arguments, [_flat(result)], name=re.sub(r"\W", "_", call.name) + "_body"
    )
    return inner[0]


def _flat(name: str) -> str:
    """`node:output:0` of a function's body as the graph names it."""
    parts = name.split(":")
    return name if len(parts) < 3 else f"{parts[0]}:{parts[2]}"
