"""Shapes that the model itself states for values whose shape follows from numbers given at run time.

A `Reshape` to a graph input, a `ReduceSum` over axes from one: the operand is only known at run time, but the shape of
the result often stands in the model, at the value or at one that has the same shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

SAME_SHAPE = frozenset(
    """
    Abs Acos Acosh Asin Asinh Atan Atanh Cast CastLike Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
    HardSwish Identity IsInf IsNaN LeakyRelu Log LogSoftmax Mish Neg Not Reciprocal Relu Round Selu Sigmoid Sign Sin
    Sinh Softmax Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Trilu
    """.split()  # noqa: SIM905 -- a list of words reads better than of quoted words
)


ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"})


def declared_shapes(graph: GraphProto) -> dict[str, tuple[int, ...]]:
    """Shape by name of every value whose sizes are all stated, also through ops that keep the shape."""
    found: dict[str, tuple[int, ...]] = {}
    for info in (*graph.value_info, *graph.output):
        shape = _static_shape(info)
        if shape is not None:
            found[info.name] = shape
    scalars = _scalars(graph)
    for node in _backwards(graph.node):
        if node.op_type in ARITHMETIC and node.output[0] in found:
            a, b = node.input[0], node.input[-1]
            for scalar, other in ((a, b), (b, a)):
                if scalar in scalars and other not in found:
                    found[other] = found[node.output[0]]
        if node.op_type in SAME_SHAPE and node.output[0] in found and node.input[0] not in found:
            found[node.input[0]] = found[node.output[0]]
    return found


def _scalars(graph: GraphProto) -> set[str]:
    """Names of values of rank 0."""
    found = {tensor.name for tensor in graph.initializer if not tensor.dims}
    found |= {i.name for i in graph.input if _static_shape(i) == ()}
    for node in graph.node:
        if _is_scalar(node, found):
            found.update(node.output)
    return found


def _is_scalar(node: NodeProto, scalars: Set[str]) -> bool:
    if node.op_type == "Constant":
        numbers = {a.name for a in node.attribute} & {"value_float", "value_int"}
        return bool(numbers) or any(a.name == "value" and not a.t.dims for a in node.attribute)
    if node.op_type in SAME_SHAPE:
        return bool(node.input) and node.input[0] in scalars
    return node.op_type in ARITHMETIC and all(name in scalars for name in node.input)


def _backwards(nodes: Iterable[NodeProto]) -> list[NodeProto]:
    return [node for node in nodes if node.input and node.output][::-1]


def _static_shape(info: ValueInfoProto) -> tuple[int, ...] | None:
    if not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
        return None
    dims = list(info.type.tensor_type.shape.dim)
    if any(not dim.HasField("dim_value") or dim.dim_value < 0 for dim in dims):
        return None
    return tuple(int(dim.dim_value) for dim in dims)
