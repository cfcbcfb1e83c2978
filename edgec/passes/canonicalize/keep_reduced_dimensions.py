"""A reshape that brings back the dimensions a reduction drops goes away: the reduction keeps them."""

from __future__ import annotations

from typing import ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ops.infer import constant_ints
from edgec.passes.pattern import RewriteRule, erase_dead

REDUCTIONS = ("mean", "sum", "reduce_prod", "reduce_max", "reduce_min")


class KeepReducedDimensions(RewriteRule[Op]):
    """Let a reduction keep the dimensions that a reshape brings back behind it.

    Before:  %1 = mean(%0, [1, 2])                After:  %2 = mean(%0, [1, 2]) {keep_dims}
             %2 = reshape(%1, [1, 1, 1, 32])
    """

    anchors: ClassVar[tuple[str, ...]] = ("reshape", "expand_dims")

    def pattern(self, op: Op) -> Op | None:
        """A reshape of a reduction that drops dimensions."""
        producer = op.operand(0).producer
        reduces = producer is not None and producer.opcode in REDUCTIONS and not producer.attributes["keep_dims"]
        return op if reduces else None

    def check(self, match: Op) -> str | None:
        """Refuse other shapes, other readers, and integers, whose kernels for the two forms may differ."""
        reduction = match.operand(0).producer
        assert reduction is not None
        x, axes = reduction.operand(0), constant_ints(reduction.operand(1))
        if match.result.dtype is not DType.FLOAT32:
            return f"'{match.result.name}' is {match.result.dtype.value}, whose kernels for the two forms may differ"
        if axes is None or x.type.is_dynamic or match.result.type.is_dynamic:
            return f"the shapes around {reduction.describe()} are only known at run time"
        reduced = {axis % x.type.rank for axis in axes} if x.type.rank else set()
        kept = tuple(1 if axis in reduced else size for axis, size in enumerate(x.shape))
        if match.result.shape != kept:
            return f"the reshape gives {list(match.result.shape)}, keeping the reduced axes would give {list(kept)}"
        if reduction.result.sole_user is not match:
            return f"'{reduction.result.name}' has another reader, too"
        return None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """The reduction with keep_dims."""
        reduction = match.operand(0).producer
        assert reduction is not None
        result = builder.emit(
            reduction.opcode, reduction.operands, name=reduction.name, source=reduction.source, keep_dims=True
        )  # fmt: skip
        result.name = match.result.name
        builder.graph.replace(match, [result])
        erase_dead(reduction)
