"""Shape and type arithmetic shared by the op families; every complaint is a ValueError that names what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.types import TensorType

MAX_RANK = 32  # kernels stop at 8; more is a damaged or hostile file
MAX_RESULTS = 65536


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
    """The elements of an integer constant, None where the value is absent, sparse or computed at run time."""
    if value is None or value.data is None or value.sparsity is not None or not value.dtype.is_integer:
        return None
    return [int(v) for v in value.data.reshape(-1).tolist()]


def parameter_ints(op: Op, index: int, limit: int = MAX_RANK) -> list[int] | None:
    """A short integer operand (shape, axes, sizes); None where it is only known at run time.

    Refuses operands that are no integers or have more than `limit` elements.
    """
    value = op.operand(index)
    if not value.dtype.is_integer:
        raise ValueError(f"'{value.name}' must hold integers, found {value.dtype.value}")
    if value.type.elements > limit and not value.type.is_dynamic:
        raise ValueError(f"'{value.name}' has {value.type.elements} elements, at most {limit} can be meant")
    return constant_ints(value)


def parameter_int(op: Op, index: int) -> int | None:
    """An integer operand of one element (an axis, a depth); None where it is only known at run time."""
    value = op.operand(index)
    if value.type.elements != 1:
        raise ValueError(f"'{value.name}' must have one element, its shape is {list(value.shape)}")
    found = parameter_ints(op, index)
    return None if found is None else found[0]


def scalar_int(op: Op, index: int) -> int | None:
    """As `parameter_int` for kernels that refuse a vector of one element."""
    require_rank(op.operand(index), 0)
    return parameter_int(op, index)


def operand_length(op: Op, index: int) -> int:
    """The length of a vector operand such as a shape, which is the rank of what it describes."""
    value = op.operand(index)
    require_rank(value, 1)
    if value.shape[0] > MAX_RANK:
        raise ValueError(f"'{value.name}' describes {value.shape[0]} dimensions, at most {MAX_RANK} are possible")
    return value.shape[0]


def attribute_ints(op: Op, name: str) -> list[int]:
    """A vector attribute as a list of ints, empty where it is absent; refuses one longer than the largest rank."""
    given = op.attributes[name]
    if given is None:
        return []
    if len(given) > MAX_RANK:
        raise ValueError(f"{name} has {len(given)} elements, at most {MAX_RANK} can be meant")
    return [int(v) for v in given]


def attribute_dtype(op: Op, name: str, *allowed: DType) -> DType:
    """The element type that an attribute names; refuses one that is not among `allowed`."""
    given = op.attributes[name]
    found = DType.__members__.get(given) if isinstance(given, str) else None
    if found is None or (allowed and found not in allowed):
        wanted = f", must be {' or '.join(d.name for d in allowed)}" if allowed else ""
        raise ValueError(f"{name} is {given}{wanted}")
    return found


def checked_count(what: str, count: int) -> int:
    """A number of results; refuses one no real op has."""
    if not 1 <= count <= MAX_RESULTS:
        raise ValueError(f"{what} is {count}, must lie between 1 and {MAX_RESULTS}")
    return count


def derived(x: Value, shape: Sequence[int], sources: Sequence[int | None], dtype: DType | None = None) -> TensorType:
    """A type whose dimension i varies at run time where axis `sources[i]` of `x` does (None: never)."""
    sizes = tuple(shape)
    signature = x.type.signature
    if signature is None or -1 not in signature:
        return TensorType(sizes, dtype or x.dtype)
    moving = [i for i, source in enumerate(sources) if source is not None and signature[source] == -1]
    return dynamic(sizes, dtype or x.dtype, moving)


def unknown_shape(shape: Sequence[int], dtype: DType) -> TensorType:
    """A type none of whose sizes is known before run time; `shape` is the guess a static plan uses."""
    return dynamic(shape, dtype, range(len(shape)))


def own_types(op: Op) -> list[TensorType]:
    """The types the results already have, for ops whose results follow from nothing the op can see."""
    if not op.results:
        raise ValueError("the result types follow from no operand or attribute; they must be given")
    return [TensorType(r.shape, r.dtype, None, r.type.signature) for r in op.results]


def own_dtype(op: Op, default: DType, index: int = 0) -> DType:
    """The dtype result `index` already has, `default` for an op without results yet."""
    return op.results[index].dtype if index < len(op.results) else default


def normalize_axis(axis: int, rank: int) -> int:
    """A non-negative axis; refuses one outside the rank."""
    if not -rank <= axis < rank:  # always so for rank 0
        raise ValueError(f"axis {axis} is outside rank {rank}")
    return axis % rank


def dynamic(shape: Sequence[int], dtype: DType, unknown: Sequence[int] = ()) -> TensorType:
    """A type whose dimensions at the positions `unknown` (-1 in its signature) are only known at run time."""
    signature = tuple(-1 if i in unknown else int(d) for i, d in enumerate(shape)) if unknown else None
    return TensorType(tuple(int(d) for d in shape), dtype, None, signature)
