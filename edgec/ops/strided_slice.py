"""Slices with strides and masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef
from edgec.ir.types import TensorType
from edgec.ops.infer import dynamic, operand_length, parameter_ints
from edgec.ops.movement import SAME_SCALE, X, parameter


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the sparse specification says at one position, and the input axis it speaks of (None: a new axis)."""

    position: int
    axis: int | None
    whole: bool = False  # an axis that the ellipsis covers


def _bit(op: Op, mask: str, position: int) -> bool:
    return bool(op.attributes[mask] >> position & 1)


def _entries(op: Op, count: int, rank: int) -> Iterator[_Entry]:
    """Expand the ellipsis (one at the end where there is none) and count the input's axes along."""
    ellipses = [i for i in range(count) if _bit(op, "ellipsis_mask", i)]
    if len(ellipses) > 1:
        raise ValueError(f"ellipsis_mask {op.attributes['ellipsis_mask']} has more than one ellipsis")
    named = sum(not _bit(op, "new_axis_mask", i) for i in range(count) if i not in ellipses)
    if named > rank:
        raise ValueError(f"{named} axes are named, the input has {rank}")
    at, covered, axis = ellipses[0] if ellipses else count, rank - named, 0
    for position in range(count + 1):
        if position == at:
            for _ in range(covered):
                yield _Entry(position, axis, whole=True)
                axis += 1
        elif position < count and _bit(op, "new_axis_mask", position):
            yield _Entry(position, None)
        elif position < count:
            yield _Entry(position, axis)
            axis += 1


def _infer_strided_slice(op: Op) -> list[TensorType]:
    x = op.operand(0)
    count = operand_length(op, 1)
    bounds = [parameter_ints(op, i) for i in (1, 2, 3)]
    if any(op.operand(i).shape != (count,) for i in (2, 3)):
        raise ValueError(f"begin, end and strides have {[op.operand(i).type.elements for i in (1, 2, 3)]} elements")
    shape: list[int] = []
    unknown: list[int] = []
    for entry in _entries(op, count, x.type.rank):
        if entry.axis is None:
            shape.append(1)
            continue
        if not entry.whole and _bit(op, "shrink_axis_mask", entry.position):
            _check_index(op, x, entry, bounds[0])
            continue
        size = x.shape[entry.axis] if entry.whole else _length(op, x.shape[entry.axis], entry.position, bounds)
        moving = x.type.signature is not None and x.type.signature[entry.axis] == -1
        if size is None or moving:
            unknown.append(len(shape))
        shape.append(x.shape[entry.axis] if size is None else size)
    return [dynamic(shape, x.dtype, unknown)]


def _check_index(op: Op, x: Value, entry: _Entry, begin: list[int] | None) -> None:
    assert entry.axis is not None
    size = x.shape[entry.axis]
    if begin is None or x.type.is_dynamic or _bit(op, "begin_mask", entry.position):
        return
    if not -size <= begin[entry.position] < size:
        raise ValueError(f"index {begin[entry.position]} is outside axis {entry.axis} of {list(x.shape)}")


def _length(op: Op, size: int, position: int, bounds: list[list[int] | None]) -> int | None:
    """How many elements of an axis are taken; None where a bound is only known at run time."""
    begins, ends, strides = bounds
    if strides is None:
        return None
    stride = strides[position]
    if stride == 0:
        raise ValueError("strides must not be 0")
    low, high = (0, size) if stride > 0 else (-1, size - 1)
    first, last = (low, high) if stride > 0 else (high, low)
    if not _bit(op, "begin_mask", position):
        if begins is None:
            return None
        first = _clamped(begins[position], size, low, high)
    if not _bit(op, "end_mask", position):
        if ends is None:
            return None
        offset = op.attributes["offset"]
        last = min(max(first + ends[position], low), high) if offset else _clamped(ends[position], size, low, high)
    return max(0, -((first - last) // stride))


def _clamped(bound: int, size: int, low: int, high: int) -> int:
    return min(max(bound + size if bound < 0 else bound, low), high)


_VERSIONS = {DType.INT8: 2, DType.BOOL: 3, DType.STRING: 5, DType.UINT32: 7}


def _version(op: Op) -> int:
    """1, 2 int8, 3 bool, 4 rank above 4, 5 strings, 6 ellipsis or new axes, 7 uint32, 8 ends as offsets."""
    x, a = op.operand(0), op.attributes
    return max(
        _VERSIONS.get(x.dtype, 1),
        4 if x.type.rank > 4 else 1,
        6 if a["ellipsis_mask"] or a["new_axis_mask"] else 1,
        8 if a["offset"] else 1,
    )


OPS = (
    OpDef(
        "strided_slice", "STRIDED_SLICE", "StridedSliceOptions",
        (X, parameter("begin"), parameter("end"), parameter("strides")), _infer_strided_slice,
        quant=SAME_SCALE, version=_version,
    ),
)  # fmt: skip
