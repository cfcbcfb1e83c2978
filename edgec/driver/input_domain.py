"""Which numbers an integer input takes, found by following it to the ops that use it as an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from edgec.ir.graph import Module, Op, Value
from edgec.ir.verify import CALLED_GRAPHS

MAX_STEPS = 10_000
MOVING = {  # the operands whose elements come out again, unchanged
    "cast": (0,), "reshape": (0,), "transpose": (0,), "expand_dims": (0,), "squeeze": (0,), "slice": (0,),
    "split": (1,), "split_v": (0,), "strided_slice": (0,), "gather": (0,), "gather_nd": (0,), "tile": (0,),
    "broadcast_to": (0,),
    "pad": (0,), "padv2": (0,), "mirror_pad": (0,), "reverse_v2": (0,), "unpack": (0,), "select": (1, 2),
    "select_v2": (1, 2), "space_to_batch_nd": (0,), "batch_to_space_nd": (0,), "dynamic_update_slice": (0, 1),
    "scatter_nd": (1,),
}  # fmt: skip
ALL_MOVE = ("concatenation", "pack")
DIVIDING = ("div", "floor_div", "floor_mod")


@dataclass(frozen=True)
class IntegerDomain:
    """The integers from `low` to below `below`; `below` is None where nothing bounds them.

    `differ` says that they are places of a scatter: what is written to one place twice is up to the runtime.
    """

    low: int = 0
    below: int | None = None
    differ: bool = False


@dataclass(frozen=True)
class _Step:
    """What became of the input on its way: factor * input + shift.

    `columns` are the first and the number of those columns of the last axis that the input fills, where it was joined
    with others to places of several coordinates.
    """

    value: Value
    factor: int = 1
    shift: int = 0
    columns: tuple[int, int] | None = None


def integer_domain(module: Module, value: Value) -> IntegerDomain:
    """What a graph input may be for every op that takes it as an index, a count or a divisor.

    Sums with constants are followed (a position that is moved by two), and the graphs of `while` and `if`.
    """
    below: int | None = None
    low, scattered = 0, False
    seen: set[_Step] = set()
    waiting = [_Step(value)]
    while waiting and len(seen) < MAX_STEPS:
        step = waiting.pop()
        if step in seen or step.factor <= 0:
            continue
        seen.add(step)
        for op, index in step.value.uses:
            scattered |= op.opcode == "scatter_nd" and index == 0
            bound = _bound(op, index, step.columns)
            if bound is not None:
                last = (bound - 1 - step.shift) // step.factor
                if last >= 0:  # what lies below belongs to a path for negative indices
                    below = last + 1 if below is None else min(below, last + 1)
            if op.opcode in DIVIDING and index == 1:
                low = 1
            waiting += _onwards(module, op, index, step)
    if below is not None:
        below = max(below, low + 1)
    return IntegerDomain(low, below, scattered)


def _bound(op: Op, index: int, columns: tuple[int, int] | None) -> int | None:
    """What an operand must stay below, None where the op does not bound it."""
    if (op.opcode, index) in _PLACES:
        return _of_places(op.operand(index), _PLACES[op.opcode, index](op).shape, columns)
    rule = _BOUNDS.get((op.opcode, index))
    return None if rule is None else rule(op)


def _gathered(op: Op) -> int:
    axis: int = op.attributes["axis"]
    return op.operand(0).shape[axis]


def _of_places(places: Value, shape: tuple[int, ...], columns: tuple[int, int] | None) -> int | None:
    """What coordinates in `shape` stay below; those in `columns` only, where others stand beside them."""
    depth = places.shape[-1] if places.shape else 0
    first, count = columns or (0, depth)
    return min(shape[:depth][first : first + count], default=None)


def _depth(op: Op) -> int | None:
    depth = op.operand(1).data
    return None if depth is None or not depth.size else int(depth.reshape(-1)[0])


def _start(op: Op) -> int | None:
    return min((whole - part + 1 for whole, part in zip(op.operand(0).shape, op.operand(1).shape)), default=None)


def _slice_start(op: Op) -> int | None:
    return min((whole - part + 1 for whole, part in zip(op.operand(0).shape, op.results[0].shape)), default=None)


_PLACES: dict[tuple[str, int], Callable[[Op], Value]] = {
    ("gather_nd", 1): lambda op: op.operand(0),
    ("scatter_nd", 0): lambda op: op.results[0],
}
_BOUNDS: dict[tuple[str, int], Callable[[Op], int | None]] = {
    ("gather", 1): _gathered,
    ("embedding_lookup", 0): lambda op: op.operand(1).shape[0],
    ("one_hot", 0): _depth,
    ("dynamic_update_slice", 2): _start,
    ("slice", 1): _slice_start,
    ("reverse_sequence", 1): lambda op: op.operand(0).shape[op.attributes["seq_dim"]] + 1,  # lengths
    ("topk_v2", 1): lambda op: op.operand(0).shape[-1] + 1,
}


def _onwards(module: Module, op: Op, index: int, step: _Step) -> Iterator[_Step]:
    """Where the operand goes from here."""
    if op.opcode in ALL_MOVE or index in MOVING.get(op.opcode, ()):
        columns = _columns(op, index, step)
        yield from (
            _Step(result, step.factor, step.shift, columns) for result in op.results if not result.dtype.is_float
        )
    elif op.opcode in ("add", "sub", "mul"):
        moved = _computed(op, index, step)
        if moved is not None:
            yield moved
    for name in CALLED_GRAPHS.get(op.opcode, ()):
        inputs = module.graphs[op.attributes[name]].inputs
        position = index - (op.opcode == "if")  # an if's first operand is the condition
        if 0 <= position < len(inputs):
            yield _Step(inputs[position], step.factor, step.shift)


def _columns(op: Op, index: int, step: _Step) -> tuple[int, int] | None:
    """The columns of the result's last axis that the operand fills, None where that is all or not known."""
    value, result = step.value, op.results[0]
    if op.opcode == "concatenation" and op.attributes["axis"] in (-1, value.type.rank - 1):
        return sum(op.operand(i).shape[-1] for i in range(index)), value.shape[-1]
    if op.opcode == "pack" and op.attributes["axis"] in (-1, value.type.rank):
        return index, 1
    return step.columns if value.shape[-1:] == result.shape[-1:] else None


def _computed(op: Op, index: int, step: _Step) -> _Step | None:
    """The step behind an addition, subtraction or multiplication; an operand of run time counts as nothing."""
    result, other = op.results[0], op.operand(1 - index).data
    if result.dtype.is_float:
        return None
    if other is None:
        return None if op.opcode == "mul" or index else _Step(result, step.factor, step.shift)
    number = int(np.max(other, initial=0))
    if op.opcode == "mul":
        return _Step(result, step.factor * number, step.shift * number)
    if op.opcode == "add":
        return _Step(result, step.factor, step.shift + number)
    return None if index else _Step(result, step.factor, step.shift - int(np.min(other, initial=number)))
