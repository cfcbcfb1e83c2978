"""If, Loop and Scan where the number of steps is known at import: branches are inlined, loops are unrolled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translation
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

if TYPE_CHECKING:
    from onnx import GraphProto

Walk = Callable[["GraphProto", Mapping[str, Value]], list[Value]]  # translates a subgraph with its inputs bound
MAX_STEPS = 1024


def if_(node: Node, context: Translation, walk: Walk) -> list[Value]:
    """If: one branch where the condition is constant, else both and a choice between results of one type."""
    condition = node.input(0)
    branches = node.attribute("then_branch"), node.attribute("else_branch")
    if condition.data is not None:
        return walk(branches[0] if bool(condition.data.reshape(-1)[0]) else branches[1], {})
    then, other = walk(branches[0], {}), walk(branches[1], {})
    chosen = context.reshape(condition, [])
    results = []
    for a, b in zip(then, other, strict=True):
        if a.shape != b.shape or a.dtype is not b.dtype:
            raise Refusal(f"its branches give {a.type} and {b.type}, and the condition is only known at run time")
        results.append(context.emit("select_v2", [chosen, a, b]))
    return results


def loop(node: Node, context: Translation, walk: Walk) -> list[Value]:
    """Loop of a constant number of steps, unrolled."""
    trips, condition = node.array(0), node.array(1)
    if trips is None:
        raise Refusal("it has no trip count; only loops of a known number of steps are unrolled")
    count = int(trips.reshape(-1)[0]) if condition is None or bool(condition.reshape(-1)[0]) else 0
    if count > MAX_STEPS:
        raise Refusal(f"{count} steps are more than the {MAX_STEPS} that are unrolled")
    body = node.attribute("body")
    names = [i.name for i in body.input]
    carried = [node.input(i) for i in range(2, len(node.inputs))]
    gathered: list[list[Value]] = []
    for step in range(count):
        counter = context.constant(np.array(step, np.int64))
        results = walk(body, dict(zip(names, [counter, context.constant(np.array(True)), *carried])))
        carried = results[1 : 1 + len(carried)]
        gathered.append(results[1 + len(carried) :])
        if results[0].data is None:
            raise Refusal("its condition is only known at run time")
        if not bool(results[0].data.reshape(-1)[0]):
            break
    if len(node.outputs) > len(carried) and not gathered:
        raise Refusal("it takes no step, so that the shape of what it collects is unknown")
    return [*carried, *(_stacked(context, list(values), 0) for values in zip(*gathered))]


def scan(node: Node, context: Translation, walk: Walk) -> list[Value]:
    """Scan over the entries of an axis, unrolled."""
    if node.opset < 9:
        raise Refusal("Scan of opset 8 with its batch axis is not supported; export with opset 9 or later")
    body, count = node.attribute("body"), node.int("num_scan_inputs", 1)
    operands = [node.input(i) for i in range(len(node.inputs))]
    if not 1 <= count <= len(operands):
        raise Refusal(f"num_scan_inputs is {count}, it has {len(operands)} inputs")
    states, sequences = operands[: len(operands) - count], operands[len(operands) - count :]
    axes = _axes(node.attribute("scan_input_axes", [0] * count), sequences)
    backwards = node.attribute("scan_input_directions", [0] * count)
    steps = sequences[0].shape[axes[0]]
    if steps > MAX_STEPS or not steps:
        raise Refusal(f"{steps} steps are none, or more than the {MAX_STEPS} that are unrolled")
    names, gathered = [i.name for i in body.input], []
    for step in range(steps):
        entries = [
            _entry(context, x, axis, steps - 1 - step if back else step)
            for x, axis, back in zip(sequences, axes, backwards)
        ]
        results = walk(body, dict(zip(names, [*states, *entries])))
        states = results[: len(states)]
        gathered.append(results[len(states) :])
    collected = list(zip(*gathered))
    reverse = node.attribute("scan_output_directions", [0] * len(collected))
    places = node.attribute("scan_output_axes", [0] * len(collected))
    return [
        *states,
        *(_stacked(context, list(values)[:: -1 if back else 1], axis)
          for values, back, axis in zip(collected, reverse, places)),
    ]  # fmt: skip


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


CONTROL_FLOW: dict[str, Callable[[Node, Translation, Walk], list[Value]]] = {"If": if_, "Loop": loop, "Scan": scan}
