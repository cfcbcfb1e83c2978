"""The shapes that a model is traced with: its own, `--shape`, and 1 for an open batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .refusal import Refusal

Shapes = dict[str, list[int]]


def given_batch(inputs: Sequence[tuple[str, Any, Any]], shapes: Shapes) -> int:
    """The batch: what --shape gives an open first dimension, else 1."""
    open_ = [name for name, shape, _ in inputs if shape and next(iter(shape)) is None]
    given = [shapes[name][0] for name in open_ if shapes.get(name)]
    return given[0] if given else 1


def fixed(name: str, shape: Any, shapes: Shapes, batch: int = 1) -> list[int]:
    """The sizes an input is traced with; raises Refusal where `--shape` does not fit or is needed."""
    if shape is None:
        if name in shapes:
            return shapes[name]
        raise Refusal(f"input '{name}' has no shape; give it one with --shape {name}=SIZE,SIZE")
    sizes = list(shape)
    if name in shapes:
        given = shapes[name]
        if len(given) != len(sizes):
            raise Refusal(f"input '{name}' has {len(sizes)} dimensions ({_sizes(sizes)}), --shape gives {len(given)}")
        for axis, (size, wanted) in enumerate(zip(sizes, given)):
            if size not in (None, wanted):
                raise Refusal(f"dimension {axis} of input '{name}' is {size}, --shape gives {wanted}")
        return given
    unknown = [axis for axis, size in enumerate(sizes) if size is None and axis > 0]
    if unknown:
        example = _sizes([batch if axis == 0 and size is None else size for axis, size in enumerate(sizes)], "N")
        raise Refusal(f"dimension {unknown[0]} of input '{name}' is not fixed; fix it with --shape {name}={example}")
    return [batch if size is None else int(size) for size in sizes]


def _sizes(sizes: Sequence[Any], unknown: str = "?") -> str:
    return ",".join(unknown if size is None else str(size) for size in sizes)
