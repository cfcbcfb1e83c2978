"""Whether recurrent layers and loops are written out step by step although TFLite has one op for them.

Where a target computes in int8 only, nothing else runs: the fused LSTM keeps its state in float, and graphs that a
`while` calls are not quantized.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_UNROLLS: ContextVar[bool] = ContextVar("edgec_unrolls_loops", default=False)


@contextmanager
def unrolled_loops(wanted: bool = True) -> Iterator[None]:
    """Write out recurrent layers and loops of a known number of steps in all that is read inside of this."""
    token = _UNROLLS.set(wanted)
    try:
        yield
    finally:
        _UNROLLS.reset(token)


def unrolls_loops() -> bool:
    """True inside of `unrolled_loops`."""
    return _UNROLLS.get()
