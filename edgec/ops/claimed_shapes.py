"""Shapes that a `.tflite` file claims of results, where the kernel gives the same elements in another shape."""

from __future__ import annotations

from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import TensorType
from edgec.ir.verify import CALLED_GRAPHS
from edgec.ops import OP_DEFS


def take_inferred_shapes(module: Module) -> list[str]:
    """Give results the shape that inference gives them, in place; a sentence's end for each that changed.

    A runtime shapes results by its kernels and heeds no stored shape, so converters get by with a wrong one:
    TensorFlow's writes int32[1,6] behind non_max_suppression, whose kernel gives [6]. Only where the elements are as
    many is the stored shape taken for a slip; anything else is damage, and left for the verifier to refuse. So is what
    crosses from one graph to another, whose shapes are stated on both sides.
    """
    changed: list[str] = []
    for graph in module.graphs:
        for op in graph.ops:
            changed += _take(graph, op, called=graph is not module.main)
    return changed


def _take(graph: Graph, op: Op, *, called: bool) -> list[str]:
    definition = OP_DEFS.get(op.opcode)
    if definition is None or op.opcode in CALLED_GRAPHS:
        return []
    try:
        definition.check_signature(op)
        inferred = definition.infer(op)
    except ValueError:  # the verifier says so with its place
        return []
    changed = []
    for result, wanted in zip(op.results, inferred):
        if _is_slip(result, wanted) and not _crosses(result, graph, called=called):
            result.type = result.type.with_shape(wanted.shape)
            changed.append(f"'{result.name}' has the shape {list(wanted.shape)} that the kernel of {op.opcode} gives")
    return changed


def _is_slip(result: Value, wanted: TensorType) -> bool:
    have = result.type
    if have.is_dynamic or wanted.is_dynamic or (have.quant is not None and have.quant.is_per_channel):
        return False
    return have.shape != wanted.shape and have.elements == wanted.elements and have.dtype is wanted.dtype


def _crosses(value: Value, graph: Graph, *, called: bool) -> bool:
    passed = any(user.opcode in CALLED_GRAPHS for user, _ in value.uses)
    return passed or (called and value in graph.outputs)
