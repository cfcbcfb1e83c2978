"""Choose the execution order of ops that keeps the fewest bytes alive at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op
from edgec.memory.live_range import arena_bytes, callee_bytes, callees, planned_values
from edgec.memory.plan import ALIGNMENT, round_up
from edgec.memory.schedule_search import Segment, schedule_segment
from edgec.memory.task_graph import Relations, Task, TaskGraph, bytes_at_start, live_bytes
from edgec.ops import definition


@dataclass(frozen=True, slots=True)
class Schedule:
    """Positions of the ops in the order to execute them, and the most bytes alive at one step, before and after.

    `proven_optimal` says that no order has a lower `peak_bytes`. The packed plan may need more than the peak.
    """

    order: tuple[int, ...]
    peak_bytes: int
    given_peak_bytes: int
    method: str
    proven_optimal: bool


def minimise_peak(graph: TaskGraph) -> Schedule:
    """An order of the tasks whose peak of live bytes is as low as the search finds, never above that of the given one.

    1. No order can be lower than the largest working set of one task. A chain meets that bound as it stands.
    2. Where every earlier task is an ancestor and every later one a descendant of a task, the order falls into
       segments. Only segments above what others need anyway are touched, the worst first.
    3. A segment gets a greedy order (run what grows memory least), then a search over the sets of executed tasks, level
       by level: two orders of the same set differ only in their peak so far, so the better one is enough. This is
       exact as long as every set below the best known peak is kept. With more sets than the limit allows, the ones
       with the lowest peak and the fewest live bytes are kept.

    Limits count steps, not seconds; equal inputs give equal orders.

    Raises:
        ValueError: the given order is not valid.
    """
    relations = Relations(graph)
    given = tuple(range(len(graph.tasks)))
    profile = list(live_bytes(relations, given))
    given_peak = max((during for during, _ in profile), default=0)
    target = max((relations.working_set(position) for position in given), default=0)
    if given_peak <= target:
        return Schedule(given, given_peak, given_peak, "as given", True)
    order, exact, methods = list(given), True, {"as given"}
    for peak, segment in sorted(_segments(relations, profile), key=lambda entry: (-entry[0], entry[1].first)):
        if peak <= target:
            break
        found = schedule_segment(relations, segment, peak, target)
        order[segment.first : segment.last + 1] = found.order
        methods.add(found.method)
        if found.peak > target:
            target, exact = found.peak, found.exact
    reached = max(during for during, _ in live_bytes(relations, order))
    if reached >= given_peak:
        return Schedule(given, given_peak, given_peak, "as given", exact and target == given_peak)
    method = " + ".join(sorted(methods - {"as given"}))
    return Schedule(tuple(order), reached, given_peak, method, exact and target == reached)


def task_graph(graph: Graph, module: Module | None = None) -> TaskGraph:
    """The ops of `graph` as tasks, with sizes rounded up as the arena does; constants and variables take no bytes.

    Ops with side effects, without results, on variables or resources, that run other graphs, or that edgec does not
    know keep their relative order.
    """
    values = planned_values(graph)
    index = {value: position for position, value in enumerate(values)}
    tasks = tuple(
        Task(
            tuple(index[v] for v in op.operands if v is not None and v in index),
            tuple(index[v] for v in op.results if v in index),
            _keeps_order(op),
            0 if module is None else callee_bytes(op, module),
        )
        for op in graph.ops
    )
    return TaskGraph(
        tasks,
        tuple(round_up(arena_bytes(value), ALIGNMENT) for value in values),
        tuple(index[value] for value in dict.fromkeys(graph.inputs) if value in index),
        tuple(index[value] for value in dict.fromkeys(graph.outputs) if value in index),
    )


def schedule_ops(graph: Graph, module: Module | None = None) -> Schedule:
    """`minimise_peak` for the ops of `graph`; apply it with `graph.set_order`."""
    return minimise_peak(task_graph(graph, module))


def _keeps_order(op: Op) -> bool:
    known = definition(op)
    if known is None or known.has_side_effects or not op.results or callees(op):
        return True
    touched = [value for value in (*op.operands, *op.results) if value is not None]
    return any(value.is_variable or value.dtype in (DType.RESOURCE, DType.VARIANT) for value in touched)


def _segments(relations: Relations, profile: Sequence[tuple[int, int]]) -> list[tuple[int, Segment]]:
    """The tasks cut after each one that depends on all before it and that all after it depend on, with their peaks."""
    count = len(relations.predecessors)
    jumps = [0] * (count + 1)  # differences of: edges that pass over a position
    for position, before in enumerate(relations.predecessors):
        for earlier in before:
            jumps[earlier + 1] += 1
            jumps[position] -= 1
    last_source = max(p for p in range(count) if not relations.predecessors[p])
    first_sink = min(p for p in range(count) if not relations.successors[p])
    segments: list[tuple[int, Segment]] = []
    first, passing = 0, 0
    for position in range(count):
        passing += jumps[position]
        if position == count - 1 or (not passing and last_source <= position <= first_sink):
            live = profile[first - 1][1] if first else bytes_at_start(relations)
            peak = max(during for during, _ in profile[first : position + 1])
            segments.append((peak, Segment(first, position, live)))
            first = position + 1
    return segments
