"""Finds the pass that changes what a float module computes, by running the passes once more, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgec.driver.agreement import departure, share_text
from edgec.driver.cutout import MAX_TAPPED_BYTES, evaluate, in_order, ops_between
from edgec.driver.runner import feeds_in_own_layout
from edgec.errors import RuntimeFailure
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module, Op, Value
from edgec.passes.base import Pass, PassContext
from edgec.target.target import Target

Arrays = Mapping[str, np.ndarray]
SAME = 1e-5


@dataclass(frozen=True)
class FoundPass:
    """A pass after which an output departs, by how much, and the first op behind it whose value is new."""

    name: str
    share: float
    op: str | None

    def __str__(self) -> str:
        where = f"; the first op that departs then is {self.op}" if self.op else ""
        after = f"after which it departs {share_text(self.share)}{where}"
        return f"the translation agrees until pass '{self.name}', {after}"


def sweep_passes(
    module: Module, passes: Sequence[Pass], target: Target, feeds: Arrays, departs: Callable[[Module], float],
    tolerance: float = SAME,
) -> FoundPass | None:  # fmt: skip
    """Run `passes` on `module` in order until `departs` says by how much its outputs depart; None where they never do.

    `feeds` are in the source's layout, for comparing inner values before and after the pass, where those that differ
    by no more than `tolerance` of their range are the same.

    Raises:
        RuntimeFailure: LiteRT refuses a module on the way.
    """
    context = PassContext(target)
    for pass_ in passes:
        before = clone_module(module)
        if not pass_.run(module, context).changed:
            continue
        share = departs(module)
        if share:
            op = _first_op(before, module, feeds, tolerance)
            return FoundPass(pass_.name, share, None if op is None else op.describe())
    return None


def _first_op(before: Module, after: Module, feeds: Arrays, tolerance: float) -> Op | None:
    """The first op whose result is none of the values before the pass, though all that it takes are.

    Only ops on which a departing output depends count: what departs and leads to a value that agrees is a rewrite.
    """
    try:
        known = _Known(_values(before, feeds), tolerance)
        found = _values(after, feeds)
    except (RuntimeFailure, MemoryError):
        return None
    agreeing = [value for value, array in found.items() if known.holds(value.name, array)]
    outputs = [value for value in after.main.outputs if value not in agreeing]
    between = in_order(after.main, ops_between(agreeing, outputs))
    return between[0] if between else None


def _values(module: Module, feeds: Arrays) -> dict[Value, np.ndarray]:
    """Every result of the main graph; raises MemoryError where they are too many to be held at once."""
    wanted = [result for op in module.main.ops for result in op.results]
    if sum(value.type.bytes for value in wanted) > MAX_TAPPED_BYTES:
        raise MemoryError
    own = feeds_in_own_layout(feeds, module)
    return dict(zip(wanted, evaluate(module, {v: own[v.name] for v in module.main.inputs}, wanted)))


class _Known:
    """The values before a pass, found again by name, else by their numbers: passes reshape and move channels last."""

    def __init__(self, values: Mapping[Value, np.ndarray], tolerance: float) -> None:
        self._tolerance = tolerance
        self._named = {value.name: array for value, array in values.items()}
        self._by_size: dict[int, list[np.ndarray]] = {}
        for array in values.values():
            self._by_size.setdefault(array.size, []).append(array)

    def holds(self, name: str, array: np.ndarray) -> bool:
        """True where the value of this name, else any value, had these numbers, maybe with its channels elsewhere."""
        named = self._named.get(name)
        if named is not None and named.size == array.size:
            return _same(named, array, self._tolerance)
        return any(_same(want, array, self._tolerance) for want in self._by_size.get(array.size, []))


def _same(want: np.ndarray, have: np.ndarray, tolerance: float) -> bool:
    arrangements = [have]
    if have.ndim > 2:
        arrangements += [np.moveaxis(have, -1, 1), np.moveaxis(have, 1, -1)]
    return any(not departure(want, np.ascontiguousarray(one).reshape(want.shape), tolerance) for one in arrangements)
