"""Replaces ops that ONNX itself defines by other ops, where edgec has no translation of its own, by that definition."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from edgec.errors import ImportFailure

if TYPE_CHECKING:
    from onnx import NodeProto

OF_SEQUENCES = {"SequenceMap"}  # edgec has only tensors, and onnx's inliner crashes where an operand is no sequence
ROUNDS = 8  # definitions that use others; ONNX's own nest three deep


def with_functions_inlined(proto: Any, opset: int, translated: Collection[str], name: str) -> Any:
    """The model without nodes that have no translation but a definition; the model itself where there are none.

    Raises:
        ImportFailure: ONNX cannot inline a definition.
    """
    for _ in range(ROUNDS):
        wanted = _wanted(proto.graph.node, opset, translated)
        if not wanted:
            return proto
        from onnx import inliner

        try:
            proto = _with_types(proto)
            functions = [("", op_type) for op_type in sorted(wanted)]
            inlined = inliner.inline_selected_functions(proto, functions, False, True)
        except Exception as error:  # the C++ inliner raises bare RuntimeError and others
            listed = ", ".join(sorted(wanted))
            raise ImportFailure(f"Reading '{name}': the definition of {listed} cannot be inlined: {error}") from error
        if len(inlined.graph.node) == len(proto.graph.node):
            return proto
        proto = inlined
    return proto


def _with_types(proto: Any) -> Any:
    """The model with a type for every value, which the definitions of some ops depend on."""
    from onnx import helper, shape_inference

    typed = deepcopy(proto)
    known = {info.name for info in (*typed.graph.input, *typed.graph.value_info)}
    for tensor in typed.graph.initializer:
        if tensor.name not in known:
            typed.graph.value_info.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return shape_inference.infer_shapes(typed)


def _wanted(nodes: Iterable[NodeProto], opset: int, translated: Collection[str]) -> set[str]:
    found = set()
    for node in nodes:
        own = node.domain in ("", "ai.onnx") and node.op_type not in translated and node.op_type not in OF_SEQUENCES
        if own and is_defined_by_others(node.op_type, opset):
            found.add(node.op_type)
    return found


@lru_cache(maxsize=1024)
def is_defined_by_others(op_type: str, opset: int) -> bool:
    """True where ONNX's schema of the op has a function body."""
    from onnx import defs

    if not defs.has(op_type, opset, ""):
        return False
    schema = defs.get_schema(op_type, opset, "")
    return bool(schema.has_function or schema.has_context_dependent_function)
