"""Checks what must hold of every pass: valid before and after, the same model, and nothing left for a second run.

checked = check_pass(TEXT, MoveTransposes())
assert checked.changed
assert "transpose" not in checked.opcodes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgec.ir.graph import Module, Op, Value
from edgec.ir.parser import parse_module
from edgec.ops import OP_DEFS, verify
from edgec.passes.base import Pass, PassContext
from edgec.runtime.evaluate import evaluate

RTOL = 1e-5  # float32 keeps 6e-8; sums in another order lose about two decimals
ATOL = 1e-6  # of the largest magnitude in the output: cancellation leaves an absolute error

Array = np.ndarray


@dataclass(frozen=True)
class Checked:
    """The module after the pass, and what the pass said."""

    module: Module
    changed: bool
    note: str
    context: PassContext

    @property
    def opcodes(self) -> list[str]:
        """Opcodes of the main graph in order."""
        return [op.opcode for op in self.module.main.ops]

    def op(self, opcode: str) -> Op:
        """The only op of the main graph with that opcode."""
        found = [op for op in self.module.main.ops if op.opcode == opcode]
        assert len(found) == 1, f"{len(found)} ops {opcode}"
        return found[0]


def check_pass(
    module: Module | str,
    pass_: Pass,
    *,
    rtol: float = RTOL,
    atol: float = ATOL,
    feeds: Mapping[str, Array] | None = None,
    context: PassContext | None = None,
) -> Checked:
    """Run a pass and check it; the module (or its text) is changed in place.

    Before and after it runs in LiteRT's own kernels on `feeds` (random ones, seed 0, where none are given), which
    together with the outputs follow `input_layout` and `output_layout`. A float passes where |difference| <=
    rtol * |expected| + atol * (largest finite |expected|); integers and booleans must be equal.
    """
    if isinstance(module, str):
        module = parse_module(module, OP_DEFS)
    context = context or PassContext()
    verify(module)
    inputs, outputs = [v.name for v in module.main.inputs], [v.name for v in module.main.outputs]
    layouts = dict(module.input_layout), dict(module.output_layout)
    given = random_feeds(module) if feeds is None else dict(feeds)
    expected = evaluate(module.main, given)

    result = pass_.run(module, context)
    assert not [note for note in context.notes if note.where.startswith("pass '")], "stopped before its work was done"
    verify(module)
    assert [v.name for v in module.main.inputs] == inputs
    assert [v.name for v in module.main.outputs] == outputs
    moved = {name: _relaid(a, layouts[0].get(name), module.input_layout.get(name)) for name, a in given.items()}
    found = evaluate(module.main, moved)
    for name, want, got in zip(outputs, expected, found):
        want = _relaid(want, layouts[1].get(name), module.output_layout.get(name))
        assert_close(name, got, want, rtol, atol)

    again = pass_.run(module, PassContext(target=context.target))
    assert not again.changed, f"a second run of {pass_.name} changes the module: {again.note}"
    return Checked(module, result.changed, result.note, context)


def random_feeds(module: Module, seed: int = 0) -> dict[str, Array]:
    """Random arrays for the main graph's inputs: normal floats, integers of the whole range, booleans."""
    rng = np.random.default_rng(seed)
    return {v.name: _random(rng, v) for v in module.main.inputs}


def _random(rng: np.random.Generator, value: Value) -> Array:
    dtype = value.dtype.numpy
    if value.dtype.is_float:
        return rng.standard_normal(value.shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, value.shape).astype(dtype)
    low, high = (-128, 128) if dtype.itemsize > 1 else (np.iinfo(dtype).min, np.iinfo(dtype).max + 1)
    return rng.integers(low, high, value.shape).astype(dtype)


def _relaid(array: Array, old: tuple[int, ...] | None, new: tuple[int, ...] | None) -> Array:
    """An array in the layout `old` brought to the layout `new`, both permutations of the source's axes."""
    if old == new:
        return array
    source = array if old is None else array.transpose(np.argsort(old))
    return np.ascontiguousarray(source if new is None else source.transpose(new))


def assert_close(name: str, got: Array, want: Array, rtol: float, atol: float) -> None:
    """Compare one output."""
    assert got.shape == want.shape, f"output '{name}': {got.shape}, expected {want.shape}"
    assert got.dtype == want.dtype, f"output '{name}': {got.dtype}, expected {want.dtype}"
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=f"output '{name}'")
        return
    finite = np.abs(want[np.isfinite(want)])
    scale = float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol * scale, err_msg=f"output '{name}'")
