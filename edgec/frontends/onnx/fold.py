"""Folds nodes whose inputs are all known: shape arithmetic, and weights made by constant subgraphs.

The common ops of shape arithmetic are computed at once (`fold_fast`), the rest of `FOLDED` by ONNX's own reference
evaluator, which defines the semantics; other ops on constants are translated like any other, and folded later by the
real kernels. `Shape` and `Size` need only the shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.errors import ImportFailure
from edgec.frontends.onnx.fold_bounds import check_bound
from edgec.frontends.onnx.fold_fast import FAST, FoldSizeError
from edgec.frontends.onnx.node import Node

if TYPE_CHECKING:
    from onnx import NodeProto

    from edgec.frontends.onnx.model_file import OnnxModel

FOLDED = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
    CastLike Ceil Clip Concat Constant ConstantOfShape Cos Cosh CumSum DequantizeLinear Div Equal Erf Exp Expand EyeLike
    Flatten Floor Gather GatherElements GatherND Greater GreaterOrEqual Identity IsInf IsNaN Less LessOrEqual Log MatMul
    Max Mean MelWeightMatrix Min Mod Mul Neg NonZero Not OneHot Or Pad Pow QuantizeLinear Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Round ScatterElements ScatterND Shape Sigmoid Sign Sin Sinh Size Slice Split Sqrt Squeeze Sub Sum Tan Tanh
    Tile TopK Transpose Trilu Unique Unsqueeze Where Xor
    """.split()  # noqa: SIM905 -- a list of words reads better than of quoted words
)


def fold_node(proto: NodeProto, node: Node, model: OnnxModel, *, translated: bool = True) -> list[np.ndarray] | None:
    """The node's outputs (those with a name) where they are known at import, else None.

    A result of more than 64 MiB and four times its operands is left to run time where `translated`.

    Raises:
        ImportFailure: the node cannot be evaluated, or its result would be absurdly large.
    """
    if node.op_type == "Shape" and node.input(0).type.signature is None:
        shape = node.input(0).shape[slice(node.attribute("start"), node.attribute("end"))]
        return [np.array(shape, np.int64)]
    if node.op_type == "Size" and node.input(0).type.signature is None:
        return [np.array(node.input(0).type.elements, np.int64)]
    if any(v is not None and v.data is None for v in node.inputs):
        return None
    if node.op_type in ("Identity", "Dropout") and len([o for o in node.outputs if o]) == 1:
        return [node.input(0).array()]
    if node.op_type not in FOLDED:
        return None
    try:
        if not check_bound(node) and translated:
            return None
        fast = FAST.get(node.op_type)
        result = fast(node) if fast is not None else None
        return [result] if result is not None else _evaluate(proto, node, model)
    except FoldSizeError as error:
        raise ImportFailure(f"Reading '{model.name}': node '{node.name}' ({node.op_type}): {error}.") from error


def _evaluate(proto: NodeProto, node: Node, model: OnnxModel) -> list[np.ndarray] | None:
    """What ONNX's reference evaluator computes, None where it has not this op: then it is translated like any other."""
    from onnx.reference import ReferenceEvaluator

    names = [f"input_{i}" if v is not None else "" for i, v in enumerate(node.inputs)]
    feeds: dict[str, Any] = {n: v.array() for n, v in zip(names, node.inputs) if v is not None}
    if node.op_type == "CumSum" and node.input(1).type.elements == 1:
        feeds[names[1]] = node.input(1).array().reshape(())  # torch writes [axis], which runtimes take for a scalar
    try:
        evaluator = ReferenceEvaluator(_one_node_model(proto, names, feeds, model.opset))
    except (RuntimeError, NotImplementedError):  # "No implementation for operator …"
        return None
    except Exception as error:
        raise _not_evaluated(node, model, error) from error
    try:
        with np.errstate(all="ignore"):
            results = evaluator.run(None, feeds)
        return [np.ascontiguousarray(r).reshape(np.shape(r)) for r in results]
    except Exception as error:  # the evaluator raises whatever its kernels raise on malformed nodes
        raise _not_evaluated(node, model, error) from error


def _not_evaluated(node: Node, model: OnnxModel, error: Exception) -> ImportFailure:
    return ImportFailure(f"Reading '{model.name}': node '{node.name}' ({node.op_type}) cannot be evaluated: {error}")


def _one_node_model(proto: NodeProto, names: list[str], feeds: dict[str, Any], opset: int) -> Any:
    from onnx import helper

    copy = helper.make_node(proto.op_type, names, list(proto.output), domain=proto.domain)
    copy.attribute.extend(proto.attribute)
    graph = helper.make_graph(
        [copy], "folded", [helper.make_empty_tensor_value_info(n) for n in feeds],
        [helper.make_empty_tensor_value_info(o) for o in proto.output if o],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
