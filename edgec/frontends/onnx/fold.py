"""Folds nodes whose inputs are all known: shape arithmetic, and weights made by constant subgraphs.

The common ops of shape arithmetic are computed at once (`fold_fast`); everything else by ONNX's own reference
evaluator, which defines the semantics. `Shape` and `Size` need only the shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.errors import ImportFailure
from edgec.frontends.onnx.fold_fast import FAST, FoldTooLarge, checked_bytes
from edgec.frontends.onnx.node import Node

if TYPE_CHECKING:
    from onnx import NodeProto

    from edgec.frontends.onnx.model_file import OnnxModel

RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
GRAPH_ATTRIBUTES = (5, 10)  # AttributeProto.GRAPH, GRAPHS
SHAPE_OPERAND_ELEMENTS = 64  # an operand that says a shape is no longer than this


def fold_node(proto: NodeProto, node: Node, model: OnnxModel) -> list[np.ndarray] | None:
    """The node's outputs where they are known at import, else None.

    Raises:
        ImportFailure: the node cannot be evaluated, or its result would be absurdly large.
    """
    if node.op_type == "Shape" and node.input(0).type.signature is None:
        shape = node.input(0).shape[slice(node.attribute("start"), node.attribute("end"))]
        return [np.array(shape, np.int64)]
    if node.op_type == "Size" and node.input(0).type.signature is None:
        return [np.array(node.input(0).type.elements, np.int64)]
    if node.op_type in RANDOM or any(v is not None and v.data is None for v in node.inputs):
        return None
    if node.op_type in ("Identity", "Dropout") and len([o for o in node.outputs if o]) == 1:
        return [node.input(0).array()]
    if any(a.type in GRAPH_ATTRIBUTES for a in proto.attribute):  # control flow is translated, not folded
        return None
    try:
        fast = FAST.get(node.op_type)
        result = fast(node) if fast is not None else None
        return [result] if result is not None else _evaluate(proto, node, model)
    except FoldTooLarge as error:
        raise ImportFailure(f"Reading '{model.name}': node '{node.name}' ({node.op_type}): {error}.") from error


def _evaluate(proto: NodeProto, node: Node, model: OnnxModel) -> list[np.ndarray]:
    from onnx.reference import ReferenceEvaluator

    names = [f"input_{i}" if v is not None else "" for i, v in enumerate(node.inputs)]
    feeds: dict[str, Any] = {n: v.array() for n, v in zip(names, node.inputs) if v is not None}
    one_node = _one_node_model(proto, names, feeds, [o for o in node.outputs if o], model.opset)
    _check_inferred_size(one_node)
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(one_node).run(None, feeds)
        return [np.ascontiguousarray(r).reshape(np.shape(r)) for r in results]
    except Exception as error:  # the evaluator raises whatever its kernels raise on malformed nodes
        raise ImportFailure(
            f"Reading '{model.name}': node '{node.name}' ({node.op_type}) cannot be evaluated: {error}"
        ) from error


def _one_node_model(proto: NodeProto, names: list[str], feeds: dict[str, Any], wanted: list[str], opset: int) -> Any:
    from onnx import helper, numpy_helper

    copy = helper.make_node(proto.op_type, names, list(proto.output), domain=proto.domain)
    copy.attribute.extend(proto.attribute)
    short = {n: a for n, a in feeds.items() if a.dtype == np.int64 and a.size <= SHAPE_OPERAND_ELEMENTS}
    graph = helper.make_graph(
        [copy], "folded",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()],
        [helper.make_empty_tensor_value_info(o) for o in wanted],
        [numpy_helper.from_array(a, n) for n, a in short.items()],  # so that shapes can be inferred
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _check_inferred_size(one_node: Any) -> None:
    """Refuse a node whose result would be absurdly large, before it is computed."""
    from onnx import helper, shape_inference

    try:
        inferred = shape_inference.infer_shapes(one_node, data_prop=True)
    except Exception:  # noqa: S110 -- an op whose shape ONNX cannot infer is evaluated, which says what is wrong
        return
    for output in inferred.graph.output:
        tensor = output.type.tensor_type
        sizes = [d.dim_value for d in tensor.shape.dim]
        if tensor.elem_type and sizes:
            checked_bytes(sizes, np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
