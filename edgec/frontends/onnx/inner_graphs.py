"""The graphs that a node carries among its attributes: branches and bodies of control flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto


def inner_graphs(attribute: AttributeProto) -> Sequence[GraphProto]:
    """The one graph of an attribute, or all of a list; none where it holds something else."""
    return [attribute.g] if attribute.HasField("g") else attribute.graphs
