"""Finds the node of a source model whose translation departs, by comparing inner values.

A node can depart for two reasons: its translation is wrong, or it was given what already departs, which an op such as a
difference of like numbers enlarges. So each node that departs is run once more on its own, on what the source's
runtime gave it: the first that departs even then is the culprit. Errors grow and shrink along a network, which is why
nodes are taken in order and not by bisection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.driver.agreement import departure, share_text
from edgec.driver.cutout import MAX_TAPPED_BYTES, evaluate, in_order, ops_between
from edgec.errors import RuntimeFailure
from edgec.ir.graph import Module, Value

Reference = Callable[[Sequence[str]], Mapping[str, np.ndarray]]
LISTED_OPS = 6
MAX_ALONE = 400  # nodes that are run on their own


@dataclass(frozen=True)
class Node:
    """A node of the source: the names of the values it takes and gives."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """A node, how far it departs, whether on its own, and the ops it became."""

    node: Node
    share: float
    alone: bool
    ops: tuple[str, ...]

    def __str__(self) -> str:
        became = ", ".join(self.ops[:LISTED_OPS]) + (", …" if len(self.ops) > LISTED_OPS else "")
        name = f"{self.node.op_type} '{self.node.name}' (translated to {became or 'a constant'})"
        if self.alone:
            return (
                f"the first node that departs is {name}: given the source's own values it departs "
                f"{share_text(self.share)}"
            )
        return (
            f"no node departs when it is given the source's own values; the error builds up, and passes the tolerance "
            f"first after {name}, {share_text(self.share)}"
        )


@dataclass(frozen=True)
class Sweep:
    """A translated module, what became of the source's values by name, and the source's runtime for inner values.

    `reference` gives values by name for the same inputs as `feeds`, which hold the module's graph inputs.
    """

    module: Module
    trace: Mapping[str, Value]
    nodes: Sequence[Node]
    feeds: Mapping[Value, np.ndarray]
    reference: Reference
    tolerance: float

    def run(self) -> Found | None:
        """The first node that departs; None where no inner value does.

        Raises:
            RuntimeFailure: one of the runtimes refuses a part of the model.
        """
        first: Found | None = None
        tried = 0
        for nodes in self._batches():
            names = sorted({n for node in nodes for n in (*node.inputs, *self._traced(node))})
            want = self.reference([name for name in names if name in self.trace])
            have = self._evaluated([name for node in nodes for name in self._traced(node)])
            for node in nodes:
                share = self._share(node, want, have)
                if not share:
                    continue
                first = first or self._found(node, share, alone=False)
                tried += 1
                share = self._alone(node, want) if tried <= MAX_ALONE else 0.0
                if share:
                    return self._found(node, share, alone=True)
        return first

    def _traced(self, node: Node) -> list[str]:
        return [name for name in node.outputs if name in self.trace and self._lives(self.trace[name])]

    def _batches(self) -> Iterator[list[Node]]:
        """The nodes with values to compare, in order, so many at once as fit into memory."""
        batch: list[Node] = []
        total = 0
        for node in self.nodes:
            size = sum(self.trace[name].type.bytes for name in self._traced(node))
            if batch and total + size > MAX_TAPPED_BYTES:
                yield batch
                batch, total = [], 0
            batch += [node] if self._traced(node) else []
            total += size
        yield batch

    def _share(self, node: Node, want: Mapping[str, np.ndarray], have: Mapping[str, np.ndarray]) -> float:
        pairs = ((want[name], have[name]) for name in self._traced(node) if name in want and name in have)
        return max((departure(*pair, self.tolerance) for pair in pairs), default=0.0)

    def _lives(self, value: Value) -> bool:
        return value.is_constant or (value.producer is not None and value.producer.graph is self.module.main)

    def _evaluated(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        return dict(zip(names, evaluate(self.module, self.feeds, [self.trace[name] for name in names])))

    def _alone(self, node: Node, want: Mapping[str, np.ndarray]) -> float:
        """How far the node departs when it is given the source's own values; 0 where it cannot be run like that."""
        given = {self.trace[name]: want[name] for name in node.inputs if name in want}
        given = {value: array.reshape(value.shape) for value, array in given.items() if not value.is_constant}
        names = self._traced(node)
        try:
            have = evaluate(self.module, {**self.feeds, **given}, [self.trace[name] for name in names])
        except (RuntimeFailure, ValueError):
            return 0.0
        return self._share(node, want, dict(zip(names, have)))

    def _found(self, node: Node, share: float, *, alone: bool) -> Found:
        entering = [self.trace[name] for name in node.inputs if name in self.trace]
        ops = in_order(self.module.main, ops_between(entering, [self.trace[name] for name in self._traced(node)]))
        return Found(node, share, alone, tuple(f"{op.opcode} '{op.name}'" for op in ops))
