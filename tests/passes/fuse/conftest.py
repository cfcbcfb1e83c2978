"""Texts in, op lines out; every run is verified, compared in LiteRT, and made twice."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.ir.graph import Module, Value
from edgec.ir.parser import parse_module
from edgec.ir.printer import print_module
from edgec.ops import OP_DEFS, verify
from edgec.passes.base import Pass, PassContext
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import TFLMSession

RELATIVE = 1e-5  # float32 sums in another order; values here stay below 1e3
Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Ran:
    """What a pass made of a text."""

    module: Module
    changed: bool
    lines: list[str]
    refusals: list[str]


def op_lines(module: Module) -> list[str]:
    """The lines of ops of the main graph, constants left out."""
    text = print_module(module, OP_DEFS)
    lines = [line.strip() for line in text.splitlines()]
    ops = [line for line in lines if "(" in line and " = " in line and not line.startswith("graph")]
    return [line for line in ops if " = constant " not in line]


def parsed(text: str) -> Module:
    module = parse_module(textwrap.dedent(text), OP_DEFS)
    verify(module)
    return module


def feed(value: Value, rng: np.random.Generator) -> np.ndarray:
    if value.dtype.is_float:
        return (rng.standard_normal(value.shape) * 4).astype(value.dtype.numpy)
    return rng.integers(-128, 128, value.shape).astype(value.dtype.numpy)


def outputs(module: Module, runtime: str = "litert") -> Arrays:
    rng = np.random.default_rng(7)
    data = serialize(module)
    session = TFLMSession(data, 1 << 20) if runtime == "tflm" else LiteRTSession(data, reference_kernels=True)
    return [out for _ in range(3) for out in session.run([feed(v, rng) for v in module.main.inputs])]


def assert_close(before: Arrays, after: Arrays) -> None:
    for old, new in zip(before, after, strict=True):
        if old.dtype.kind == "f":
            np.testing.assert_allclose(new, old, rtol=RELATIVE, atol=RELATIVE * max(1.0, float(np.abs(old).max())))
        else:
            np.testing.assert_array_equal(new, old)


Runner = Callable[..., Ran]


@pytest.fixture
def run() -> Runner:
    """`run(text, pass_)`: verify, run, verify, compare numbers, run again; `runnable=False` compares none."""

    def run_pass(text: str, pass_: Pass, *, runnable: bool = True, runtimes: tuple[str, ...] = ("litert",)) -> Ran:
        module = parsed(text)
        before = {runtime: outputs(module, runtime) for runtime in runtimes} if runnable else {}
        names = [v.name for v in (*module.main.inputs, *module.main.outputs)]
        context = PassContext(explain=True)
        result = pass_.run(module, context)
        verify(module)
        assert [v.name for v in (*module.main.inputs, *module.main.outputs)] == names
        for runtime, expected in before.items():
            assert_close(expected, outputs(module, runtime))
        once = print_module(module, OP_DEFS)
        assert not pass_.run(module, PassContext()).changed
        assert print_module(module, OP_DEFS) == once
        assert result.changed == (print_module(parsed(text), OP_DEFS) != once)
        return Ran(module, result.changed, op_lines(module), [f"{rule}: {why}" for rule, _, why in context.refusals])

    return run_pass
