"""Chains of reshapes become one, and every reshape is written as `reshape`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgec.ir.builder import Builder
from edgec.ir.graph import Op
from edgec.passes.canonicalize.keep_reduced_dimensions import KeepReducedDimensions
from edgec.passes.pattern import RewritePass, RewriteRule, erase_dead

RESHAPES = ("reshape", "squeeze", "expand_dims")


class MergeReshapes(RewriteRule[Op]):
    """Let a reshape of a reshape start from the first operand.

    Before:  %1 = reshape(%0, [1, 16])          After:  %2 = reshape(%0, [4, 4])
             %2 = reshape(%1, [4, 4])
    """

    anchors: ClassVar[tuple[str, ...]] = RESHAPES

    def pattern(self, op: Op) -> Op | None:
        """A static reshape whose operand is itself a reshape."""
        producer = op.operand(0).producer
        return op if producer is not None and producer.opcode in RESHAPES else None

    def check(self, match: Op) -> str | None:
        """Refuse dynamic shapes and changes of quantization on the way."""
        producer = match.operand(0).producer
        assert producer is not None
        if match.result.type.is_dynamic or match.operand(0).type.is_dynamic or producer.operand(0).type.is_dynamic:
            return f"the shape of '{match.result.name}' is only known at run time"
        if producer.operand(0).quant != match.result.quant:
            return f"'{match.result.name}' is quantized otherwise than '{producer.operand(0).name}'"
        return None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """One reshape to the last shape."""
        inner = match.operand(0).producer
        assert inner is not None
        _replace_by_reshape(match, inner, builder)
        erase_dead(inner)


class SpellReshape(RewriteRule[Op]):
    """Write `squeeze` and `expand_dims` of a static shape as `reshape`, so that later rules know one form.

    Before:  %1 = squeeze(%0) {squeeze_dims = [1, 2]}      After:  %1 = reshape(%0, [1, 10])
    """

    anchors: ClassVar[tuple[str, ...]] = ("squeeze", "expand_dims")

    def pattern(self, op: Op) -> Op | None:
        """Any squeeze or expand_dims."""
        return op

    def check(self, match: Op) -> str | None:
        """Refuse dynamic shapes."""
        if match.result.type.is_dynamic or match.operand(0).type.is_dynamic:
            return f"the shape of '{match.result.name}' is only known at run time"
        return None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """A reshape to the result's shape."""
        _replace_by_reshape(match, match, builder)


def _replace_by_reshape(op: Op, first: Op, builder: Builder) -> None:
    shape = op.result.shape
    result = builder.emit(
        "reshape", [first.operand(0), builder.ints(shape)], name=op.name, new_shape=shape,
        result_types=[op.result.type],
    )  # fmt: skip
    result.name = op.result.name
    builder.graph.replace(op, [result])


@dataclass(frozen=True)
class CanonicalizeReshape(RewritePass):
    """Merge chains of reshapes, write every reshape as `reshape`, and drop those that undo what a reduction drops."""

    name: ClassVar[str] = "canonicalize_reshape"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (MergeReshapes(), KeepReducedDimensions(), SpellReshape())
