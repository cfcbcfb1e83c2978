"""Texts in, op lines out, for passes that need a target; numbers are compared in the runtime of that target."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.ir.graph import Module
from edgec.ir.parser import parse_module
from edgec.ir.printer import print_module
from edgec.ops import OP_DEFS, verify
from edgec.passes.base import PassContext
from edgec.passes.legalize.legalize import Legalize
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import TFLMSession
from edgec.target import Target, load_target


@dataclass(frozen=True)
class Legal:
    """What legalization made of a text, and the outputs in the target's runtime on three random inputs."""

    module: Module
    note: str
    opcodes: list[str]
    lines: list[str]


def parsed(text: str) -> Module:
    module = parse_module(textwrap.dedent(text), OP_DEFS)
    verify(module)
    return module


def feeds(module: Module) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(7)

    def one(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if dtype.kind == "f":
            return (rng.standard_normal(shape) * 4).astype(dtype)
        return rng.integers(-128, 128, shape).astype(dtype)

    return [[one(v.shape, v.dtype.numpy) for v in module.main.inputs] for _ in range(3)]


def outputs(module: Module, runtime: str) -> list[np.ndarray]:
    data = serialize(module)
    if runtime == "tflm":
        tflm = TFLMSession(data, 1 << 20)
        return [out for feed in feeds(module) for out in tflm.run(feed)]
    session = LiteRTSession(data, reference_kernels=runtime == "reference")
    return [out for feed in feeds(module) for out in session.run(feed)]


Legalized = Callable[..., Legal]


@pytest.fixture
def legalized() -> Legalized:
    """`legalized(text, target)`: runs, compares with LiteRT's reference kernels on the text as it was, runs again.

    `expected` gives the numbers where the text itself runs nowhere; `tolerance` is absolute, for float.
    """

    def run(
        text: str,
        target: str | Target,
        *,
        expected: Callable[..., np.ndarray] | None = None,
        tolerance: float = 1e-5,
    ) -> Legal:
        chosen = load_target(target) if isinstance(target, str) else target
        module = parsed(text)
        if expected is None:
            before = outputs(module, "reference")
        else:
            before = [expected(*feed) for feed in feeds(module)]
        result = Legalize().run(module, PassContext(target=chosen))
        verify(module)
        for old, new in zip(before, outputs(module, chosen.runtime), strict=True):
            if old.dtype.kind == "f":
                np.testing.assert_allclose(new, old, rtol=1e-5, atol=tolerance)
            else:
                np.testing.assert_array_equal(new, old)
        once = print_module(module, OP_DEFS)
        assert not Legalize().run(module, PassContext(target=chosen)).changed
        assert print_module(module, OP_DEFS) == once
        lines = [line.strip() for line in once.splitlines()]
        ops = [line for line in lines if "(" in line and " = " in line and " = constant " not in line]
        return Legal(module, result.note, [op.opcode for op in module.main.ops], [o for o in ops if "graph" not in o])

    return run
