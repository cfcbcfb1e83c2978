"""Det of small matrices, written out."""

from __future__ import annotations

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

LARGEST = 4  # beyond it, expansion takes more products than elimination, which needs to choose pivots


def determinant(node: Node, context: Translation) -> Value:
    """Det of matrices up to 4 x 4, by expansion along rows."""
    x = node.input(0)
    if x.type.rank < 2 or x.shape[-1] != x.shape[-2] or x.dtype is not DType.FLOAT32:
        raise Refusal(f"its operand {x.type} is no square matrix of float32")
    size, outer = x.shape[-1], x.shape[:-2]
    if not 1 <= size <= LARGEST:
        raise Refusal(f"a determinant of {size} rows needs a pivot search; only up to {LARGEST} rows are written out")
    flat = context.reshape(x, [x.type.elements // size**2, size * size])
    cells = [flat]
    if size > 1:
        cells = context.emit_many("split", [context.ints(1), flat], num_splits=size * size)
    return context.reshape(_expanded(context, cells, size, {}, tuple(range(size))), outer)


def _expanded(
    context: Translation, cells: list[Value], size: int, known: dict[tuple[int, ...], Value], columns: tuple[int, ...]
) -> Value:
    """The minor of the last rows and some columns; each is computed once."""
    row = size - len(columns)
    if len(columns) == 1:
        return cells[row * size + columns[0]]
    if columns not in known:
        total: Value | None = None
        for place, column in enumerate(columns):
            rest = (*columns[:place], *columns[place + 1 :])
            term = context.mul(cells[row * size + column], _expanded(context, cells, size, known, rest))
            if total is None:
                total = term
            else:
                total = context.sub(total, term) if place % 2 else context.add(total, term)
        assert total is not None
        known[columns] = total
    return known[columns]


TRANSLATIONS: dict[str, Translate] = {"Det": determinant}
