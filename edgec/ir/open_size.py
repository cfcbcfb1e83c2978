"""A size that the artifact may be resized from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class OpenSize(int):
    """A size of an input that may be another when the artifact runs.

    Everything is translated for this size, but a front end then writes nothing that holds at this size alone where
    there is a form that holds at all: the padding of a strided window, say, stays what the model states.
    """


def has_open_size(shapes: Mapping[str, Sequence[int]], first_axis: int = 1) -> bool:
    """True where a dimension from `first_axis` on is open; those before it (the batch) matter to no window."""
    return any(_any_open(sizes[first_axis:]) for sizes in shapes.values())


def _any_open(sizes: Iterable[int]) -> bool:
    return any(isinstance(size, OpenSize) for size in sizes)
