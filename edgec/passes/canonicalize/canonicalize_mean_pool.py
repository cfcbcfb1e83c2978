"""One form for means over the whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.passes.pattern import RewritePass, RewriteRule


class GlobalAveragePoolToMean(RewriteRule[Op]):
    """Write an average pool whose window is the whole picture as a mean.

    Before:  %1 = average_pool_2d(%0) {filter 7x7, VALID}      After:  %1 = mean(%0, [1, 2]) {keep_dims}

    One form lets later rules (reshape clean-up, the classifier behind it) know one op, and XNNPACK runs it as a global
    average pool. Only in float: an integer mean may round otherwise than an integer pool.
    """

    anchors: ClassVar[tuple[str, ...]] = ("average_pool_2d",)

    def pattern(self, op: Op) -> Op | None:
        """A pool that reads every pixel once."""
        x, a = op.operand(0), op.attributes
        whole = (a["filter_height"], a["filter_width"]) == x.shape[1:3] and op.result.shape[1:3] == (1, 1)
        return op if whole else None

    def check(self, match: Op) -> str | None:
        """Refuse integers, fused activations and dynamic shapes."""
        if match.result.dtype is not DType.FLOAT32:
            return f"'{match.result.name}' is {match.result.dtype.value}, whose rounding may differ"
        if match.attributes["fused_activation_function"] != "NONE":
            return f"it carries the activation {match.attributes['fused_activation_function']}"
        if match.attributes["padding"] == "SAME" and any(d > 1 for d in match.operand(0).shape[1:3]):
            stride = (match.attributes["stride_h"], match.attributes["stride_w"])
            if any(s < d for s, d in zip(stride, match.operand(0).shape[1:3])):
                return "its window is padded"
        return "its shape is only known at run time" if match.operand(0).type.is_dynamic else None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """A mean over height and width that keeps the dimensions."""
        result = builder.emit("mean", [match.operand(0), builder.ints([1, 2])], name=match.name, keep_dims=True)
        result.name = match.result.name
        builder.graph.replace(match, [result])


@dataclass(frozen=True)
class CanonicalizeMeanPool(RewritePass):
    """Write global average pools as means."""

    name: ClassVar[str] = "canonicalize_mean_pool"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (GlobalAveragePoolToMean(),)
