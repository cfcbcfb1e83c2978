"""Gives a network's example inputs other shapes, and says which of their dimensions are exported as dynamic."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from edgec.errors import ImportFailure
from edgec.ir.open_size import OpenSize

Shapes = Mapping[str, Sequence[int]]
IMAGE_RANKS = (4, 5)


def with_shapes(
    network: Any, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Shapes, doing: str
) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any] | None]:
    """The arguments with their elements repeated or cut to `shapes`, and `dynamic_shapes` for torch.export.

    torch.export takes a dynamic size of 1 for a fixed one, so such examples get 2.

    Raises:
        ImportFailure: there is no such argument, it is no tensor, or it has another rank.
    """
    import torch

    bound = inspect.signature(network.forward).bind(*args, **kwargs)
    dynamic: dict[str, Any] = dict.fromkeys(bound.arguments)
    for name, given in shapes.items():
        tensor = bound.arguments.get(name)
        if not isinstance(tensor, torch.Tensor):
            names = ", ".join(n for n, value in bound.arguments.items() if isinstance(value, torch.Tensor))
            raise ImportFailure(f"{doing}: there is no input '{name}' (--shape); the inputs are {names}.")
        if len(given) != tensor.dim():
            raise ImportFailure(f"{doing}: input '{name}' has {tensor.dim()} dimensions, --shape gives {len(given)}.")
        sizes = _channels_first(given, tuple(tensor.shape))
        bound.arguments[name] = _resized(tensor, [max(s, 2) if isinstance(s, OpenSize) else s for s in sizes])
        open_axes = [axis for axis, size in enumerate(sizes) if isinstance(size, OpenSize)]
        dynamic[name] = dict.fromkeys(open_axes, torch.export.Dim.AUTO) or None
    return bound.args, bound.kwargs, dynamic if any(dynamic.values()) else None


def _channels_first(given: Sequence[int], example: Sequence[int]) -> Sequence[int]:
    """Sizes in torch's order; those of an image whose channels stand last are turned."""
    channels_last = len(given) in IMAGE_RANKS and given[1] != example[1] and given[-1] == example[1]
    return (given[0], given[-1], *given[1:-1]) if channels_last else given


def _resized(tensor: Any, sizes: Sequence[int]) -> Any:
    """The tensor with its elements repeated or cut along each axis."""
    import torch

    for axis, size in enumerate(sizes):
        if tensor.shape[axis] != size:
            tensor = tensor.index_select(axis, torch.arange(size) % tensor.shape[axis])
    return tensor
