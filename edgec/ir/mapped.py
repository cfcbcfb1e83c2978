"""Constants that are views of a mapped file: their pages are given back once they were read."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from edgec.ir.graph import Module

MIN_BYTES = 16 << 20  # below it the pages are not worth the system calls
_LONGEST_CHAIN = 32  # of views of views


def release_pages(module: Module) -> None:
    """Let the system drop the pages of mapped files behind large constants; they are read again when they are needed.

    The data stays as it is. Without it, a process that looked at every weight once counts the whole file as its own
    memory. Does nothing on systems without `madvise`.
    """
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if advice is None:
        return
    for one in {id(m): m for g in module.graphs for v in g.constants() if (m := _mapping(v.data)) is not None}.values():
        one.madvise(advice)


def _mapping(array: np.ndarray | None) -> mmap.mmap | None:
    """The read-only mapping that an array looks at, None for memory of its own."""
    if array is None or array.nbytes < MIN_BYTES or array.flags.writeable:
        return None
    base: Any = array
    for _ in range(_LONGEST_CHAIN):
        if isinstance(base, mmap.mmap):
            return base
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
        if base is None:
            return None
    return None
