"""Folds nodes whose inputs are all known: shape arithmetic, and weights made by constant subgraphs.

Evaluated by ONNX's own reference evaluator, which defines the semantics; `Shape` and `Size` need only the shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.frontends.onnx.node import Node

if TYPE_CHECKING:
    from onnx import NodeProto

    from edgec.frontends.onnx.model_file import OnnxModel

MAX_FOLDED_BYTES = 2 << 30
RANDOM = {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}


def fold_node(proto: NodeProto, node: Node, model: OnnxModel) -> list[np.ndarray] | None:
    """The node's outputs where they are known at import, else None."""
    if node.op_type == "Shape" and node.input(0).type.signature is None:
        shape = node.input(0).shape[slice(node.attribute("start"), node.attribute("end"))]
        return [np.array(shape, np.int64)]
    if node.op_type == "Size" and node.input(0).type.signature is None:
        return [np.array(node.input(0).type.elements, np.int64)]
    if node.op_type in RANDOM or any(v is not None and v.data is None for v in node.inputs):
        return None
    if node.op_type in ("Identity", "Dropout") and len([o for o in node.outputs if o]) == 1:
        return [node.input(0).array()]
    if any(a.type in (5, 10) for a in proto.attribute):  # GRAPH, GRAPHS: control flow is translated, not folded
        return None
    if node.op_type == "ConstantOfShape":
        return [_constant_of_shape(node, model)]
    return _evaluate(proto, node, model)


def _constant_of_shape(node: Node, model: OnnxModel) -> np.ndarray:
    from edgec.errors import ImportFailure

    value = node.attribute("value", np.zeros(1, np.float32))
    shape = [int(d) for d in node.input(0).array().reshape(-1)]
    if any(d < 0 for d in shape) or np.prod(shape, dtype=object) * value.dtype.itemsize > MAX_FOLDED_BYTES:
        raise ImportFailure(f"Reading '{model.name}': node '{node.name}' asks for a constant of shape {shape}.")
    return np.full(shape, np.reshape(value, -1)[0], value.dtype)


def _evaluate(proto: NodeProto, node: Node, model: OnnxModel) -> list[np.ndarray] | None:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = [f"input_{i}" if v is not None else "" for i, v in enumerate(node.inputs)]
    feeds: dict[str, Any] = {n: v.array() for n, v in zip(names, node.inputs) if v is not None}
    wanted = [o for o in node.outputs if o]
    copy = helper.make_node(proto.op_type, names, list(node.outputs), domain=proto.domain)
    copy.attribute.extend(proto.attribute)
    graph = helper.make_graph(
        [copy], "folded", [helper.make_empty_tensor_value_info(n) for n in feeds],
        [helper.make_empty_tensor_value_info(o) for o in wanted],
    )  # fmt: skip
    one_node = helper.make_model(graph, opset_imports=[helper.make_opsetid("", model.opset)])
    try:
        results = ReferenceEvaluator(one_node).run(None, feeds)
    except Exception as error:  # the evaluator raises whatever its kernels raise on malformed nodes
        from edgec.errors import ImportFailure

        raise ImportFailure(
            f"Reading '{model.name}': node '{node.name}' ({node.op_type}) cannot be evaluated: {error}"
        ) from error
    return [np.ascontiguousarray(r).reshape(np.shape(r)) for r in results]
