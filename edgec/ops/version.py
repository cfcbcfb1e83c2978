"""Op versions: what a file must state so that LiteRT's resolver finds a kernel that knows the form used.

The numbers follow TFLite's version registry; those that LiteRT 2.3 accepts are tested against its resolver. TFLM does
not look at them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgec.ir.dtype import DType
from edgec.ir.graph import Op

Version = Callable[[Op], int]

INT8_2: Mapping[DType, int] = {DType.INT8: 2}
INT8_2_INT16_3: Mapping[DType, int] = {DType.INT8: 2, DType.INT16: 3}


def by_dtype(versions: Mapping[DType, int], index: int = 0, otherwise: int = 1) -> Version:
    """The version that belongs to the dtype of operand `index`."""

    def version(op: Op) -> int:
        return versions.get(op.operand(index).dtype, otherwise)

    return version


def by_dtype_and_rank(versions: Mapping[DType, int], ranks: Mapping[int, int], index: int = 0) -> Version:
    """As `by_dtype`, but at least `ranks[r]` where operand `index` has a rank above r."""

    def version(op: Op) -> int:
        x = op.operand(index)
        wanted = versions.get(x.dtype, 1)
        return max([wanted, *(v for rank, v in ranks.items() if x.type.rank > rank)])

    return version


def by_broadcast(versions: Mapping[DType, int], beyond_rank_4: int) -> Version:
    """As `by_dtype` on operand 0, but at least `beyond_rank_4` where shapes broadcast in more than four dimensions."""

    def version(op: Op) -> int:
        a, b = op.operand(0), op.operand(1)
        wanted = versions.get(a.dtype, 1)
        if a.shape != b.shape and max(a.type.rank, b.type.rank) > 4:
            return max(wanted, beyond_rank_4)
        return wanted

    return version
