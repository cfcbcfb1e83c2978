"""Ops that torch's ONNX exporter has no translation for (as of 2.13), or a costly one, in terms of ops that it has.

Each function takes what the aten op takes and gives what it gives; torch traces it in place of the op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

LARGEST_ELIMINATED = 32  # rows of a matrix
Table = dict[Any, Callable[..., Any]]


def decomposed(program: Any) -> Any:
    """`program` without the ops of `decompositions`; itself where it has none of them."""
    table = decompositions()
    parts = [part for part in program.graph_module.modules() if hasattr(part, "graph")]
    nodes = [node for part in parts for node in part.graph.nodes]
    found = {node.target for node in nodes}
    found |= {functional for op, functional in _functional_forms().items() if op in found}
    present = {op: function for op, function in table.items() if op in found}
    present |= _of_projected_lstms(nodes)
    return program.run_decompositions(present) if present else program


def _of_projected_lstms(nodes: Sequence[Any]) -> Table:
    """torch's own steps of an LSTM where one projects its state: the exporter, and ONNX, have no such LSTM."""
    import torch

    lstm = torch.ops.aten.lstm.input
    states = [[state.meta["val"] for state in node.args[1]] for node in nodes if node.target is lstm]
    projected = any(hidden.shape[-1] != cell.shape[-1] for hidden, cell in states)
    return dict(torch._decomp.get_decompositions([lstm])) if projected else {}


def _functional_forms() -> dict[Any, Any]:
    """What torch makes of ops that change their operand before it looks for them here."""
    import torch

    aten = torch.ops.aten
    return {
        aten.index_put_.default: aten.index_put.default,
        aten.scatter_reduce_.two: aten.scatter_reduce.two,
    }


def decompositions() -> Table:
    """The functions by the overload they stand for."""
    import torch

    aten = torch.ops.aten
    return {
        aten._is_all_true.default: lambda x: x.all(),
        aten.adaptive_max_pool1d.default: lambda x, size: adaptive_max_pool(x, size),
        aten.adaptive_max_pool2d.default: lambda x, size: adaptive_max_pool(x, size),
        aten.adaptive_max_pool3d.default: lambda x, size: adaptive_max_pool(x, size),
        aten.cdist.default: cdist,
        aten.copysign.Tensor: lambda x, sign: x.abs() * torch.where(sign < 0, -1.0, 1.0),
        aten.cummax.default: lambda x, dim: running_extreme(x, dim, largest=True),
        aten.cummin.default: lambda x, dim: running_extreme(x, dim, largest=False),
        aten.cumprod.default: cumprod,
        aten.embedding_bag.default: embedding_bag,
        aten.embedding_bag.padding_idx: embedding_bag,
        aten.fmax.default: lambda a, b: _unless_nan(a, b, torch.maximum(a, b)),
        aten.fmin.default: lambda a, b: _unless_nan(a, b, torch.minimum(a, b)),
        aten.hypot.default: lambda a, b: (a * a + b * b).sqrt(),
        aten.index_put.default: index_put,
        aten.inverse.default: lambda a: inverse(a)[0],
        aten.kthvalue.default: kthvalue,
        aten.linalg_inv.default: lambda a: inverse(a)[0],
        aten.linalg_solve.default: lambda a, b, left=True: solve(a, b, left=left)[0],
        aten._linalg_solve_ex.default: solve,
        aten.linalg_inv_ex.default: inverse,
        aten.median.default: lambda x: kthvalue(x.flatten(), (x.numel() + 1) // 2)[0],
        aten.median.dim: lambda x, dim, keepdim=False: kthvalue(x, (x.size(dim) + 1) // 2, dim, keepdim),
        aten.rrelu.default: rrelu,
        aten.scatter_reduce.two: scatter_reduce,
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


def embedding_bag(
    weight: Any, indices: Any, offsets: Any, scale_grad_by_freq: bool = False, mode: int = 0, sparse: bool = False,
    per_sample_weights: Any = None, include_last_offset: bool = False, padding_idx: int | None = None,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """Sums (mode 0), means (1) or maxima (2) of rows of a table: bag i has the rows from offset i to the next one.

    A table of which row is in which bag, [bags, rows], takes the place of loops; of the four results only the first
    is computed, the others serve gradients.
    """
    import torch

    count = indices.size(0)
    starts, ends = (offsets[:-1], offsets[1:]) if include_last_offset else (offsets, offsets[1:])
    if not include_last_offset:
        ends = torch.cat([ends, ends.new_full((1,), count)])
    places = torch.arange(count, device=indices.device)
    member = (places >= starts.unsqueeze(1)) & (places < ends.unsqueeze(1))
    if padding_idx is not None and padding_idx >= 0:
        member = member & (indices != padding_idx)
    rows, sizes = weight.index_select(0, indices), member.sum(1)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    if mode == 2:
        bags = torch.where(member.unsqueeze(2), rows, torch.finfo(rows.dtype).min).amax(1)
        bags = torch.where((sizes > 0).unsqueeze(1), bags, 0.0)
    else:
        bags = member.to(rows.dtype) @ rows
        if mode == 1:
            bags = bags / sizes.clamp(min=1).to(rows.dtype).unsqueeze(1)
    nothing = torch.zeros(0, dtype=indices.dtype, device=indices.device)
    return bags, nothing, sizes, nothing


def inverse(a: Any, check_errors: bool = False) -> tuple[Any, Any]:
    """The inverse of [..., n, n] and zeros, which say that it exists; where it does not, infinities or NaN come out."""
    import torch

    eye = torch.eye(a.size(-1), dtype=a.dtype, device=a.device).expand(a.shape)
    return _eliminated(a, eye), torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)


def solve(a: Any, b: Any, *, left: bool = True, check_errors: bool = False) -> tuple[Any, Any, Any, Any]:
    """x of a x = b, or of x a = b; the factors of `a` that torch gives beside it are not computed."""
    import torch

    vector = b.dim() == a.dim() - 1 and tuple(b.shape) == tuple(a.shape[:-1])
    right = b.unsqueeze(-1) if vector else b
    x = _eliminated(a, right) if left or vector else _eliminated(a.mT, right.mT).mT
    info = torch.zeros(a.shape[:-2], dtype=torch.int32, device=a.device)
    return x.squeeze(-1) if vector else x, a, info.unsqueeze(-1).expand(a.shape[:-1]), info


def _eliminated(a: Any, b: Any) -> Any:
    """Gauss-Jordan elimination of [a | b] with the largest pivot of each column: what `b` becomes where `a` is one."""
    import torch

    n = a.size(-1)
    if n > LARGEST_ELIMINATED:
        raise NotImplementedError(
            f"the inverse of {n} x {n} matrices is written out step by step, for at most {LARGEST_ELIMINATED} rows"
        )
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    joined = torch.cat([a.expand(*batch, *a.shape[-2:]), b.expand(*batch, *b.shape[-2:])], -1)
    places = torch.arange(n, device=a.device)
    for k in range(n):
        candidates = torch.where(places >= k, joined[..., k].abs(), -1.0)
        pivot = (places == candidates.argmax(-1, keepdim=True)).to(a.dtype).unsqueeze(-1)  # [..., n, 1]
        here = (places == k).to(a.dtype).unsqueeze(-1)
        row, own = (joined * pivot).sum(-2, keepdim=True), joined[..., k : k + 1, :]
        joined = joined + (here - pivot) * (row - own)
        row = row / row[..., k : k + 1]
        joined = joined * (1 - here) + (here - joined[..., k : k + 1] * (1 - here)) * row
    return joined[..., n:]


def running_extreme(x: Any, dim: int, *, largest: bool) -> tuple[Any, Any]:
    """The largest or smallest of the first, first two, … entries of an axis, and the last place that holds it."""
    import torch

    x = x.movedim(dim, -1) if largest else -x.movedim(dim, -1)
    counted = torch.ones(x.size(-1), x.size(-1), dtype=torch.bool, device=x.device).tril()
    least = torch.finfo(x.dtype).min if x.is_floating_point() else torch.iinfo(x.dtype).min
    each = torch.where(counted, x.unsqueeze(-2), least)
    places = x.size(-1) - 1 - each.flip(-1).argmax(-1)
    values = each.amax(-1) if largest else -each.amax(-1)
    return values.movedim(-1, dim), places.movedim(-1, dim)


def index_put(x: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    """`x[mask] = values` where each marked place gets the same: a choice, as the places have no fixed number."""
    import torch

    masks = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if accumulate or len(masks) != 1 or masks[0][1].dtype != torch.bool:
        return NotImplemented
    axis, mask = masks[0]
    behind = x.dim() - axis - mask.dim()
    same_everywhere = values.dim() <= behind if axis == 0 else values.dim() == 0
    if not same_everywhere:
        return NotImplemented
    return torch.where(mask.reshape(*mask.shape, *[1] * behind), values.to(x.dtype), x)


def _unless_nan(a: Any, b: Any, chosen: Any) -> Any:
    import torch

    return torch.where(torch.isnan(a), b, torch.where(torch.isnan(b), a, chosen))


def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Any, Any]:
    """The k-th smallest entry of an axis, counted from 1, and its place."""
    values, places = x.sort(dim)
    values, places = values.narrow(dim, k - 1, 1), places.narrow(dim, k - 1, 1)
    return (values, places) if keepdim else (values.squeeze(dim), places.squeeze(dim))


def rrelu(x: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, generator: Any = None) -> Any:
    """Outside of training, a leaky ReLU of the mean slope."""
    import torch

    return torch.nn.functional.leaky_relu(x, (lower + upper) / 2)


def scatter_reduce(x: Any, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
    """Means, and results without what a place held before: ONNX, and the exporter, know neither."""
    import torch

    if include_self and reduce != "mean":
        return NotImplemented
    count = torch.zeros_like(x).scatter_add(dim, index, torch.ones_like(src))
    if reduce == "mean":
        if not x.is_floating_point():
            return NotImplemented
        start = x if include_self else torch.where(count > 0, 0.0, x)
        return start.scatter_add(dim, index, src) / (count + 1 if include_self else count.clamp(min=1))
    limits = torch.finfo(x.dtype) if x.is_floating_point() else torch.iinfo(x.dtype)
    neutral = {"sum": 0, "prod": 1, "amax": limits.min, "amin": limits.max}[reduce]
    return torch.where(count > 0, neutral, x).to(x.dtype).scatter_reduce(dim, index, src, reduce)


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
