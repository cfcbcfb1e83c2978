"""Checks a node against ONNX's own schema of its op, so that translators meet attributes of the right type only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

NUMPY_BROADCASTING = 7  # the opset from which on operands broadcast as in numpy


@dataclass(frozen=True, slots=True)
class _Schema:
    attributes: Mapping[str, int]  # name to AttributeProto type
    required: frozenset[str]
    inputs: tuple[int, int]  # fewest and most
    most_outputs: int


@lru_cache(maxsize=1024)
def _schema(op_type: str, opset: int) -> _Schema | None:
    from onnx import defs

    if not defs.has(op_type, opset, ""):
        return None
    found = defs.get_schema(op_type, opset, "")
    return _Schema(
        {name: int(attribute.type.value) for name, attribute in found.attributes.items()},
        frozenset(name for name, attribute in found.attributes.items() if attribute.required),
        (found.min_input, found.max_input),
        found.max_output,
    )


def _broadcasts(proto: NodeProto) -> bool:
    """True for arithmetic whose second operand lies along an axis; without the axis it lies along the last ones."""
    return any(attribute.name == "broadcast" and attribute.i for attribute in proto.attribute)


def schema_complaint(proto: NodeProto, opset: int) -> str | None:
    """What is wrong with the node's attributes or number of operands, None where nothing is."""
    schema = _schema(proto.op_type, opset)
    if schema is None:
        return f"opset {opset} has no such op"
    for attribute in proto.attribute:
        wanted = schema.attributes.get(attribute.name)
        if wanted is None:
            return f"opset {opset} has no attribute '{attribute.name}' for it"
        if attribute.type != wanted or attribute.ref_attr_name:
            return f"its attribute '{attribute.name}' has not the type that the ONNX standard gives it"
        if opset < NUMPY_BROADCASTING and attribute.name == "axis" and _broadcasts(proto):
            return f"broadcasting along an axis as in opset {opset} is not supported; export with opset 13 or later"
    missing = schema.required - {attribute.name for attribute in proto.attribute}
    if missing:
        return f"its attribute '{min(missing)}' is missing"
    fewest, most = schema.inputs
    if not fewest <= len(proto.input) <= most:
        return f"it has {len(proto.input)} inputs, must have {fewest} to {most}"
    if not 1 <= len(proto.output) <= schema.most_outputs:
        return f"it has {len(proto.output)} outputs, must have 1 to {schema.most_outputs}"
    return None
