"""Nodes that cannot be translated, gathered while a model is read, and the one sentence about all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RefusedNode:
    """A node, its op (with the domain where that is not ONNX's own) and why it cannot be translated."""

    name: str
    op: str
    reason: str


def refusal_sentence(model: str, refused: Sequence[RefusedNode]) -> str:
    """What cannot be translated: the first node with its reason, and which ops the others are."""
    if len(refused) == 1:
        only = refused[0]
        return f"Reading '{model}': '{only.name}' ({only.op}) cannot be translated: {only.reason}."
    return f"Reading '{model}': {len(refused)} nodes cannot be translated: {refusal_list(refused)}."


def refusal_list(refused: Sequence[RefusedNode]) -> str:
    """The first node with its reason, and how many of which ops come after it."""
    first = f"'{refused[0].name}' ({refused[0].op}): {refused[0].reason}"
    if len(refused) == 1:
        return first
    counts = Counter(node.op for node in refused[1:])
    others = ", ".join(op if count == 1 else f"{count} {op}" for op, count in counts.items())
    return f"{first}; and {len(refused) - 1} more ({others})"
