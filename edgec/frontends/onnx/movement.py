"""Ops that move elements: transposing, joining, cutting, padding, blocks of space and depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.runtime_operands import pad_at_run_time, slice_at_run_time, small_ints
from edgec.frontends.onnx.shape import required_ints
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.frontends.onnx.widening import computed_in
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

FLOAT32, INT8, UINT8, INT32, INT64 = DType.FLOAT32, DType.INT8, DType.UINT8, DType.INT32, DType.INT64
_SPLIT = (FLOAT32, INT8, UINT8, DType.INT16, INT32, INT64)
_BLOCKS = (FLOAT32, INT8, UINT8, INT32, INT64)
MAX_PAD_RANK = 5  # of LiteRT's kernel


def transpose(node: Node, context: Translation) -> Value:
    """Transpose; without `perm` the axes are reversed."""
    x = node.input(0)
    permutation = node.attribute("perm", list(range(x.type.rank))[::-1])
    return context.transpose(x, [normalize_axis(int(axis), x.type.rank) for axis in permutation])


def concat(node: Node, context: Translation) -> Value:
    """Concat; parts without elements are left out."""
    operands = [node.input(i) for i in range(len(node.inputs))]
    axis = normalize_axis(node.int("axis", 1), operands[0].type.rank)
    parts = [v for v in operands if v.type.elements] or operands[:1]
    return parts[0] if len(parts) == 1 else context.emit("concatenation", parts, axis=axis)


# -- cutting ---------------------------------------------------------------------------------------------------------


def split(node: Node, context: Translation) -> Result:
    """Split into equal parts, into `num_outputs` parts of which the last may be smaller, or by sizes."""
    x = node.input(0)
    axis = normalize_axis(node.int("axis", 0), x.type.rank)
    sizes: list[int] | None
    if not node.is_constant(1):
        sizes = [node.declared_shape(i)[axis] for i in range(len(node.outputs))]
    else:
        sizes = node.ints(1, "split")
    if sizes is None:
        count = node.int("num_outputs", len(node.outputs))
        if count != len(node.outputs):
            raise Refusal(f"num_outputs is {count}, it has {len(node.outputs)} outputs")
        chunk = -(-x.shape[axis] // count)
        sizes = [chunk] * (count - 1) + [x.shape[axis] - chunk * (count - 1)]
    if len(sizes) != len(node.outputs):
        raise Refusal(f"{len(sizes)} sizes for {len(node.outputs)} outputs")
    if sum(sizes) != x.shape[axis] or min(sizes) < 0:
        raise Refusal(f"sizes {sizes} do not cut axis {axis} of {list(x.shape)}")
    if len(sizes) == 1:
        return x
    if x.dtype not in _SPLIT or 0 in sizes:
        starts = np.cumsum([0, *sizes])
        return [cut(context, x, axis, int(start), size) for start, size in zip(starts, sizes)]
    if len(set(sizes)) == 1:
        return context.emit_many("split", [context.ints(axis), x], num_splits=len(sizes))
    return context.emit_many("split_v", [x, context.ints(sizes), context.ints(axis)], num_splits=len(sizes))


def cut(context: Translation, x: Value, axis: int, start: int, size: int) -> Value:
    """`size` elements of `x` along one axis from `start` on."""
    begin = [start if i == axis else 0 for i in range(x.type.rank)]
    return sliced(context, x, begin, [size if i == axis else full for i, full in enumerate(x.shape)])


def sliced(context: Translation, x: Value, begin: Sequence[int], size: Sequence[int]) -> Value:
    """A block of `x`; nothing is emitted for all of it or for none."""
    if tuple(size) == x.shape:
        return x
    if math.prod(size) == 0:
        return context.constant(np.zeros(size, x.dtype.numpy), x.dtype)
    return context.emit("slice", [x, context.ints(list(begin)), context.ints(list(size))])


def slice_(node: Node, context: Translation) -> Value:
    """Slice: bounds are clamped to the sizes; attributes before opset 10, operands since."""
    if not all(node.is_constant(i) for i in range(1, 5)):
        return slice_at_run_time(node, context)
    x = node.input(0)
    starts, ends = required_ints(node, 1, "starts"), required_ints(node, 2, "ends")
    axes = node.ints(3, "axes") or list(range(len(starts)))
    steps = node.ints(4) or [1] * len(starts)
    ranges = [range(size) for size in x.shape]
    for axis, start, end, step in zip(axes, starts, ends, steps):
        if step == 0:
            raise Refusal("a step is 0")
        axis = normalize_axis(axis, x.type.rank)
        ranges[axis] = range(x.shape[axis])[slice(start, end, step)]
    sizes = [len(r) for r in ranges]
    if all(r.step == 1 for r in ranges) or math.prod(sizes) == 0:
        return sliced(context, x, [r.start for r in ranges], sizes)
    # A range that runs backwards over element 0 ends at -1, which TFLite would read as the last element.
    to_the_end = sum(1 << axis for axis, r in enumerate(ranges) if r.start + len(r) * r.step < 0)
    bounds = ([r.start for r in ranges], [max(r.start + len(r) * r.step, 0) for r in ranges], [r.step for r in ranges])
    return context.emit("strided_slice", [x, *(context.ints(b) for b in bounds)], end_mask=to_the_end)


# -- padding ---------------------------------------------------------------------------------------------------------


def pad(node: Node, context: Translation) -> Value:
    """Pad of all modes; negative pads cut."""
    if not (node.is_constant(1) and node.is_constant(3)):
        return pad_at_run_time(node, context)
    x = node.input(0)
    pads = _pads(node, x)
    cropped = [(max(-before, 0), max(-after, 0)) for before, after in pads]
    x = sliced(context, x, [b for b, _ in cropped], [s - b - a for s, (b, a) in zip(x.shape, cropped)])
    pads = [(max(before, 0), max(after, 0)) for before, after in pads]
    mode = node.attribute("mode", "constant")
    if not any(before or after for before, after in pads):
        return x
    if mode == "constant":
        return _pad_constant(node, context, x, pads)
    if mode in ("reflect", "edge", "wrap"):
        return _pad_from_within(context, x, pads, mode)
    raise Refusal(f"mode '{mode}' is unknown")


def _pads(node: Node, x: Value) -> list[tuple[int, int]]:
    flat = required_ints(node, 1, "pads")
    axes = node.ints(3) if node.opset >= 18 else None
    named = list(range(x.type.rank)) if axes is None else [normalize_axis(axis, x.type.rank) for axis in axes]
    if len(flat) != 2 * len(named):
        raise Refusal(f"pads {flat} do not fit {len(named)} axes")
    pads = [(0, 0)] * x.type.rank
    for axis, before, after in zip(named, flat, flat[len(named) :]):
        pads[axis] = (before, after)
    return pads


def _pad_constant(node: Node, context: Translation, x: Value, pads: list[tuple[int, int]]) -> Value:
    value = node.optional(2)
    if value is None:
        value = context.like(x, node.float("value", 0.0))
    shape = tuple(size + before + after for size, (before, after) in zip(x.shape, pads))
    merged, merged_pads = _merge_unpadded(x.shape, pads)
    if len(merged) > MAX_PAD_RANK:
        for axis, amount in enumerate(pads):  # one after the other: later ones pad what earlier ones added
            if any(amount):
                x = _pad_constant(node, context, x, [amount if a == axis else (0, 0) for a in range(x.type.rank)])
        return x
    x = context.reshape(x, merged) if x.type.rank > MAX_PAD_RANK else x
    paddings = context.ints(merged_pads if x.shape == tuple(merged) else pads)
    if value.data is not None and not value.data.any():
        return context.reshape(context.emit("pad", [x, paddings]), shape)
    return context.reshape(context.emit("padv2", [x, paddings, context.reshape(value, [])]), shape)


def _merge_unpadded(shape: Sequence[int], pads: Sequence[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """Shape and pads with neighbouring axes that are not padded made one."""
    sizes: list[int] = []
    kept: list[tuple[int, int]] = []
    for size, amount in zip(shape, pads):
        if kept and amount == (0, 0) == kept[-1]:
            sizes[-1] *= size
        else:
            sizes.append(size)
            kept.append(amount)
    return sizes, kept


def _pad_from_within(context: Translation, x: Value, pads: list[tuple[int, int]], mode: str) -> Value:
    mirror = {"reflect": "REFLECT", "edge": "SYMMETRIC"}.get(mode)  # a border of one repeats the edge
    room = [size - 1 if mode == "reflect" else 1 for size in x.shape]
    if mirror and all(max(amount) <= most for amount, most in zip(pads, room)):
        return context.emit("mirror_pad", [x, context.ints(pads)], mode=mirror)
    for axis, amount in enumerate(pads):
        if any(amount):
            if not x.shape[axis]:
                raise Refusal(f"axis {axis} of {list(x.shape)} has nothing to pad with")
            positions = np.pad(np.arange(x.shape[axis]), amount, mode=mode)  # type: ignore[call-overload]
            x = context.emit("gather", [x, context.ints(positions)], axis=axis)
    return x


# -- blocks of space and depth -----------------------------------------------------------------------------------------


def depth_to_space(node: Node, context: Translation) -> Value:
    """DepthToSpace; the mode CRD takes its channels in another order, which a gather restores."""
    x, block, mode = node.input(0), node.int("blocksize", 0), node.attribute("mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise Refusal(f"mode '{mode}' is unknown")
    dtype = x.dtype
    x = context.to_channels_last(context.cast(x, computed_in(dtype, _BLOCKS)))
    depth = x.shape[-1] // (block * block)
    if mode == "CRD" and depth > 1:
        order = np.arange(depth * block * block).reshape(depth, block * block).T.reshape(-1)
        x = context.emit("gather", [x, context.ints(order)], axis=3)
    return context.cast(context.to_channels_first(context.emit("depth_to_space", [x], block_size=block)), dtype)


def space_to_depth(node: Node, context: Translation) -> Value:
    """SpaceToDepth: both orders of channels agree."""
    x = node.input(0)
    wide = context.to_channels_last(context.cast(x, computed_in(x.dtype, _BLOCKS)))
    result = context.emit("space_to_depth", [wide], block_size=node.int("blocksize", 0))
    return context.cast(context.to_channels_first(result), x.dtype)


def reverse_sequence(node: Node, context: Translation) -> Value:
    """ReverseSequence along the time axis, each batch entry by its own length."""
    x, lengths = node.input(0), node.input(1)
    wide = computed_in(x.dtype, (FLOAT32, UINT8, DType.INT16, INT32, INT64))
    result = context.emit(
        "reverse_sequence", [context.cast(x, wide), small_ints(context, lengths)],
        seq_dim=node.int("time_axis", 0), batch_dim=node.int("batch_axis", 1),
    )  # fmt: skip
    return context.cast(result, x.dtype)


TRANSLATIONS: dict[str, Translate] = {
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "ReverseSequence": reverse_sequence,
}
