"""Names that a graph defines more than once: ONNX allows one definition, and programs differ in which they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgec.errors import ImportFailure

if TYPE_CHECKING:
    from onnx import GraphProto


def verify_single_definitions(graph: GraphProto, model: str) -> None:
    """See that inputs, initializers and nodes' outputs have names of their own; an initializer may preset an input.

    Raises:
        ImportFailure: two of them share a name.
    """
    inputs: dict[str, str] = {}
    _add(inputs, (("input", i.name) for i in graph.input), model)
    found: dict[str, str] = {}
    _add(found, (("initializer", t.name) for t in graph.initializer), model)
    found = {**inputs, **found}
    _add(found, _outputs(graph), model)


def _outputs(graph: GraphProto) -> Iterator[tuple[str, str]]:
    for node in graph.node:
        yield from ((f"output of a {node.op_type}", name) for name in node.output if name)


def _add(found: dict[str, str], names: Iterator[tuple[str, str]], model: str) -> None:
    for kind, name in names:
        if name in found:
            raise ImportFailure(
                f"Reading '{model}': '{name}' is defined twice, as {found[name]} and as {kind}; ONNX allows one "
                "definition: give one of the two another name, or export the model again."
            )
        found[name] = kind
