"""Shape and type arithmetic shared by the op families; every complaint is a ValueError that names what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.types import TensorType


def result_like(index: int = 0) -> Callable[[Op], list[TensorType]]:
    """Inference for ops whose one result has the shape and dtype of operand `index`."""

    def infer(op: Op) -> list[TensorType]:
        return [plain(op.operand(index))]

    return infer


def plain(value: Value, dtype: DType | None = None) -> TensorType:
    """The value's type without quantization, with another dtype where one is given."""
    return TensorType(value.shape, dtype or value.dtype, None, value.type.signature)


def require_rank(value: Value, *ranks: int) -> None:
    """Refuse a value whose rank is none of `ranks`."""
    if value.type.rank not in ranks:
        wanted = " or ".join(str(r) for r in ranks)
        raise ValueError(f"'{value.name}' must have rank {wanted}, its shape is {list(value.shape)}")


def require_same_dtype(op: Op, *indices: int) -> DType:
    """Refuse operands of different dtypes; returns the common one."""
    dtypes = {op.operand(i).dtype for i in indices}
    if len(dtypes) > 1:
        raise ValueError(f"operands must have one dtype, found {', '.join(sorted(d.value for d in dtypes))}")
    return op.operand(indices[0]).dtype


def broadcast_shapes(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The numpy broadcast of several shapes."""
    rank = max((len(s) for s in shapes), default=0)
    result = []
    for position in range(-rank, 0):
        sizes = {s[position] for s in shapes if -position <= len(s)}
        wide = sizes - {1}
        if len(wide) > 1:
            raise ValueError(f"shapes {' and '.join(str(list(s)) for s in shapes)} do not broadcast")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def broadcast_signature(values: Sequence[Value]) -> tuple[int, ...] | None:
    """The shape signature of a broadcast, None where every operand is static."""
    if not any(v.type.is_dynamic for v in values):
        return None
    rank = max(v.type.rank for v in values)
    padded = [(1,) * (rank - v.type.rank) + (v.type.signature or v.shape) for v in values]
    return tuple(-1 if -1 in dims else max(dims) for dims in zip(*padded))


def window_size(size: int, window: int, stride: int, dilation: int, padding: str) -> int:
    """Output positions of a sliding window along one axis under TFLite's SAME or VALID padding."""
    if stride < 1 or dilation < 1 or window < 1:
        raise ValueError(f"window {window}, stride {stride} and dilation {dilation} must be positive")
    if padding == "SAME":
        return -(-size // stride)
    if padding != "VALID":
        raise ValueError(f"padding must be SAME or VALID, found {padding}")
    reach = (window - 1) * dilation + 1
    if size < reach:
        raise ValueError(f"a window of {reach} does not fit into {size} positions")
    return (size - reach) // stride + 1


def same_padding(size: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    """(before, after) zeros that TFLite's SAME padding adds along one axis."""
    reach = (window - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def constant_ints(value: Value | None) -> list[int] | None:
    """The elements of an integer constant, None where the value is absent or computed at run time."""
    if value is None or value.data is None or not value.dtype.is_integer:
        return None
    return [int(v) for v in value.data.reshape(-1)]


def normalize_axis(axis: int, rank: int) -> int:
    """A non-negative axis; refuses one outside the rank."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} is outside rank {rank}")
    return axis % rank


def dynamic(shape: Sequence[int], dtype: DType, unknown: Sequence[int] = ()) -> TensorType:
    """A type whose dimensions at the positions `unknown` (-1 in its signature) are only known at run time."""
    signature = tuple(-1 if i in unknown else int(d) for i, d in enumerate(shape)) if unknown else None
    return TensorType(tuple(int(d) for d in shape), dtype, None, signature)
