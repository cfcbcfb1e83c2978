"""Runs a pipeline: pass after pass, the verifier after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgec.errors import VerificationError
from edgec.ir.graph import Module
from edgec.ops import verify
from edgec.passes.base import Pass, PassContext


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What one pass did: its options, whether it changed the module, the seconds it took, and its note."""

    name: str
    options: dict[str, Any]
    changed: bool
    seconds: float
    note: str


def run_passes(
    module: Module,
    passes: Sequence[Pass],
    context: PassContext,
    *,
    after_each: Callable[[Pass, Module], None] | None = None,
) -> list[PassRecord]:
    """Run passes in order on a valid module, verifying after each.

    Raises:
        PassError: a pass cannot work on this module.
        AssertionError: a pass broke the module, which is a fault of edgec.
    """
    records = []
    for pass_ in passes:
        start = time.perf_counter()
        result = pass_.run(module, context)
        if result.changed:
            try:
                verify(module)
            except VerificationError as error:
                raise AssertionError(f"pass '{pass_.name}' broke the module: {error}") from error
        records.append(
            PassRecord(pass_.name, pass_.options(), result.changed, time.perf_counter() - start, result.note)
        )
        if after_each is not None:
            after_each(pass_, module)
    return records
