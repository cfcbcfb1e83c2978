"""Ops and tensors reduced to what scheduling needs: what reads what, and how many bytes it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """One op: the values it reads and writes, by index.

    An `ordered` task keeps its place relative to the other ordered ones. `scratch_bytes` are alive during it alone.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ordered: bool = False
    scratch_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """Tasks in a valid order, sizes of the values in bytes, and which values live from the start or to the end.

    An input that no task reads is not counted.
    """

    tasks: tuple[Task, ...]
    sizes: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Relations:
    """What depends on what in a task graph."""

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        self.sizes = graph.sizes
        self.outputs = frozenset(graph.outputs)
        self.inputs = [tuple(dict.fromkeys(task.inputs)) for task in graph.tasks]
        producer = {value: position for position, task in enumerate(graph.tasks) for value in task.outputs}
        self.consumers: list[list[int]] = [[] for _ in graph.sizes]
        self.predecessors: list[set[int]] = [set() for _ in graph.tasks]
        self.successors: list[list[int]] = [[] for _ in graph.tasks]
        previous: int | None = None
        for position, task in enumerate(graph.tasks):
            for value in self.inputs[position]:
                self.consumers[value].append(position)
                if value in producer:
                    self.predecessors[position].add(producer[value])
            if task.ordered:
                if previous is not None:
                    self.predecessors[position].add(previous)
                previous = position
            if any(before >= position for before in self.predecessors[position]):
                raise ValueError(f"task {position} reads a value that is written later")
            for before in self.predecessors[position]:
                self.successors[before].append(position)

    def written(self, position: int) -> int:
        """Bytes that come alive when the task starts."""
        task = self.graph.tasks[position]
        return task.scratch_bytes + sum(self.sizes[value] for value in task.outputs)

    def dropped(self, position: int) -> int:
        """Bytes that die with the task whatever the order: scratch and results that nobody reads."""
        task = self.graph.tasks[position]
        unread = (v for v in task.outputs if not self.consumers[v] and v not in self.outputs)
        return task.scratch_bytes + sum(self.sizes[value] for value in unread)

    def working_set(self, position: int) -> int:
        """Bytes that must be alive while the task runs, in any order."""
        return self.written(position) + sum(self.sizes[value] for value in self.inputs[position])


def bytes_at_start(relations: Relations) -> int:
    """Bytes alive before the first task."""
    read = (value for value in relations.graph.inputs if relations.consumers[value] or value in relations.outputs)
    return sum(relations.sizes[value] for value in read)


def live_bytes(relations: Relations, order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Bytes alive during and after each task of `order`, by the rules of `live_range.live_ranges`."""
    live = bytes_at_start(relations)
    waiting = [len(readers) for readers in relations.consumers]
    for position in order:
        during = live + relations.written(position)
        live = during - relations.dropped(position)
        for value in relations.inputs[position]:
            waiting[value] -= 1
            if not waiting[value] and value not in relations.outputs:
                live -= relations.sizes[value]
        yield during, live
