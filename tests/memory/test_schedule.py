from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import TensorType
from edgec.memory import schedule_search
from edgec.memory.allocate import lower_bound
from edgec.memory.live_range import live_ranges
from edgec.memory.schedule import minimise_peak, schedule_ops
from edgec.memory.task_graph import Task, TaskGraph


def peak_of(graph: TaskGraph, order: tuple[int, ...]) -> int:
    """Peak of live bytes from the definition: alive from being written to the last read, or to the end."""
    step = {position: k for k, position in enumerate(order)}
    peak = 0
    for k, position in enumerate(order):
        live = graph.tasks[position].scratch_bytes
        for value, size in enumerate(graph.sizes):
            reads = [step[p] for p, task in enumerate(graph.tasks) if value in task.inputs]
            writes = [step[p] for p, task in enumerate(graph.tasks) if value in task.outputs]
            first = min(writes, default=0)
            last = len(order) if value in graph.outputs else max([*reads, *writes], default=-1)
            live += size if first <= k <= last else 0
        peak = max(peak, live)
    return peak


def is_valid(graph: TaskGraph, order: tuple[int, ...]) -> bool:
    if sorted(order) != list(range(len(graph.tasks))):
        return False
    known = set(graph.inputs)
    for position in order:
        if not known.issuperset(graph.tasks[position].inputs):
            return False
        known.update(graph.tasks[position].outputs)
    ordered = [position for position in order if graph.tasks[position].ordered]
    return ordered == sorted(ordered)


@st.composite
def task_graphs(draw: st.DrawFn, most: int = 12) -> TaskGraph:
    sizes = draw(st.lists(st.integers(0, 50), min_size=1, max_size=2))
    given_inputs = tuple(range(len(sizes)))
    tasks = []
    for _ in range(draw(st.integers(0, most))):
        inputs = tuple(draw(st.lists(st.integers(0, len(sizes) - 1), max_size=3)))
        results = draw(st.lists(st.integers(0, 50), max_size=2))
        outputs = tuple(range(len(sizes), len(sizes) + len(results)))
        sizes.extend(results)
        tasks.append(Task(inputs, outputs, draw(st.integers(0, 4)) == 0, draw(st.sampled_from([0, 0, 30]))))
    outputs = tuple(sorted(draw(st.sets(st.integers(0, len(sizes) - 1), max_size=3))))
    return TaskGraph(tuple(tasks), tuple(sizes), given_inputs, outputs)


def breadth_first(branches: int, wide: int = 1000, narrow: int = 10) -> TaskGraph:
    """One input, `branches` wide tensors, each reduced to a narrow one, all joined; written level by level."""
    tasks = [Task((0,), (1 + b,)) for b in range(branches)]
    tasks += [Task((1 + b,), (1 + branches + b,)) for b in range(branches)]
    tasks.append(Task(tuple(range(1 + branches, 1 + 2 * branches)), (1 + 2 * branches,)))
    sizes = (narrow, *[wide] * branches, *[narrow] * branches, narrow)
    return TaskGraph(tuple(tasks), sizes, (0,), (1 + 2 * branches,))


def test_breadth_first_graph_by_hand() -> None:
    # as given all 3 wide tensors live beside the input: 10 + 3 * 1000, and 10 for the first narrow one once the input
    # is gone; one branch after the other: the last wide tensor beside the input and 2 narrow ones
    schedule = minimise_peak(breadth_first(3))
    assert schedule.given_peak_bytes == 3010
    assert schedule.peak_bytes == 10 + 1000 + 2 * 10
    assert schedule.order == (0, 3, 1, 4, 2, 5, 6)
    assert schedule.proven_optimal


def test_wide_graph_is_scheduled_without_search() -> None:
    schedule = minimise_peak(breadth_first(2500))
    assert schedule.method == "greedy"
    assert schedule.peak_bytes < schedule.given_peak_bytes / 50


def test_sixteen_free_tasks_are_exact() -> None:
    schedule = minimise_peak(breadth_first(8))
    assert schedule.proven_optimal
    assert schedule.peak_bytes == 10 + 1000 + 7 * 10


def test_long_chain_stays_as_it_is() -> None:
    tasks = tuple(Task((step,), (step + 1,)) for step in range(10_000))
    schedule = minimise_peak(TaskGraph(tasks, tuple(64 + step % 5 for step in range(10_001)), (0,), (10_000,)))
    assert schedule.order == tuple(range(10_000))
    assert schedule.method == "as given"
    assert schedule.proven_optimal


def test_only_the_segment_at_the_peak_is_touched() -> None:
    low, high = breadth_first(3, wide=20), breadth_first(3)
    shift = len(low.sizes) - 1
    moved = tuple(
        Task(tuple(v + shift for v in task.inputs), tuple(v + shift for v in task.outputs)) for task in high.tasks
    )
    joined = TaskGraph(low.tasks + moved, low.sizes + high.sizes[1:], (0,), (len(low.sizes) + len(high.sizes) - 2,))
    schedule = minimise_peak(joined)
    assert schedule.order[:7] == tuple(range(7))
    assert schedule.peak_bytes == 1030


@given(task_graphs())
def test_order_is_valid_and_never_worse(graph: TaskGraph) -> None:
    schedule = minimise_peak(graph)
    assert is_valid(graph, schedule.order)
    read = {v for task in graph.tasks for v in task.inputs} | set(graph.outputs)
    if read.issuperset(graph.inputs):
        assert schedule.given_peak_bytes == peak_of(graph, tuple(range(len(graph.tasks))))
        assert schedule.peak_bytes == peak_of(graph, schedule.order)
    assert schedule.peak_bytes <= schedule.given_peak_bytes
    assert minimise_peak(graph) == schedule


@settings(max_examples=60)
@given(task_graphs(most=6))
def test_small_graphs_are_optimal(graph: TaskGraph) -> None:
    schedule = minimise_peak(graph)
    read = {v for task in graph.tasks for v in task.inputs} | set(graph.outputs)
    if not graph.tasks or not read.issuperset(graph.inputs):
        return
    orders = (order for order in permutations(range(len(graph.tasks))) if is_valid(graph, order))
    assert schedule.proven_optimal
    assert schedule.peak_bytes == min(peak_of(graph, order) for order in orders)


def test_beyond_the_limit_the_order_is_good_but_not_called_optimal(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = breadth_first(6)
    extra = TaskGraph(  # each branch also feeds a second join, so that greedy alone is not enough to be optimal
        (*graph.tasks, Task((1, 2, 12), (14,))), (*graph.sizes, 5), graph.inputs, (*graph.outputs, 14)
    )
    monkeypatch.setattr(schedule_search, "TRANSITION_LIMIT", 20)
    schedule = minimise_peak(extra)
    assert is_valid(extra, schedule.order)
    assert schedule.peak_bytes < schedule.given_peak_bytes
    assert not schedule.proven_optimal


def test_invalid_order_is_refused() -> None:
    with pytest.raises(ValueError, match="task 0 reads a value that is written later"):
        minimise_peak(TaskGraph((Task((1,), (2,)), Task((0,), (1,))), (1, 1, 1), (0,), (2,)))


def branchy_graph(opcode: str) -> Graph:
    graph = Graph()
    x = graph.add_input("x", TensorType((16,), DType.INT8))

    def emit(code: str, operands: list[Value], name: str, size: int) -> Value:
        return graph.append(Op(code, operands, [Value(name, TensorType((size,), DType.INT8))], name=name)).result

    wide = [emit(opcode, [x], f"wide{b}", 1600) for b in range(3)]
    narrow = [emit(opcode, [value], f"narrow{b}", 16) for b, value in enumerate(wide)]
    graph.outputs = (emit("concatenation", narrow, "joined", 48),)
    return graph


def test_graph_is_reordered() -> None:
    graph = branchy_graph("relu")
    schedule = schedule_ops(graph)
    assert (schedule.given_peak_bytes, schedule.peak_bytes) == (16 + 3 * 1600, 1600 + 3 * 16)
    assert lower_bound(live_ranges(graph, schedule.order))[0] == schedule.peak_bytes
    ops = list(graph.ops)
    graph.set_order([ops[position] for position in schedule.order])
    assert lower_bound(live_ranges(graph))[0] == schedule.peak_bytes
    assert schedule_ops(graph).method == "as given"


def test_unknown_ops_keep_their_order() -> None:
    schedule = schedule_ops(branchy_graph("custom_with_state"))
    assert schedule.order[:6] == tuple(range(6))
