"""Names of tensors in a GraphDef."""

from __future__ import annotations


def port(name: str) -> str:
    """A tensor's name with its port, the first where it names none."""
    return name if ":" in name else f"{name}:0"


def node_name(name: str) -> str:
    """The node that gives a tensor."""
    return name.split(":")[0]
