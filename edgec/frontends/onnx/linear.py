"""Matrix products: fully_connected where the right operand is a constant matrix, else batch_matmul."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

MAX_BATCH_MATMUL_RANK = 5  # of LiteRT's kernel


def gemm(node: Node, context: Translation) -> Value:
    """Gemm: alpha * A' @ B' + beta * C."""
    a, b, c = node.input(0), node.input(1), node.optional(2)
    if a.type.rank != 2 or b.type.rank != 2:
        raise Refusal(f"operands {list(a.shape)} and {list(b.shape)} are no matrices")
    _require_float(a)
    trans_a, trans_b = bool(node.int("transA", 0)), bool(node.int("transB", 0))
    alpha, beta = node.float("alpha", 1.0), node.float("beta", 1.0)
    if b.data is None:
        product = context.emit("batch_matmul", [a, b], adj_x=trans_a, adj_y=trans_b)
        return _plus(context, _scaled(context, product, alpha), c, beta)
    units_first = _scaled(context, b if trans_b else context.transpose(b, [1, 0]), alpha)
    rows = context.transpose(a, [1, 0]) if trans_a else a
    bias = _as_bias(context, c, beta, units_first.shape[0])
    if bias is not None:
        return context.emit("fully_connected", [rows, units_first, bias])
    return _plus(context, context.emit("fully_connected", [rows, units_first]), c, beta)


def _scaled(context: Translation, x: Value, factor: float) -> Value:
    if factor == 1.0:
        return x
    if x.data is not None:
        return context.constant(x.data * x.data.dtype.type(factor), x.dtype)
    return context.mul(x, context.like(x, factor))


def _as_bias(context: Translation, c: Value | None, beta: float, units: int) -> Value | None:
    """`beta * c` as one number a unit, None where it differs from row to row or is computed at run time."""
    if c is None or c.data is None or c.shape not in ((units,), (1, units), (1,), (), (1, 1)):
        return None
    if c.type.elements == units:
        return _scaled(context, context.reshape(c, [units]), beta)
    return _scaled(context, context.constant(np.full(units, c.data.reshape(()), c.data.dtype), c.dtype), beta)


def _plus(context: Translation, product: Value, c: Value | None, beta: float) -> Value:
    if c is None or beta == 0.0:
        return product
    return context.add(product, _scaled(context, c, beta))


def matmul(node: Node, context: Translation) -> Value:
    """MatMul with numpy's rules for operands of rank 1 and for broadcasting."""
    a, b = node.input(0), node.input(1)
    if not a.type.rank or not b.type.rank:
        raise Refusal("an operand is a scalar")
    _require_float(a)
    rows = context.reshape(a, [1, *a.shape]) if a.type.rank == 1 else a
    columns = context.reshape(b, [*b.shape, 1]) if b.type.rank == 1 else b
    if columns.data is not None and columns.type.rank == 2:
        weight = context.transpose(columns, [1, 0])
        result = context.emit("fully_connected", [rows, weight], keep_num_dims=rows.type.rank > 2)
    else:
        result = _batch_matmul(context, rows, columns)
    shape = list(result.shape)
    if b.type.rank == 1:
        shape = shape[:-1]
    if a.type.rank == 1:
        del shape[-1 if b.type.rank == 1 else -2]
    return context.reshape(result, shape)


def _batch_matmul(context: Translation, a: Value, b: Value) -> Value:
    """Both operands get one rank; leading axes are repeated to be equal and become one where the kernel takes fewer."""
    rank = max(a.type.rank, b.type.rank)
    a, b = (context.reshape(x, [1] * (rank - x.type.rank) + list(x.shape)) for x in (a, b))
    if rank <= MAX_BATCH_MATMUL_RANK:
        return context.emit("batch_matmul", [a, b])
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    batch = int(np.prod(lead))
    flat = [context.reshape(_repeated(context, x, lead), [batch, *x.shape[-2:]]) for x in (a, b)]
    return context.reshape(context.emit("batch_matmul", flat), [*lead, a.shape[-2], b.shape[-1]])


def _repeated(context: Translation, x: Value, lead: Sequence[int]) -> Value:
    shape = [*lead, *x.shape[-2:]]
    return x if list(x.shape) == shape else context.emit("broadcast_to", [x, context.ints(shape)])


def _require_float(x: Value) -> None:
    if x.dtype is not DType.FLOAT32:
        raise Refusal(f"a matrix product of {x.dtype.value} is not supported")


TRANSLATIONS: dict[str, Translate] = {"Gemm": gemm, "MatMul": matmul}
