"""Runs a pipeline: pass after pass, the verifier after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgec.errors import VerificationError
from edgec.ir.graph import Module
from edgec.ops import verify
from edgec.passes.base import Pass, PassContext


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one pass did: its options, whether it changed the module, the seconds it took, its note and figures."""

    name: str
    options: dict[str, Any]
    changed: bool
    seconds: float
    note: str
    figures: Mapping[str, int] = field(default_factory=dict)


def run_passes(
    module: Module,
    passes: Sequence[Pass],
    context: PassContext,
    *,
    after_each: Callable[[Pass, Module], None] | None = None,
) -> list[PassRecord]:
    """Run passes in order on a valid module, verifying after each that changed it, and in the end in any case.

    Raises:
        PassError: a pass cannot work on this module.
        AssertionError: a pass broke the module, which is a fault of edgec.
    """
    records: list[PassRecord] = []
    unverified: list[str] = []
    for pass_ in passes:
        start = time.perf_counter()
        result = pass_.run(module, context)
        unverified.append(pass_.name)
        if result.changed or pass_ is passes[-1]:
            _verify_after(unverified, module)
            unverified = []
        seconds = time.perf_counter() - start
        records.append(
            PassRecord(pass_.name, pass_.options(), result.changed, seconds, result.note, dict(result.figures))
        )
        if after_each is not None:
            after_each(pass_, module)
    return records


def _verify_after(names: Sequence[str], module: Module) -> None:
    """Check the module after the passes `names`: the last, and those before it that reported no change."""
    try:
        verify(module)
    except VerificationError as error:
        what = f"pass '{names[-1]}'" if len(names) == 1 else f"one of the passes {', '.join(names)}"
        raise AssertionError(f"{what} broke the module: {error}") from error
