"""Gives a graph's inputs other shapes, and every tensor behind them the shape that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from edgec.errors import ImportFailure, RuntimeFailure, VerificationError
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import TensorType
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS, verify
from edgec.runtime.evaluate import evaluate_constants

LARGEST_SHAPE = 1024  # elements: what is computed of shapes is short
_STATES_OWN_TYPE = (CUSTOM, OPAQUE, "while", "if", "call")


def resize_inputs(module: Module, shapes: Mapping[str, Sequence[int]], doing: str) -> None:
    """Give inputs of the main graph new shapes, in place; shape arithmetic in the graph becomes constant.

    `shapes` are by input name, `doing` begins every message.

    Raises:
        ImportFailure: there is no such input, the rank differs, or an op does not take the new shape (it is named).
    """
    graph = module.main
    inputs = {value.name: value for value in graph.inputs}
    for name, shape in shapes.items():
        if name not in inputs:
            raise ImportFailure(f"{doing}: there is no input '{name}'; the inputs are {', '.join(inputs)}.")
        value = inputs[name]
        if len(shape) != value.type.rank:
            raise ImportFailure(
                f"{doing}: input '{name}' has {value.type.rank} dimensions {list(value.shape)}, {len(shape)} were "
                "given."
            )
        value.type = value.type.with_shape(tuple(shape))
    for value in graph.inputs:
        value.type = value.type.with_shape(value.shape)
    resize = _Resize(graph, doing, {inputs[name] for name in shapes})
    for op in list(graph.ops):
        resize.infer(op)
    try:
        verify(graph)
    except VerificationError as error:
        raise ImportFailure(f"{doing}: the new shapes do not fit: {error}") from error


class _Resize:
    """Walks a graph's ops; `changed` holds the values whose shapes are no longer those of the file."""

    def __init__(self, graph: Graph, doing: str, changed: set[Value]) -> None:
        self.graph = graph
        self.doing = doing
        self.changed = changed

    def infer(self, op: Op) -> None:
        """Give an op's results the shapes that follow from its operands."""
        definition = OP_DEFS.get(op.opcode)
        if op.opcode == "shape":
            found = np.array(op.operand(0).shape, op.result.dtype.numpy)
            self.graph.replace(op, [self.graph.constant(found, op.result.name)])
        elif definition is None or op.opcode in _STATES_OWN_TYPE:
            self._check_unchanged(op)
        elif _is_shape_arithmetic(op):
            self._fold(op)
        else:
            self._take(op, self._inferred(op))

    def _check_unchanged(self, op: Op) -> None:
        changed = next((v for v in op.operands if v in self.changed), None)
        if changed is not None:
            raise ImportFailure(
                f"{self.doing}: {op.describe()} reads '{changed.name}', whose shape changes, and edgec cannot tell "
                "what shape it gives then; leave --shape out."
            )

    def _inferred(self, op: Op) -> list[TensorType]:
        try:
            return list(OP_DEFS[op.opcode].infer(op))
        except ValueError as error:
            raise ImportFailure(
                f"{self.doing}: {op.describe()} does not take the new shape: {error}; what the file states for one "
                "shape only has to be changed where the model was made."
            ) from error

    def _take(self, op: Op, types: Sequence[TensorType]) -> None:
        for result, type_ in zip(op.results, types):
            if type_.is_dynamic:
                raise ImportFailure(
                    f"{self.doing}: the shape of {op.describe()} is computed from values, not only from shapes; leave "
                    "--shape out."
                )
            if type_.shape != result.shape:
                self.changed.add(result)
            result.type = replace(result.type, shape=type_.shape, signature=None)

    def _fold(self, op: Op) -> None:
        """Replace an op on constants by its results; their sizes need not be those of the file."""
        self._take(op, self._inferred(op))
        try:
            found = evaluate_constants([op])
        except RuntimeFailure:
            return
        self.graph.replace(op, [self.graph.constant(found[result], result.name) for result in op.results])


def _is_shape_arithmetic(op: Op) -> bool:
    short = all(r.dtype.is_integer and r.quant is None and r.type.elements <= LARGEST_SHAPE for r in op.results)
    pure = bool(op.operands) and not OP_DEFS[op.opcode].has_side_effects
    return short and pure and all(v is None or v.is_constant for v in op.operands)
