"""Ops that torch's ONNX exporter has no translation for (as of 2.13), or a costly one, in terms of ops that it has.

Each function takes what the aten op takes and gives what it gives; torch traces it in place of the op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

Table = dict[Any, Callable[..., Any]]


def decomposed(program: Any) -> Any:
    """`program` without the ops of `decompositions`; itself where it has none of them."""
    table = decompositions()
    parts = [part for part in program.graph_module.modules() if hasattr(part, "graph")]
    found = {node.target for part in parts for node in part.graph.nodes}
    present = {op: function for op, function in table.items() if op in found}
    return program.run_decompositions(present) if present else program


def decompositions() -> Table:
    """The functions by the overload they stand for."""
    import torch

    aten = torch.ops.aten
    return {
        aten.adaptive_max_pool1d.default: lambda x, size: adaptive_max_pool(x, size),
        aten.adaptive_max_pool2d.default: lambda x, size: adaptive_max_pool(x, size),
        aten.adaptive_max_pool3d.default: lambda x, size: adaptive_max_pool(x, size),
        aten.cdist.default: cdist,
        aten.cumprod.default: cumprod,
        aten.kthvalue.default: kthvalue,
        aten.median.default: lambda x: kthvalue(x.flatten(), (x.numel() + 1) // 2)[0],
        aten.median.dim: lambda x, dim, keepdim=False: kthvalue(x, (x.size(dim) + 1) // 2, dim, keepdim),
        aten.rrelu.default: rrelu,
        aten.searchsorted.Tensor: searchsorted,
        aten.upsample_linear1d.vec: upsample_linear1d,
    }


def adaptive_max_pool(x: Any, size: Sequence[int]) -> tuple[Any, Any]:
    """The maximum of each of `size` bins of the last axes, and its flat place within them.

    Bin i of n over an axis of length s is floor(i * s / n) to ceil((i + 1) * s / n), as torch has it.
    """
    import torch

    lengths = list(x.shape[-len(size) :])
    if len(size) == 2 and max(size) > 1 and not any(s % n for s, n in zip(lengths, size)):
        window = [s // n for s, n in zip(lengths, size)]
        return torch.ops.aten.max_pool2d_with_indices.default(x, window, window)  # type: ignore[no-any-return]
    bins = [[(i * s // n, -(-(i + 1) * s // n)) for i in range(n)] for s, n in zip(lengths, size)]
    maxima = x
    for axis, parts in enumerate(bins, start=-len(size)):
        each = [maxima.narrow(axis, start, stop - start).amax(axis, keepdim=True) for start, stop in parts]
        maxima = torch.cat(each, axis) if len(each) > 1 else each[0]
    if max(size) == 1:
        maxima = x.amax(list(range(-len(size), 0)), keepdim=True)
    places = [_place_of_maximum(x, cell, lengths) for cell in product(*bins)]
    return maxima, torch.stack(places, -1).reshape(maxima.shape)


def _place_of_maximum(x: Any, cell: Sequence[tuple[int, int]], lengths: Sequence[int]) -> Any:
    """The flat place in the last axes, `lengths` long, of the first maximum between each axis' start and stop."""
    rank = len(cell)
    for axis, (start, stop) in enumerate(cell, start=-rank):
        x = x.narrow(axis, start, stop - start)
    inside, place, step = x.flatten(-rank).argmax(-1), 0, 1
    for (start, stop), length in zip(reversed(cell), reversed(lengths)):
        place = place + (inside % (stop - start) + start) * step
        inside, step = inside // (stop - start), step * length
    return place


def cdist(a: Any, b: Any, p: float = 2.0, compute_mode: int | None = None) -> Any:
    """Distances [..., P, R] of rows [..., P, M] to rows [..., R, M]."""
    import torch

    difference = a.unsqueeze(-2) - b.unsqueeze(-3)
    return torch.linalg.vector_norm(difference, p, -1)


def cumprod(x: Any, dim: int, dtype: Any = None) -> Any:
    """Products of the first, first two, … entries of an axis, as products of rows of a masked matrix."""
    import torch

    x = (x if dtype is None else x.to(dtype)).movedim(dim, -1)
    if dtype is None and not x.is_floating_point():
        x = x.to(torch.int64)
    counted = torch.ones(x.size(-1), x.size(-1), dtype=torch.bool, device=x.device).tril()
    return torch.where(counted, x.unsqueeze(-2), 1).prod(-1).movedim(-1, dim)


def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Any, Any]:
    """The k-th smallest entry of an axis, counted from 1, and its place."""
    values, places = x.sort(dim)
    values, places = values.narrow(dim, k - 1, 1), places.narrow(dim, k - 1, 1)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def rrelu(x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None) -> Any:
    """Outside of training, a leaky ReLU of the mean slope."""
    import torch

    return torch.nn.functional.leaky_relu(x, (lower + upper) / 2)


def searchsorted(
    edges: Any, x: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None, sorter: Any = None
) -> Any:
    """How many of the sorted `edges` [..., n] lie before each entry of `x`: a place to insert it at."""
    import torch

    if sorter is not None:
        edges = edges.gather(-1, sorter)
    if edges.dim() > 1:
        edges = edges.unsqueeze(-2)
    entries = x.unsqueeze(-1)
    before = edges <= entries if right or side == "right" else edges < entries
    return before.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


def upsample_linear1d(
    x: Any, output_size: Sequence[int] | None, align_corners: bool, scale_factors: Sequence[float] | None
) -> Any:
    """A row of an image: the exporter has Resize for images, and gathers for sequences."""
    import torch

    size = None if output_size is None else [1, *output_size]
    scales = None if scale_factors is None else [1.0, *scale_factors]
    return torch.ops.aten.upsample_bilinear2d.vec(x.unsqueeze(-2), size, align_corners, scales).squeeze(-2)
