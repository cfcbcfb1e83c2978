"""Puts nodes behind those that give what they read: some tools append nodes that belong further up.

ONNX wants nodes sorted; onnxruntime sorts them itself, so such files run there. The float16 converters, for one, append
the casts of the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgec.frontends.onnx.inner_graphs import inner_graphs

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def in_order(nodes: Sequence[NodeProto]) -> Sequence[NodeProto]:
    """The nodes, each behind those it depends on, otherwise as they came; nodes in a cycle stay last, as they came."""
    giver: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            giver.setdefault(name, index)
    giver.pop("", None)
    needs = [{giver[name] for name in names_used(node) if name in giver} - {i} for i, node in enumerate(nodes)]
    if all(need < index for index, needed in enumerate(needs) for need in needed):
        return nodes
    order: list[int] = []
    placed: set[int] = set()
    for root in range(len(nodes)):
        _place(root, needs, placed, order)
    return [nodes[index] for index in order]


def _place(root: int, needs: Sequence[set[int]], placed: set[int], order: list[int]) -> None:
    """Append a node to `order`, what it needs first; without recursion, as chains are long."""
    open_: list[tuple[int, Iterator[int]]] = []
    if root not in placed:
        placed.add(root)
        open_.append((root, iter(sorted(needs[root]))))
    while open_:
        index, left = open_[-1]
        following = next((need for need in left if need not in placed), None)
        if following is None:
            order.append(index)
            open_.pop()
        else:
            placed.add(following)
            open_.append((following, iter(sorted(needs[following]))))


def names_used(proto: NodeProto) -> Iterator[str]:
    """The values a node uses, those its subgraphs capture included."""
    yield from proto.input
    for attribute in proto.attribute:
        for graph in inner_graphs(attribute):
            yield from names_used_in(graph)


def names_used_in(graph: GraphProto) -> Iterator[str]:
    """The values a subgraph uses or gives, those defined inside of it included."""
    for node in graph.node:
        yield from names_used(node)
    yield from (output.name for output in graph.output)
