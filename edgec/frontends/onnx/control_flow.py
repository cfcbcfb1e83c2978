"""If, Loop and Scan: inlined and unrolled where that is known at import and small, else TFLite's `if` and `while`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgec.frontends.onnx.element_types import as_float32
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.runtime_operands import small_ints
from edgec.frontends.onnx.subgraph import Subgraph, WhileLoop, emit_if, empty_rows, read_row, steps_per_pass, write_row
from edgec.frontends.onnx.translation import Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

MAX_STEPS = 1024  # of a loop that cannot become a `while`
MAX_UNROLLED_OPS = 2000  # steps times nodes of the body; beyond, a `while` loads faster and takes less flash


class Walker(Protocol):
    """Translates the nodes of a subgraph with its inputs bound; both refuse where a node cannot be translated."""

    def walk(self, graph: GraphProto, bound: Mapping[str, Value]) -> list[Value]:
        """Into the graph that is being written."""

    def walk_apart(self, inner: Subgraph, graph: GraphProto, bound: Mapping[str, Value]) -> list[Value]:
        """Into a graph of its own, which captures what it uses of the graphs around it."""


class _OnlyKnownAtRunTime(Exception):
    """A loop's condition turned out to depend on values of run time."""


# -- If ----------------------------------------------------------------------------------------------------------------


def if_(node: Node, context: Translation, walker: Walker) -> list[Value]:
    """If: one branch where the condition is constant, else TFLite's `if`."""
    condition = node.input(0)
    branches = node.attribute("then_branch"), node.attribute("else_branch")
    if condition.data is not None:
        return walker.walk(branches[0] if bool(condition.data.reshape(-1)[0]) else branches[1], {})
    mark = context.mark()
    try:
        parts = []
        for name, branch in zip(("then", "else"), branches):
            inner = Subgraph(context, f"{node.name}_{name}")
            inner.finish(walker.walk_apart(inner, branch, {}))
            parts.append(inner)
        return emit_if(context, condition, *parts)
    except Refusal:
        context.roll_back(mark)
        raise


# -- Loop --------------------------------------------------------------------------------------------------------------


def loop(node: Node, context: Translation, walker: Walker) -> list[Value]:
    """Loop: unrolled where its steps are known and few, else TFLite's `while`."""
    body: GraphProto = node.attribute("body")
    node.inputs = [None if v is None else as_float32(context, v) for v in node.inputs]
    count = _known_trips(node)
    mark = context.mark()
    if count is not None and _is_unrolled(context, count, body):
        try:
            return _unrolled_loop(node, context, walker, count)
        except _OnlyKnownAtRunTime:
            context.roll_back(mark)
    try:
        return _while_loop(node, context, walker)
    except Refusal as refusal:
        context.roll_back(mark)
        if count is None or count > MAX_STEPS:
            raise
        try:
            return _unrolled_loop(node, context, walker, count)
        except _OnlyKnownAtRunTime:
            context.roll_back(mark)
            raise refusal from None


def _known_trips(node: Node) -> int | None:
    """The largest number of steps where it is constant; 0 where the condition is false from the start."""
    trips, condition = node.optional(0), node.optional(1)
    if condition is not None and condition.data is not None and not bool(condition.data.reshape(-1)[0]):
        return 0
    if trips is None or trips.data is None or (condition is not None and condition.data is None):
        return None
    return max(int(trips.data.reshape(-1)[0]), 0)


def _nodes(nodes: Sequence[NodeProto]) -> int:
    """Nodes of a body, those of its branches and bodies included."""
    inner = (attribute.g for node in nodes for attribute in node.attribute if attribute.HasField("g"))
    return len(nodes) + sum(_nodes(graph.node) for graph in inner)


def _is_unrolled(context: Translation, steps: int, body: GraphProto) -> bool:
    return steps * _nodes(body.node) <= MAX_UNROLLED_OPS or (context.unrolls and steps <= MAX_STEPS)


def _carried(node: Node) -> list[Value]:
    return [node.input(i) for i in range(2, len(node.inputs))]


def _unrolled_loop(node: Node, context: Translation, walker: Walker, count: int) -> list[Value]:
    body = node.attribute("body")
    names = [i.name for i in body.input]
    carried = _carried(node)
    gathered: list[list[Value]] = []
    for step in range(count):
        counter = context.constant(np.array(step, np.int64))
        results = walker.walk(body, dict(zip(names, [counter, context.constant(np.array(True)), *carried])))
        carried = results[1 : 1 + len(carried)]
        gathered.append(results[1 + len(carried) :])
        if results[0].data is None:
            raise _OnlyKnownAtRunTime
        if not bool(results[0].data.reshape(-1)[0]):
            break
    if len(node.outputs) > len(carried) and not gathered:
        raise Refusal("it takes no step, so that the shape of what it collects is unknown")
    return [*carried, *(_stacked(context, list(values), 0) for values in zip(*gathered))]


def _while_loop(node: Node, context: Translation, walker: Walker) -> list[Value]:
    trips, start, carried = node.optional(0), node.optional(1), _carried(node)
    body: GraphProto = node.attribute("body")
    if trips is None and start is None and not len(body.output):
        raise Refusal("it has neither a trip count nor a condition")
    limit = None if trips is None else context.reshape(small_ints(context, trips), [])
    made = WhileLoop(context, node.name)
    counter = made.variable(context.constant(np.int32(0)))
    inner = [made.variable(value) for value in carried]
    step = made.body.context
    step.counters.add(counter)
    names = [i.name for i in body.input]

    def taken(time: Value, states: Sequence[Value]) -> list[Value]:
        """One step; its condition was true, or it would not be taken."""
        given = [step.cast(time, DType.INT64), step.constant(np.array(True)), *states]
        return walker.walk_apart(made.body, body, dict(zip(names, given)))

    results = taken(counter, inner)
    still = results[0]
    always = still.data is not None and bool(still.data.reshape(-1)[0])
    count = _known_trips(node)
    size = steps_per_pass(count, _nodes(body.node)) if always and count else 1
    gathered = [(counter, results)]
    for index in range(1, size):
        time = step.add(counter, step.constant(np.int32(index)))
        states = [made.fitting(v, variable) for v, variable in zip(results[1 : 1 + len(carried)], inner)]
        results = taken(time, states)
        gathered.append((time, results))
    after = [step.add(counter, step.constant(np.int32(size))), *results[1 : 1 + len(carried)]]
    kept = -1
    if not always or (start is not None and start.data is None):
        kept = len(after)
        made.variable(context.constant(np.array(True)) if start is None else context.reshape(start, []))
        after.append(step.reshape(still, []))
    places: list[int] = []  # of what is collected among the variables; what nobody reads is the counter, unnamed
    node.outputs = [name if i in node.read else "" for i, name in enumerate(node.outputs)]
    for index in range(len(carried), len(results) - 1):
        places.append(len(after) if index in node.read else 0)
        if not places[-1]:
            continue
        rows = made.variable(empty_rows(context, results[1 + index], _rows_of(node, index, always)))
        for time, found in gathered:
            rows = write_row(step, rows, time, found[1 + index])
        after.append(rows)

    def goes_on(condition: Subgraph, variables: Sequence[Value]) -> Value:
        inner, keeps = condition.context, None if kept < 0 else variables[kept]
        if limit is None:
            return keeps if keeps is not None else inner.constant(np.array(True))
        below = inner.emit("less", [variables[0], condition.capture(limit)])
        return below if keeps is None else inner.emit("logical_and", [below, keeps])

    if limit is None and always:
        raise Refusal("it never ends: it has no trip count, and its condition is always true")
    last = made.finish(after, goes_on)
    return [*last[1 : 1 + len(carried)], *(last[place] for place in places)]


def _rows_of(node: Node, output: int, always: bool) -> int:
    """How many rows the loop collects for an output: its constant trip count, or what the model states."""
    count = _known_trips(node)
    if always and count:
        return count
    declared = node.declared[output] if output < len(node.declared) else None
    if declared:
        return declared[0]
    raise Refusal(
        f"how many rows '{node.outputs[output]}' collects is only known at run time, and the model states no shape for "
        "it; TFLite's `while` needs room for them beforehand"
    )


# -- Scan --------------------------------------------------------------------------------------------------------------


def scan(node: Node, context: Translation, walker: Walker) -> list[Value]:
    """Scan: unrolled where its steps are few, else TFLite's `while`."""
    body, count = node.attribute("body"), node.int("num_scan_inputs", 1)
    node.inputs = [None if v is None else as_float32(context, v) for v in node.inputs]
    if node.opset < 9:
        return _scan_of_opset_8(node, context, walker)
    operands = [node.input(i) for i in range(len(node.inputs))]
    if not 1 <= count <= len(operands):
        raise Refusal(f"num_scan_inputs is {count}, it has {len(operands)} inputs")
    states, sequences = operands[: len(operands) - count], operands[len(operands) - count :]
    return _scanned(
        context, walker, node.name, body, states, sequences,
        _axes(node.attribute("scan_input_axes", [0] * count), sequences),
        node.attribute("scan_input_directions", [0] * count),
        node.attribute("scan_output_axes", []), node.attribute("scan_output_directions", []),
    )  # fmt: skip


def _scan_of_opset_8(node: Node, context: Translation, walker: Walker) -> list[Value]:
    """The first axis of everything is a batch, the second that of time; each entry of the batch is scanned alone."""
    if node.optional(0) is not None:
        raise Refusal("Scan of opset 8 with lengths of its sequences is not supported; export with opset 9 or later")
    body, count = node.attribute("body"), node.int("num_scan_inputs", 1)
    operands = [node.input(i) for i in range(1, len(node.inputs))]
    if not 1 <= count <= len(operands) or any(v.type.rank < 1 for v in operands):
        raise Refusal(f"num_scan_inputs is {count}, it has {len(operands)} inputs")
    entries = []
    for index in range(operands[0].shape[0]):
        parts = [_entry(context, x, 0, index) for x in operands]
        states, sequences = parts[: len(parts) - count], parts[len(parts) - count :]
        found = _scanned(
            context, walker, f"{node.name}_{index}", body, states, sequences,
            _axes([0] * count, sequences), node.attribute("directions", [0] * count), [], [],
        )  # fmt: skip
        entries.append(found)
    return [_stacked(context, list(values), 0) for values in zip(*entries)]


def _scanned(
    context: Translation, walker: Walker, name: str, body: GraphProto, states: Sequence[Value],
    sequences: Sequence[Value], axes: Sequence[int], backwards: Sequence[int], places: Sequence[int],
    reverse: Sequence[int],
) -> list[Value]:  # fmt: skip
    steps = sequences[0].shape[axes[0]]
    if not steps:
        raise Refusal("it takes no step, so that the shape of what it collects is unknown")
    collected = len(body.output) - len(states)
    places, reverse = places or [0] * collected, reverse or [0] * collected
    if _is_unrolled(context, steps, body):
        return _unrolled_scan(context, walker, body, states, sequences, axes, backwards, places, reverse)
    mark = context.mark()
    try:
        return _while_scan(context, walker, name, body, states, sequences, axes, backwards, places, reverse)
    except Refusal:
        context.roll_back(mark)
        if steps > MAX_STEPS:
            raise
        return _unrolled_scan(context, walker, body, states, sequences, axes, backwards, places, reverse)


def _unrolled_scan(
    context: Translation, walker: Walker, body: GraphProto, states: Sequence[Value], sequences: Sequence[Value],
    axes: Sequence[int], backwards: Sequence[int], places: Sequence[int], reverse: Sequence[int],
) -> list[Value]:  # fmt: skip
    steps = sequences[0].shape[axes[0]]
    names, gathered = [i.name for i in body.input], []
    for step in range(steps):
        entries = [
            _entry(context, x, axis, steps - 1 - step if back else step)
            for x, axis, back in zip(sequences, axes, backwards)
        ]
        results = walker.walk(body, dict(zip(names, [*states, *entries])))
        states = results[: len(states)]
        gathered.append(results[len(states) :])
    return [
        *states,
        *(_stacked(context, list(values)[:: -1 if back else 1], axis)
          for values, back, axis in zip(zip(*gathered), reverse, places)),
    ]  # fmt: skip


def _while_scan(
    context: Translation, walker: Walker, name: str, body: GraphProto, states: Sequence[Value],
    sequences: Sequence[Value], axes: Sequence[int], backwards: Sequence[int], places: Sequence[int],
    reverse: Sequence[int],
) -> list[Value]:  # fmt: skip
    steps = sequences[0].shape[axes[0]]
    made = WhileLoop(context, name)
    step = made.body.context
    size = steps_per_pass(steps, _nodes(body.node))
    counter = made.variable(context.constant(np.int32(0)))
    inner: Sequence[Value] = [made.variable(value) for value in states]
    gathered: list[tuple[Sequence[Value], Value, Value]] = []
    for index in range(size):
        time = step.add(step.mul(counter, step.constant(np.int32(size))), step.constant(np.int32(index)))
        mirrored = step.sub(step.constant(np.int32(steps - 1)), time)
        entries = [
            read_row(step, made.body.capture(x), mirrored if back else time, axis)
            for x, axis, back in zip(sequences, axes, backwards)
        ]
        results = walker.walk_apart(made.body, body, dict(zip([i.name for i in body.input], [*inner, *entries])))
        inner = results[: len(states)]
        gathered.append((results[len(states) :], time, mirrored))
    after = [step.add(counter, step.constant(np.int32(1))), *inner]
    for output, back in enumerate(reverse):
        rows = made.variable(empty_rows(context, gathered[0][0][output], steps))
        for found_rows, time, mirrored in gathered:
            rows = write_row(step, rows, mirrored if back else time, found_rows[output])
        after.append(rows)
    found = made.finish(
        after,
        lambda condition, variables: condition.context.emit(
            "less", [variables[0], condition.context.constant(np.int32(steps // size))]
        ),
    )
    return [
        *found[1 : 1 + len(states)],
        *(_moved_first_axis(context, rows, axis) for rows, axis in zip(found[1 + len(states) :], places)),
    ]


def _moved_first_axis(context: Translation, x: Value, axis: int) -> Value:
    axis = normalize_axis(int(axis), x.type.rank)
    return context.transpose(x, [*range(1, axis + 1), 0, *range(axis + 1, x.type.rank)])


def _axes(given: Sequence[int], values: Sequence[Value]) -> list[int]:
    return [normalize_axis(int(axis), value.type.rank) for axis, value in zip(given, values)]


def _entry(context: Translation, x: Value, axis: int, index: int) -> Value:
    begin = [index if i == axis else 0 for i in range(x.type.rank)]
    size = [1 if i == axis else full for i, full in enumerate(x.shape)]
    part = context.emit("slice", [x, context.ints(begin), context.ints(size)])
    return context.reshape(part, [full for i, full in enumerate(x.shape) if i != axis])


def _stacked(context: Translation, values: list[Value], axis: int) -> Value:
    axis = normalize_axis(int(axis), values[0].type.rank + 1)
    shape = [*values[0].shape[:axis], 1, *values[0].shape[axis:]]
    parts = [context.reshape(value, shape) for value in values]
    return parts[0] if len(parts) == 1 else context.emit("concatenation", parts, axis=axis)


CONTROL_FLOW: dict[str, Callable[[Node, Translation, Walker], list[Value]]] = {"If": if_, "Loop": loop, "Scan": scan}
