"""Turns sparse constants into dense ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from edgec.errors import PassError
from edgec.ir.graph import Graph, Value
from edgec.ir.sparse import dense_array
from edgec.passes.base import GraphPass, PassContext


@dataclass(frozen=True)
class ExpandSparse(GraphPass):
    """Write sparse constants out and drop the `densify` ops behind them.

    Before:  %1 = densify($w sparse)      After:  %2 = conv_2d(%0, $w)
             %2 = conv_2d(%0, %1)

    Every other pass, quantization and microcontrollers read dense constants only.
    """

    name: ClassVar[str] = "expand_sparse"

    def run_on_graph(self, graph: Graph, context: PassContext) -> int:
        """Expand one graph's constants; returns how many.

        Raises:
            PassError: a constant's description contradicts itself.
        """
        dense: dict[Value, Value] = {}
        for value in list(graph.constants()):
            if value.sparsity is None:
                continue
            dense[value] = _dense(value)
            graph.replace_all_uses(value, dense[value])
        for op in list(graph.ops):
            if op.opcode == "densify" and op.operand(0).is_constant:
                graph.replace(op, [op.operand(0)])
        return len(dense)

    def describe(self, changes: int) -> str:
        """The report's note."""
        return f"{changes} sparse constants written out" if changes != 1 else "1 sparse constant written out"


def _dense(value: Value) -> Value:
    assert value.sparsity is not None
    try:
        data = dense_array(value.array(), value.sparsity, value.shape, value.dtype)
    except ValueError as error:
        raise PassError(f"Writing out the sparse tensor '{value.name}': {error}; the file is damaged.") from error
    return Value(value.name, value.type, data, extra=value.extra)
