"""Says why a transpose is left: what on either side of it cannot follow another order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from edgec.passes.layout.assignment import Assignment
from edgec.passes.layout.graph_layout import GraphLayout
from edgec.passes.layout.part import Mode, Part, SpacePart, TransposePart
from edgec.passes.layout.rules import RESHAPES


def explain_transposes(layout: GraphLayout) -> Iterator[str]:
    """A sentence for each transpose of a graph, in order."""
    for op in layout.graph.ops:
        if op.opcode != "transpose":
            continue
        part = layout.parts[op][0]
        if not isinstance(part, TransposePart):
            yield f"{op.describe()} stays: its permutation or its shape is only known at run time."
            continue
        before = _held_by(layout.assignment, part, forward=False)
        after = _held_by(layout.assignment, part, forward=True)
        reasons = [reason for reason in (before, after) if reason]
        if len(reasons) < 2:
            reasons.append("undoing it elsewhere would move as many bytes")
        yield f"{op.describe()} moves {op.result.type.bytes} bytes: {' and '.join(reasons)}."


def _held_by(assignment: Assignment, transpose: TransposePart, *, forward: bool) -> str | None:
    """What stops the order on one side of a transpose from being used further that way; None where nothing does."""
    start = transpose.mode_for(0, transpose.slots[0].plain) if forward else transpose.mode
    if start is None:
        return "it cuts an axis that was never whole"
    frame: dict[Part, Mode] = {transpose: start}
    queue: deque[Part] = deque([transpose])
    while queue:
        part = queue.popleft()
        for edge in assignment.edges_of[part]:
            ahead = part is edge.producer
            if part is transpose and ahead is not forward:
                continue
            there, slot, here = (edge.user, edge.into, edge.out) if ahead else (edge.producer, edge.out, edge.into)
            if there in frame:
                continue
            followed = there.mode_for(slot, frame[part].orders[here])
            if followed is None:
                return _refusal(there, part, reads=ahead)
            frame[there] = followed
            queue.append(there)
    return None


def _refusal(part: Part, before: Part, *, reads: bool) -> str:
    """Why a part does not take an order that comes from `before`."""
    if part.op is None:
        return f"{'output' if reads else 'input'} '{part.slots[0].value.name}' keeps its axes"
    where = part.op.describe()
    if isinstance(part, SpacePart) and before.op is not None and before.op.opcode in RESHAPES:
        return f"the reshape '{before.op.name}' mixes axes that {where} needs whole"
    if isinstance(part, SpacePart):
        return f"{where} needs its axes where they are"
    return f"{where} reads its operand as written" if reads else f"{where} gives its result as written"
