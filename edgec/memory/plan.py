"""What the memory planner reads and decides: live ranges and the offsets given to them."""

from dataclasses import dataclass

ALIGNMENT = 16
"""Bytes. TFLM rounds every arena buffer up to this, and places it at a multiple of it (MicroArenaBufferAlignment)."""


@dataclass(frozen=True, slots=True)
class LiveRange:
    """A tensor that occupies `bytes` of memory from step `first` to step `last`, both inclusive.

    Steps count ops in execution order from 0. Two ranges that share a step may not share an address.
    """

    name: str
    bytes: int
    first: int
    last: int

    def __post_init__(self) -> None:
        if self.bytes < 0:
            raise ValueError(f"live range '{self.name}' has {self.bytes} bytes")
        if self.first < 0 or self.last < self.first:
            raise ValueError(f"live range '{self.name}' runs from step {self.first} to step {self.last}")


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Offsets in bytes, one for each live range in the order given, and what is known about their quality.

    `lower_bound_bytes` is the largest sum of aligned sizes live at one step, `peak_step` the first such step.
    `proven_optimal` says that no plan without overlap is smaller: the bound is met, or the search was exhausted.
    `method` names what found the plan.
    """

    offsets: tuple[int, ...]
    peak_bytes: int
    lower_bound_bytes: int
    alignment: int
    method: str
    proven_optimal: bool
    peak_step: int


def round_up(size: int, alignment: int) -> int:
    """The smallest multiple of `alignment` that is at least `size`; both in bytes."""
    return -(-size // alignment) * alignment
