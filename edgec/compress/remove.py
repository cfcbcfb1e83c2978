"""Takes channels out of a graph: constants are sliced, types narrowed, and the parameters that tell sizes rewritten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgec.compress.coupling import Coupling
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.types import QuantParams, TensorType
from edgec.ops.infer import constant_ints


def remove_channels(graph: Graph, coupling: Coupling, removed: np.ndarray) -> None:
    """Remove every position whose label is marked in `removed` (bool [coupling.count]) from values and constants.

    No frozen label may be marked, and every value must keep a channel (`Coupling.spare_one`). Constants that are used
    elsewhere with other channels stay as they are there. Nothing is folded: what the channels contributed is lost.
    """
    if removed[list(coupling.frozen)].any():
        raise ValueError("a channel that must stay is marked for removal")
    constants: dict[tuple[Value, bytes], Value] = {}
    for (op, index), axes in coupling.slices.items():
        op.set_operand(index, _sliced(constants, op.operand(index), axes, removed))
    touched = set()
    for value, labels in coupling.labels.items():
        if value.is_constant or not removed[labels].any():
            continue
        value.type = _narrowed(value.type, {value.type.rank - 1: ~removed[labels]})
        touched.add(value)
    for op in graph.ops:
        if any(v in touched for v in (*op.operands, *op.results) if v is not None):
            _rewrite_parameters(graph, op, coupling, removed)
    _renew_declared(graph, {old: new for (old, _), new in constants.items()})


def _sliced(
    made: dict[tuple[Value, bytes], Value], value: Value, axes: dict[int, np.ndarray], removed: np.ndarray
) -> Value:
    keep = {axis: ~removed[labels] for axis, labels in sorted(axes.items())}
    if all(mask.all() for mask in keep.values()):
        return value
    key = (value, b"|".join(bytes([axis]) + np.packbits(mask).tobytes() for axis, mask in keep.items()))
    if key not in made:
        data = value.array()
        for axis, mask in keep.items():
            data = np.compress(mask, data, axis)
        made[key] = Value(value.name, _narrowed(value.type, keep), np.ascontiguousarray(data), extra=value.extra)
    return made[key]


def _narrowed(type_: TensorType, keep: dict[int, np.ndarray]) -> TensorType:
    shape, signature, quant = list(type_.shape), list(type_.signature or ()), type_.quant
    for axis, mask in keep.items():
        shape[axis] = int(mask.sum())
        if signature:
            signature[axis] = shape[axis]
        quant = _narrowed_quant(quant, axis, mask)
    return replace(type_, shape=tuple(shape), quant=quant, signature=tuple(signature) or None)


def _narrowed_quant(quant: QuantParams | None, axis: int, mask: np.ndarray) -> QuantParams | None:
    if quant is None or quant.axis != axis or len(quant.scale) != mask.size:
        return quant

    def kept(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(v for v, stays in zip(values, mask) if stays) if len(values) == mask.size else values

    zero_points = tuple(z for z, stays in zip(quant.zero_point, mask) if stays)
    return QuantParams(kept(quant.scale), zero_points, axis, kept(quant.minimum), kept(quant.maximum))


def _rewrite_parameters(graph: Graph, op: Op, coupling: Coupling, removed: np.ndarray) -> None:
    """Sizes and bounds along the channel axis, in operands and attributes."""
    if op.opcode == "reshape":
        _rewrite_new_shape(graph, op)
    elif op.opcode == "squeeze" and not op.attributes["squeeze_dims"]:
        before = (*op.operand(0).shape[:-1], coupling.labels[op.operand(0)].size)
        op.attributes["squeeze_dims"] = tuple(i for i, size in enumerate(before) if size == 1)
    elif op.opcode == "transpose_conv":
        _set_last(graph, op, 0, op.result.shape[-1])
    elif op.opcode == "depthwise_conv_2d" and op.attributes["depth_multiplier"]:
        op.attributes["depth_multiplier"] = op.result.shape[3] // op.operand(0).shape[3]
    elif op.opcode in ("slice", "strided_slice"):
        _rewrite_bounds(graph, op, coupling, removed)
    elif op.opcode in ("split", "split_v"):
        _rewrite_split(graph, op)


def _rewrite_new_shape(graph: Graph, op: Op) -> None:
    size = op.result.shape[-1]
    if op.optional_operand(1) is not None:
        _set_last(graph, op, 1, size)
    named = op.attributes.get("new_shape")
    if named is not None and len(named) and named[-1] != -1:
        op.attributes["new_shape"] = (*(int(v) for v in named[:-1]), size)


def _rewrite_bounds(graph: Graph, op: Op, coupling: Coupling, removed: np.ndarray) -> None:
    """`begin` moves down by the channels removed before it; `size` or `end` follows from what is left."""
    labels = coupling.labels[op.operand(0)]
    begin = (constant_ints(op.operand(1)) or [0])[-1]
    begin = min(begin + labels.size if begin < 0 else begin, labels.size)
    start = int((~removed[labels[:begin]]).sum())
    size = op.result.shape[-1]
    _set_last(graph, op, 1, start)
    if op.opcode == "slice":
        _set_last(graph, op, 2, size)
    else:
        start = 0 if op.attributes["begin_mask"] >> (op.operand(0).type.rank - 1) & 1 else start
        _set_last(graph, op, 2, start + size)


def _rewrite_split(graph: Graph, op: Op) -> None:
    """Equal parts that are no longer equal become a split_v."""
    x, axis = (op.operand(1), op.operand(0)) if op.opcode == "split" else (op.operand(0), op.operand(2))
    along = (constant_ints(axis) or [0])[0] % x.type.rank
    sizes = [result.shape[along] for result in op.results]
    if op.opcode == "split" and len(set(sizes)) == 1:
        return
    if op.opcode == "split":
        op.opcode, op.version = "split_v", None
        axis = graph.constant(axis.array().reshape(()).astype(np.int32), axis.name)
    dtype = np.int32 if len(op.operands) < 3 else op.operand(1).array().dtype
    op.set_operands([x, graph.constant(np.array(sizes, dtype), f"{op.name}/sizes"), axis])


def _set_last(graph: Graph, op: Op, index: int, size: int) -> None:
    """Replace the last element of an integer vector operand, unless it is -1 (to be inferred)."""
    old = op.operand(index)
    data = np.array(old.array())
    if data.reshape(-1)[-1] in (-1, size):
        return
    data.reshape(-1)[-1] = size
    op.set_operand(index, graph.constant(data, old.name, dtype=old.dtype))


def _renew_declared(graph: Graph, renewed: dict[Value, Value]) -> None:
    """New constants stand where the old ones stood among the tensors of the file; what nothing uses is dropped."""
    live = set(graph.values())
    order = (renewed.get(value, value) for value in graph.declared)
    graph.declared = tuple(dict.fromkeys(v for v in order if v in live or v in graph.idle))
