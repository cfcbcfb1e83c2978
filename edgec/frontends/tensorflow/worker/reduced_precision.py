"""Floats of other widths become float32: TFLite computes in no other, apart from what it quantizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .refusal import tensorflow

OTHER_FLOATS = ("float16", "bfloat16", "float64")


def works_in_other_floats(graph: Any) -> list[str]:
    """Names of the other float types that a graph's tensors have, sorted; functions that it calls are not looked at."""
    found = {tensor.dtype.base_dtype.name for op in graph.get_operations() for tensor in op.outputs}
    return sorted(found.intersection(OTHER_FLOATS))


def in_float32(graph_def: Any) -> Any:
    """The graph with float32 for every other float type.

    A graph that looks at the bits of such a number stays as it is.
    """
    tf = tensorflow()
    wide = {tf.dtypes.as_dtype(name).as_datatype_enum for name in OTHER_FLOATS}
    if any(n.op == "Bitcast" and {n.attr["T"].type, n.attr["type"].type} & wide for n in _nodes(graph_def)):
        return graph_def
    result = type(graph_def)()
    result.CopyFrom(graph_def)
    to = tf.float32.as_datatype_enum
    for node in _nodes(result):
        for attribute in node.attr.values():
            _change(attribute, wide, to)
    for function in result.library.function:
        for argument in (*function.signature.input_arg, *function.signature.output_arg):
            if argument.type in wide:
                argument.type = to
    return result


def _nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _change(attribute: Any, wide: set[int], to: int) -> None:
    tf = tensorflow()
    kind = attribute.WhichOneof("value")
    if kind == "type" and attribute.type in wide:
        attribute.type = to
    elif kind == "tensor" and attribute.tensor.dtype in wide:
        array = tf.make_ndarray(attribute.tensor)
        attribute.tensor.CopyFrom(tf.make_tensor_proto(array.astype("float32"), tf.float32, array.shape))
    elif kind == "list" and wide & set(attribute.list.type):
        types = [to if t in wide else t for t in attribute.list.type]
        del attribute.list.type[:]
        attribute.list.type.extend(types)
