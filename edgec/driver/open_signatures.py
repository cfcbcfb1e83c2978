"""A module's types at other input sizes, and the shape signatures that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgec.driver.open_rewrite import SizeDependence
from edgec.errors import RuntimeFailure
from edgec.ir.clone import Clone, clone_with_maps
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ops import OP_DEFS
from edgec.runtime.evaluate import evaluate_constants

MAX_SIZES = 64  # elements of a value that may hold sizes


def at_sizes(module: Module, shapes: Mapping[str, tuple[int, ...]], doing: str) -> Clone:
    """A copy of a module with the shapes of some inputs changed and every type that follows from them inferred anew.

    Raises:
        SizeDependence: an op contradicts the new sizes.
    """
    clone = clone_with_maps(module)
    graph = clone.module.main
    for value in graph.inputs:
        value.type = value.type.with_shape(shapes.get(value.name, value.shape))
    known: dict[Value, np.ndarray] = {}
    for op in graph.ops:
        _infer(op, known, doing)
        _follow_sizes(op, known)
    for value in known:
        value.data = None
    return clone


def _infer(op: Op, known: dict[Value, np.ndarray], doing: str) -> None:
    """Infer an op's results; sizes that are computed count as constants meanwhile."""
    definition = OP_DEFS.get(op.opcode)
    if definition is None:
        raise SizeDependence(f"{doing}: {op.describe()} is no builtin, so its shape at another size is not known.")
    for operand in op.operands:
        if operand is not None and operand in known:
            operand.data = known[operand]
    try:
        inferred = definition.infer(op)
    except ValueError as error:
        raise SizeDependence(f"{doing}: {op.describe()}: {error}.") from error
    try:
        for result, type_ in zip(op.results, inferred, strict=True):
            result.type = replace(result.type, shape=type_.shape, signature=None)
    except ValueError as error:  # scales along an axis whose size changes
        raise SizeDependence(f"{doing}: {op.describe()}: {error}.") from error


def _follow_sizes(op: Op, known: dict[Value, np.ndarray]) -> None:
    """Note the numbers of a result that follows from shapes alone."""
    if op.opcode == "shape":
        known[op.result] = np.array(op.operand(0).shape, op.result.dtype.numpy)
        return
    operands = [v for v in op.operands if v is not None]
    small = all(r.dtype.is_integer and r.type.elements <= MAX_SIZES for r in op.results)
    if not small or not any(v in known for v in operands) or any(v.data is None for v in operands):
        return
    try:
        known.update(evaluate_constants([op]))
    except RuntimeFailure:  # then its numbers stay unknown, and what needs them says so
        return


def write_signatures(module: Module, shapes: Mapping[str, tuple[int, ...]], doing: str) -> None:
    """Mark with -1 every dimension that changes when the inputs take `shapes`; the planned sizes stay in the shapes.

    Raises as `at_sizes`.
    """
    values = at_sizes(module, shapes, doing).values
    for graph in module.graphs:
        for value in _computed(graph):
            now, then = value.shape, values[value].shape
            if now != then:
                signature = tuple(-1 if a != b else a for a, b in zip(now, then, strict=True))
                value.type = replace(value.type, signature=signature)


def _computed(graph: Graph) -> list[Value]:
    return [*graph.inputs, *(result for op in graph.ops for result in op.results)]
