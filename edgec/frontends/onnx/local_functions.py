"""Inlines a model's own functions: nested calls, calls inside of branches and bodies, functions of another opset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from edgec.errors import ImportFailure
from edgec.frontends.onnx.inner_graphs import inner_graphs

if TYPE_CHECKING:
    from onnx import FunctionProto, NodeProto

ONNX_DOMAINS = ("", "ai.onnx")
Key = tuple[str, str, str]  # domain, op type, overload


def with_local_functions_inlined(proto: Any, name: str) -> Any:
    """The model without calls of its own functions.

    A function written for another opset of ai.onnx is converted to the model's.

    Raises:
        ImportFailure: a function calls itself, or ONNX cannot inline or convert it.
    """
    if not proto.functions:
        return proto
    functions = {(f.domain, f.name, getattr(f, "overload", "")): f for f in proto.functions}
    _refuse_recursion(functions, name)
    for nodes in (proto.graph.node, *(f.node for f in proto.functions)):
        _give_defaults(nodes, functions)
    from onnx import defs, inliner

    opset = _opset(proto.opset_import)
    if opset is not None and not 0 < opset <= defs.onnx_opset_version():
        return proto  # no opset at all, which the importer says
    others = [f for f in proto.functions if _opset(f.opset_import) not in (None, opset)]
    others = [f for f in others if opset is None or not _raise_opset(f, opset)]
    try:
        inlined = inliner.inline_local_functions(proto, convert_version=bool(others))
    except Exception as error:  # the C++ inliner raises bare RuntimeError and others
        raise ImportFailure(f"Reading '{name}': its functions cannot be inlined: {error}") from error
    left = next((node for node in _with_inner(inlined.graph.node) if _key(node) in functions), None)
    if left is not None:
        raise ImportFailure(
            f"Reading '{name}': the function '{_shown(_key(left))}' is written for opset "
            f"{_opset(functions[_key(left)].opset_import)} and cannot be converted to the model's {opset}; export the "
            "model and its functions for one opset."
        )
    return inlined


def _opset(imports: Iterable[Any]) -> int | None:
    return next((int(entry.version) for entry in imports if entry.domain in ONNX_DOMAINS), None)


def _raise_opset(function: FunctionProto, opset: int) -> bool:
    """Let a function be of the model's opset where its ops mean the same there; False where one does not."""
    from onnx import defs

    own = _opset(function.opset_import)
    if own is None or not 0 < own <= defs.onnx_opset_version():
        return False
    for node in _with_inner(function.node):
        if node.domain not in ONNX_DOMAINS:
            continue
        if not all(defs.has(node.op_type, version, "") for version in (own, opset)):
            return False
        schemas = [defs.get_schema(node.op_type, version, "") for version in (own, opset)]
        if schemas[0].since_version != schemas[1].since_version:
            return False
    for entry in function.opset_import:
        if entry.domain in ONNX_DOMAINS:
            entry.version = opset
    return True


def _key(node: NodeProto) -> Key:
    return node.domain, node.op_type, getattr(node, "overload", "")


def _shown(key: Key) -> str:
    return f"{key[0]}.{key[1]}"


def _with_inner(nodes: Iterable[NodeProto]) -> Iterable[NodeProto]:
    """Nodes, and those of the graphs among their attributes."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in inner_graphs(attribute):
                yield from _with_inner(graph.node)


def _give_defaults(nodes: Iterable[NodeProto], functions: Mapping[Key, FunctionProto]) -> None:
    """Write a function's default attributes into the calls that leave them out, which the inliner does not do."""
    for node in _with_inner(nodes):
        function = functions.get(_key(node))
        given = {attribute.name for attribute in node.attribute}
        if function is not None:
            node.attribute.extend(default for default in function.attribute_proto if default.name not in given)


def _refuse_recursion(functions: Mapping[Key, FunctionProto], name: str) -> None:
    """Strip functions that call no others, round after round; what stays calls itself."""
    calls = {key: {_key(node) for node in _with_inner(f.node)} & functions.keys() for key, f in functions.items()}
    left = set(calls)
    while left:
        ended = {key for key in left if not calls[key] & left}
        if not ended:
            raise ImportFailure(
                f"Reading '{name}': its function '{_shown(min(left))}' calls itself, directly or by another; a TFLite "
                "model has no recursion."
            )
        left -= ended
