"""How many bytes of constants an import may make: a few hundred bytes of a file can ask for any number of gigabytes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.frontends.onnx.node import Refusal

FIRST_BYTES = 512 << 20
BYTES_PER_STORED_BYTE = 16  # weights are turned, unpacked from int4 and taken apart
MAX_ELEMENTS = 1 << 26  # of one constant


def check_elements(shape: Sequence[int]) -> None:
    """Refuse a constant of more than 2^26 elements before it is made."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise Refusal(f"it needs a constant of shape {list(shape)}, more than {MAX_ELEMENTS} elements")


class Allowance:
    """What is left to make constants of; it grows with the data that the file really holds."""

    def __init__(self) -> None:
        self.left_bytes = FIRST_BYTES

    def add(self, stored: np.ndarray) -> None:
        """The file holds this array."""
        self.left_bytes += stored.nbytes * BYTES_PER_STORED_BYTE

    def take(self, made: np.ndarray) -> None:
        """Use some for a constant; raises Refusal where too little is left."""
        wanted = _held_bytes(made)
        if wanted > self.left_bytes:
            raise Refusal(
                f"it makes a constant of {wanted >> 20} MiB, and all that are made at import pass "
                f"{FIRST_BYTES >> 20} MiB and {BYTES_PER_STORED_BYTE} times the file's own weights"
            )
        self.left_bytes -= wanted


def _held_bytes(array: np.ndarray) -> int:
    """What it takes in memory: one number that is repeated along an axis is held once."""
    bytes_: int = array.itemsize * math.prod(n for n, stride in zip(array.shape, array.strides) if stride)
    return bytes_
