"""Ops that move elements: transposing, joining, cutting, padding and repeating."""

from __future__ import annotations

from collections.abc import Sequence

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import (
    broadcast_shapes,
    checked_count,
    derived,
    dynamic,
    normalize_axis,
    operand_length,
    parameter_int,
    parameter_ints,
    plain,
    require_same_dtype,
    unknown_shape,
)
from edgec.ops.version import INT8_2_INT16_3, by_dtype, by_dtype_and_rank

X = Operand("input")
INT8, INT16, BOOL, STRING, UINT32 = DType.INT8, DType.INT16, DType.BOOL, DType.STRING, DType.UINT32
SAME_SCALE = QuantRule((INT8, INT16), same_scale=True)
SAME_SCALE_INT8 = QuantRule((INT8,), same_scale=True)


def parameter(name: str, *, optional: bool = False) -> Operand:
    """A shape, axis or padding operand."""
    return Operand(name, Role.PARAMETER, optional=optional)


def _infer_transpose(op: Op) -> list[TensorType]:
    x, permutation = op.operand(0), parameter_ints(op, 1)
    if permutation is None:
        return [unknown_shape(x.shape, x.dtype)]
    rank = x.type.rank
    axes = [normalize_axis(axis, rank) for axis in permutation]
    if sorted(axes) != list(range(rank)):
        raise ValueError(f"{permutation} is no permutation of the {rank} axes of '{x.name}'")
    return [derived(x, [x.shape[i] for i in axes], axes)]


def _infer_concatenation(op: Op) -> list[TensorType]:
    parts = _parts(op)
    # A part whose size is only known at run time (-1) takes that of another one, which says what it must be.
    first = max(parts, key=lambda part: sum(size != -1 for size in part.type.signature or part.shape))
    axis = normalize_axis(op.attributes["axis"], first.type.rank)
    total = 0
    for part in parts:
        if part.type.rank != first.type.rank or not _alike(part.type, first.type, axis):
            raise ValueError(f"{list(part.shape)} does not join {list(first.shape)} along axis {axis}")
        total += part.shape[axis]
    shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
    if not any(part.type.is_dynamic for part in parts):
        return [TensorType(shape, first.dtype)]
    signatures = [part.type.signature or part.shape for part in parts]
    return [dynamic(shape, first.dtype, [i for i in range(len(shape)) if any(s[i] == -1 for s in signatures)])]


def _alike(part: TensorType, other: TensorType, but: int) -> bool:
    """Whether all sizes but those along one axis agree, as far as both are known."""
    sizes = zip(part.shape, other.shape, part.signature or part.shape, other.signature or other.shape)
    return all(i == but or a == b or -1 in (known_a, known_b) for i, (a, b, known_a, known_b) in enumerate(sizes))


def _parts(op: Op) -> list[Value]:
    parts = [op.operand(i) for i in range(len(op.operands))]
    for part in parts:
        if part.dtype is not parts[0].dtype:
            raise ValueError(f"operands must have one dtype, found {parts[0].dtype.value} and {part.dtype.value}")
    return parts


def _infer_pack(op: Op) -> list[TensorType]:
    parts = _parts(op)
    first, count = parts[0], op.attributes["values_count"]
    if count != len(parts):
        raise ValueError(f"values_count is {count}, there are {len(parts)} operands")
    for part in parts:
        if part.shape != first.shape:
            raise ValueError(f"operands must have one shape, found {list(first.shape)} and {list(part.shape)}")
    axis = normalize_axis(op.attributes["axis"], first.type.rank + 1)
    shape = (*first.shape[:axis], count, *first.shape[axis:])
    moving = next((part for part in parts if part.type.is_dynamic), first)
    return [derived(moving, shape, (*range(axis), None, *range(axis, first.type.rank)))]


def _infer_unpack(op: Op) -> list[TensorType]:
    x, count = op.operand(0), op.attributes["num"]
    axis = normalize_axis(op.attributes["axis"], x.type.rank)
    if count != x.shape[axis] and not x.type.is_dynamic:
        raise ValueError(f"num is {count}, axis {axis} of {list(x.shape)} has size {x.shape[axis]}")
    kept = [i for i in range(x.type.rank) if i != axis]
    return [derived(x, [x.shape[i] for i in kept], kept)] * checked_count("num", count)


def _infer_split(op: Op) -> list[TensorType]:
    axis, x, count = parameter_int(op, 0), op.operand(1), checked_count("num_splits", op.attributes["num_splits"])
    if axis is None:
        return [unknown_shape(x.shape, x.dtype)] * count
    axis = normalize_axis(axis, x.type.rank)
    size, rest = divmod(x.shape[axis], count)
    if rest and not x.type.is_dynamic:
        raise ValueError(f"axis {axis} of {list(x.shape)} does not split into {count} equal parts")
    return [_resized(x, axis, size)] * count


def _resized(x: Value, axis: int, size: int) -> TensorType:
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    return derived(x, shape, range(x.type.rank))


def _infer_split_v(op: Op) -> list[TensorType]:
    x, axis = op.operand(0), parameter_int(op, 2)
    count = checked_count("num_splits", op.attributes["num_splits"])
    sizes = parameter_ints(op, 1, limit=count)
    if axis is None or sizes is None:
        return [unknown_shape(x.shape, x.dtype)] * count
    axis = normalize_axis(axis, x.type.rank)
    given = sum(size for size in sizes if size != -1)
    if len(sizes) != count or min(sizes) < -1 or sizes.count(-1) > 1 or given > x.shape[axis]:
        raise ValueError(f"sizes {_shown(sizes)} do not cut axis {axis} of {list(x.shape)} into {count} parts")
    if -1 not in sizes and given != x.shape[axis] and not x.type.is_dynamic:
        raise ValueError(f"sizes {_shown(sizes)} add up to {given}, axis {axis} of {list(x.shape)} differs")
    rest = x.shape[axis] - given
    return [_resized(x, axis, rest if size == -1 else size) for size in sizes]


def _shown(sizes: Sequence[int]) -> str:
    return str(list(sizes)) if len(sizes) <= 16 else f"[{', '.join(map(str, sizes[:16]))}, …]"


def _infer_slice(op: Op) -> list[TensorType]:
    x = op.operand(0)
    begin, size = parameter_ints(op, 1), parameter_ints(op, 2)
    if any(given is not None and len(given) != x.type.rank for given in (begin, size)):
        raise ValueError(f"begin {begin} and size {size} do not fit rank {x.type.rank}")
    if begin is None or size is None:
        known = [x.shape[i] if size is None or size[i] < 0 else size[i] for i in range(x.type.rank)]
        unknown = [i for i in range(x.type.rank) if size is None or size[i] < 0]
        return [dynamic(known, x.dtype, unknown)]
    shape, sources = [], []
    for axis, (start, length) in enumerate(zip(begin, size)):
        full = x.shape[axis]
        moving = x.type.signature is not None and x.type.signature[axis] == -1
        stop = full if length == -1 else start + length
        if length < -1 or not 0 <= start <= stop or (stop > full and not moving):
            raise ValueError(f"begin {begin} and size {size} reach outside {list(x.shape)}")
        shape.append(stop - start)
        sources.append(axis if length == -1 else None)
    return [derived(x, shape, sources)]


def _infer_pad(op: Op) -> list[TensorType]:
    x = op.operand(0)
    if len(op.operands) > 2 and op.operands[2] is not None:
        require_same_dtype(op, 0, 2)
    pads = _paddings(op)
    if pads is None:
        return [unknown_shape(x.shape, x.dtype)]
    shape = [size + before + after for size, (before, after) in zip(x.shape, pads)]
    return [derived(x, shape, range(x.type.rank))]


def _paddings(op: Op) -> list[tuple[int, int]] | None:
    x, pads = op.operand(0), op.operand(1)
    if pads.shape != (x.type.rank, 2):
        raise ValueError(f"paddings {list(pads.shape)} must be [{x.type.rank}, 2]")
    flat = parameter_ints(op, 1, limit=2 * max(x.type.rank, 1))
    if flat is None:
        return None
    if any(pad < 0 for pad in flat):
        raise ValueError(f"paddings {flat} must not be negative")
    return list(zip(flat[::2], flat[1::2]))


def _infer_mirror_pad(op: Op) -> list[TensorType]:
    x, pads, mode = op.operand(0), _paddings(op), op.attributes["mode"]
    if mode not in ("REFLECT", "SYMMETRIC"):
        raise ValueError(f"mode must be REFLECT or SYMMETRIC, found {mode}")
    room = 1 if mode == "REFLECT" else 0
    for size, pad in zip(x.shape, pads or ()):
        if max(pad) > max(size - room, 0) and not x.type.is_dynamic:
            raise ValueError(f"paddings {list(pad)} mirror more than a size of {size} holds in mode {mode}")
    return _infer_pad(op)


def _infer_tile(op: Op) -> list[TensorType]:
    x, multiples = op.operand(0), parameter_ints(op, 1)
    if op.operand(1).type.elements != x.type.rank:
        raise ValueError(f"{op.operand(1).type.elements} multiples do not fit rank {x.type.rank}")
    if multiples is None:
        return [unknown_shape(x.shape, x.dtype)]
    if any(m < 0 for m in multiples):
        raise ValueError(f"multiples {multiples} must not be negative")
    return [derived(x, [size * m for size, m in zip(x.shape, multiples)], range(x.type.rank))]


def _infer_broadcast_to(op: Op) -> list[TensorType]:
    x, shape = op.operand(0), parameter_ints(op, 1)
    if shape is None:
        rank = operand_length(op, 1)
        return [unknown_shape(x.shape if rank == x.type.rank else (1,) * rank, x.dtype)]
    if any(size < 0 for size in shape) or broadcast_shapes([x.shape, tuple(shape)]) != tuple(shape):
        raise ValueError(f"{list(x.shape)} does not broadcast to {shape}")
    return [TensorType(tuple(shape), x.dtype)]


def _infer_broadcast_args(op: Op) -> list[TensorType]:
    dtype = require_same_dtype(op, 0, 1)
    return [TensorType((max(operand_length(op, 0), operand_length(op, 1)),), dtype)]


def _infer_reverse(op: Op) -> list[TensorType]:
    x = op.operand(0)
    for axis in parameter_ints(op, 1) or ():
        normalize_axis(axis, x.type.rank)
    return [plain(x)]


def _infer_reverse_sequence(op: Op) -> list[TensorType]:
    x, lengths = op.operand(0), op.operand(1)
    sequence = normalize_axis(op.attributes["seq_dim"], x.type.rank)
    batch = normalize_axis(op.attributes["batch_dim"], x.type.rank)
    if sequence == batch:
        raise ValueError(f"seq_dim and batch_dim are both {batch}")
    if lengths.type.elements != x.shape[batch] and not x.type.is_dynamic:
        raise ValueError(f"{lengths.type.elements} sequence lengths for a batch of {x.shape[batch]}")
    return [plain(x)]


def _infer_dynamic_update_slice(op: Op) -> list[TensorType]:
    x, update, start = op.operand(0), op.operand(1), op.operand(2)
    require_same_dtype(op, 0, 1)
    fits = update.type.rank == x.type.rank and all(u <= d for u, d in zip(update.shape, x.shape))
    if not (fits or x.type.is_dynamic or update.type.is_dynamic):
        raise ValueError(f"an update of {list(update.shape)} does not fit into {list(x.shape)}")
    if start.type.elements != x.type.rank:
        raise ValueError(f"{start.type.elements} start indices for rank {x.type.rank}")
    return [plain(x)]


def _infer_dilate(op: Op) -> list[TensorType]:
    x, factors = op.operand(0), parameter_ints(op, 1)
    if op.operand(1).type.elements != x.type.rank:
        raise ValueError(f"{op.operand(1).type.elements} dilations do not fit rank {x.type.rank}")
    if factors is None:
        return [unknown_shape(x.shape, x.dtype)]
    if any(factor < 1 for factor in factors):
        raise ValueError(f"dilations {factors} must be positive")
    shape = [max(size - 1, 0) * factor + min(size, 1) for size, factor in zip(x.shape, factors)]
    return [derived(x, shape, range(x.type.rank))]


_PAD = by_dtype_and_rank({INT8: 2, INT16: 3, BOOL: 5}, {4: 4})
_PACKED = {INT8: 2, DType.UINT8: 2, BOOL: 3, INT16: 4}

OPS = (
    OpDef("transpose", "TRANSPOSE", "TransposeOptions", (X, parameter("permutation")), _infer_transpose,
          quant=SAME_SCALE,
          version=by_dtype_and_rank({INT8: 2, BOOL: 3, INT16: 5, DType.INT4: 7}, {4: 4, 5: 6})),
    OpDef("concatenation", "CONCATENATION", "ConcatenationOptions", (Operand("inputs", variadic=True),),
          _infer_concatenation, quant=SAME_SCALE, version=by_dtype({INT8: 2, INT16: 3, UINT32: 4})),
    OpDef("split", "SPLIT", "SplitOptions", (parameter("axis"), X), _infer_split, results=None, quant=SAME_SCALE,
          version=by_dtype({INT8: 2, DType.INT32: 3, INT16: 4}, 1)),
    OpDef("split_v", "SPLIT_V", "SplitVOptions", (X, parameter("sizes"), parameter("axis")), _infer_split_v,
          results=None, quant=SAME_SCALE, version=by_dtype({INT8: 2, INT16: 2})),
    OpDef("slice", "SLICE", "SliceOptions", (X, parameter("begin"), parameter("size")), _infer_slice,
          quant=SAME_SCALE, version=by_dtype_and_rank({INT8: 2, STRING: 3, INT16: 4, UINT32: 6}, {4: 5})),
    OpDef("pad", "PAD", "PadOptions", (X, parameter("paddings")), _infer_pad, quant=SAME_SCALE, version=_PAD),
    OpDef("padv2", "PADV2", "PadV2Options", (X, parameter("paddings"), Operand("value")), _infer_pad,
          quant=SAME_SCALE, version=_PAD),
    OpDef("mirror_pad", "MIRROR_PAD", "MirrorPadOptions", (X, parameter("paddings")), _infer_mirror_pad,
          quant=SAME_SCALE, version=by_dtype(INT8_2_INT16_3)),
    OpDef("tile", "TILE", "TileOptions", (X, parameter("multiples")), _infer_tile, quant=SAME_SCALE,
          version=by_dtype({STRING: 2, INT8: 3, INT16: 3})),
    OpDef("broadcast_to", "BROADCAST_TO", "BroadcastToOptions", (X, parameter("shape")), _infer_broadcast_to,
          quant=SAME_SCALE, version=by_dtype({INT8: 3, INT16: 3}, otherwise=2)),
    OpDef("broadcast_args", "BROADCAST_ARGS", None, (parameter("shape_a"), parameter("shape_b")),
          _infer_broadcast_args),
    OpDef("pack", "PACK", "PackOptions", (Operand("values", variadic=True),), _infer_pack, quant=SAME_SCALE,
          version=by_dtype({INT8: 2, INT16: 3, UINT32: 4})),
    OpDef("unpack", "UNPACK", "UnpackOptions", (X,), _infer_unpack, results=None, quant=SAME_SCALE,
          version=by_dtype(_PACKED)),
    OpDef("reverse_v2", "REVERSE_V2", "ReverseV2Options", (X, parameter("axes")), _infer_reverse,
          quant=SAME_SCALE, version=by_dtype({BOOL: 2, INT8: 3})),
    OpDef("reverse_sequence", "REVERSE_SEQUENCE", "ReverseSequenceOptions", (X, parameter("lengths")),
          _infer_reverse_sequence, quant=QuantRule((INT16,), same_scale=True)),
    OpDef("dynamic_update_slice", "DYNAMIC_UPDATE_SLICE", "DynamicUpdateSliceOptions",
          (X, Operand("update"), parameter("start")), _infer_dynamic_update_slice, quant=SAME_SCALE,
          version=by_dtype({DType.FLOAT16: 3, INT16: 4})),
    OpDef("dilate", "DILATE", "DilateOptions", (X, parameter("dilations"), Operand("value")), _infer_dilate,
          quant=SAME_SCALE),
)  # fmt: skip
