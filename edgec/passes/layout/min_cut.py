"""Minimum cut of a directed network (Dinic's algorithm), for deciding which ops change their storage order."""

from __future__ import annotations

from collections import deque


class Network:
    """A flow network between a source and a sink; nodes are numbered by `add_node`."""

    SOURCE, SINK = 0, 1

    def __init__(self) -> None:
        self._edges: list[list[int]] = [[], []]  # edge numbers by node
        self._head: list[int] = []
        self._room: list[int] = []

    def add_node(self) -> int:
        """A new node's number."""
        self._edges.append([])
        return len(self._edges) - 1

    def add_edge(self, tail: int, head: int, capacity: int, back: int = 0) -> None:
        """An edge with a capacity each way."""
        for start, end, room in ((tail, head, capacity), (head, tail, back)):
            self._edges[start].append(len(self._head))
            self._head.append(end)
            self._room.append(room)

    def source_side(self) -> set[int]:
        """The nodes on the source's side of the minimum cut that has the fewest of them."""
        while True:
            levels = self._levels()
            if levels[self.SINK] < 0:
                return {node for node, level in enumerate(levels) if level >= 0}
            self._saturate(levels)

    def _levels(self) -> list[int]:
        levels = [-1] * len(self._edges)
        levels[self.SOURCE] = 0
        queue = deque([self.SOURCE])
        while queue:
            node = queue.popleft()
            for edge in self._edges[node]:
                head = self._head[edge]
                if self._room[edge] > 0 and levels[head] < 0:
                    levels[head] = levels[node] + 1
                    queue.append(head)
        return levels

    def _saturate(self, levels: list[int]) -> None:
        """Push flow along shortest paths until none is left."""
        position = [0] * len(self._edges)
        path: list[int] = []
        node = self.SOURCE
        while True:
            if node == self.SINK:
                self._push(path)
                path, node = [], self.SOURCE
                continue
            edge = self._next_edge(node, levels, position)
            if edge is not None:
                path.append(edge)
                node = self._head[edge]
            elif not path:
                return
            else:
                node = self._head[path.pop() ^ 1]
                position[node] += 1

    def _push(self, path: list[int]) -> None:
        flow = min(self._room[edge] for edge in path)
        for edge in path:
            self._room[edge] -= flow
            self._room[edge ^ 1] += flow

    def _next_edge(self, node: int, levels: list[int], position: list[int]) -> int | None:
        edges = self._edges[node]
        while position[node] < len(edges):
            edge = edges[position[node]]
            if self._room[edge] > 0 and levels[self._head[edge]] == levels[node] + 1:
                return edge
            position[node] += 1
        return None
