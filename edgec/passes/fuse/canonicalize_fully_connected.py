"""Matrix products get their plainest form: `fully_connected` where a matrix is constant, no reshapes around it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ops.infer import constant_ints
from edgec.passes.fuse.weighted import other_use
from edgec.passes.pattern import RewritePass, RewriteRule, erase_dead


class DropReshapeBeforeFullyConnected(RewriteRule[Op]):
    """Let a fully connected layer read what a reshape reads: it flattens its input into rows itself.

    Before:  %1 = reshape(%0, [1, 1280])                After:  %2 = fully_connected(%0, $w, $b)
             %2 = fully_connected(%1, $w, $b)
    """

    anchors: ClassVar[tuple[str, ...]] = ("fully_connected",)

    def pattern(self, op: Op) -> Op | None:
        """A fully connected layer behind a reshape."""
        producer = op.operand(0).producer
        return op if producer is not None and producer.opcode == "reshape" else None

    def check(self, match: Op) -> str | None:
        """Refuse where the layer keeps its input's shape, and where sizes or quantization are not certain."""
        if match.attributes["keep_num_dims"]:
            return "it keeps the dimensions of its input"
        reshaped = match.operand(0)
        assert reshaped.producer is not None
        source = reshaped.producer.operand(0)
        if source.type.is_dynamic or reshaped.type.is_dynamic:
            return f"the shape of '{source.name}' is only known at run time"
        if not source.type.rank:
            return f"'{source.name}' is a scalar"
        if source.quant != reshaped.quant:
            return f"'{reshaped.name}' is quantized otherwise than '{source.name}'"
        return None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """Read the unshaped value."""
        reshape = match.operand(0).producer
        assert reshape is not None
        match.set_operand(0, reshape.operand(0))
        erase_dead(reshape)


class BatchMatmulToFullyConnected(RewriteRule[Op]):
    """Write a product with a constant matrix as a fully connected layer, which takes a bias and an activation.

    Before:  %1 = batch_matmul(%0, $w)  w [k, n]      After:  %1 = fully_connected(%0, $w^T) {keep_num_dims}
    """

    anchors: ClassVar[tuple[str, ...]] = ("batch_matmul",)

    def pattern(self, op: Op) -> Op | None:
        """A batch_matmul whose right side is a constant."""
        return op if op.operand(1).is_constant and not op.operand(0).is_constant else None

    def check(self, match: Op) -> str | None:
        """Refuse integers, several matrices, a transposed left side, and a matrix others need as it is."""
        x, matrix = match.operand(0), match.operand(1)
        if x.dtype is not DType.FLOAT32 or matrix.dtype is not DType.FLOAT32:
            found = x.dtype if x.dtype is not DType.FLOAT32 else matrix.dtype
            return f"{found.value} products are rounded otherwise in a fully connected layer"
        if math.prod(matrix.shape[:-2]) != 1:
            return f"'{matrix.name}' holds {math.prod(matrix.shape[:-2])} matrices"
        if match.attributes["adj_x"]:
            return f"it transposes '{x.name}'"
        if match.result.type.rank != x.type.rank:
            return f"'{matrix.name}' adds dimensions to '{x.name}'"
        other = next((user for user in matrix.users if user.opcode != "batch_matmul"), None)
        return f"'{matrix.name}' is also used by {other.describe()}" if other is not None else None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """A fully connected layer with weights [units, inputs]."""
        matrix = match.operand(1)
        weights = matrix.array().reshape(matrix.shape[-2:])
        if not match.attributes["adj_y"]:
            weights = weights.T
        constant = builder.constant(weights, name=matrix.name)
        keep = match.operand(0).type.rank != 2
        operands = [match.operand(0), constant, None]
        result = builder.emit("fully_connected", operands, name=match.name, keep_num_dims=keep)
        result.name = match.result.name
        builder.graph.replace(match, [result])


class FoldTransposeIntoBatchMatmul(RewriteRule[Op]):
    """Let a product transpose its right side itself.

    Before:  %1 = transpose(%b, [0, 2, 1])      After:  %2 = batch_matmul(%a, %b) {adj_y}
             %2 = batch_matmul(%a, %1)

    Only the right side: XNNPACK runs adj_y and leaves adj_x to slower kernels.
    """

    anchors: ClassVar[tuple[str, ...]] = ("batch_matmul",)

    def pattern(self, op: Op) -> Op | None:
        """A product whose right side is a transposed value."""
        producer = op.operand(1).producer
        return op if producer is not None and producer.opcode == "transpose" else None

    def check(self, match: Op) -> str | None:
        """Refuse other permutations than that of the last two axes, and other readers."""
        transposed = match.operand(1)
        assert transposed.producer is not None
        rank = transposed.type.rank
        permutation = constant_ints(transposed.producer.operand(1))
        if permutation != [*range(rank - 2), rank - 1, rank - 2]:
            return f"{transposed.producer.describe()} moves other axes than the last two"
        if transposed.quant != transposed.producer.operand(0).quant:
            return f"'{transposed.name}' is quantized otherwise than '{transposed.producer.operand(0).name}'"
        return other_use(transposed, match)

    def rewrite(self, match: Op, builder: Builder) -> None:
        """Flip adj_y and read the value as it was."""
        transpose = match.operand(1).producer
        assert transpose is not None
        match.set_operand(1, transpose.operand(0))
        match.attributes["adj_y"] = not match.attributes["adj_y"]
        erase_dead(transpose)


class DropDimensionsInMean(RewriteRule[Op]):
    """Let a mean drop the dimensions a reshape drops behind it.

    Before:  %1 = mean(%0, [1, 2]) {keep_dims}      After:  %2 = mean(%0, [1, 2])
             %2 = reshape(%1, [1, 1280])
    """

    anchors: ClassVar[tuple[str, ...]] = ("reshape",)

    def pattern(self, op: Op) -> Op | None:
        """A reshape of a mean that keeps dimensions."""
        producer = op.operand(0).producer
        return op if producer is not None and producer.opcode == "mean" and producer.attributes["keep_dims"] else None

    def check(self, match: Op) -> str | None:
        """Refuse other shapes, other readers and integers (TFLM has a kernel of its own for means that keep dims)."""
        mean = match.operand(0).producer
        assert mean is not None
        x, axes = mean.operand(0), constant_ints(mean.operand(1))
        if match.result.dtype is not DType.FLOAT32:
            return f"'{match.result.name}' is {match.result.dtype.value}, whose kernels for the two forms may differ"
        if axes is None or x.type.is_dynamic:
            return f"the axes of {mean.describe()} are only known at run time"
        dropped = {axis % x.type.rank for axis in axes}
        kept = tuple(size for axis, size in enumerate(x.shape) if axis not in dropped)
        if match.result.shape != kept:
            return f"the reshape gives {list(match.result.shape)}, dropping the reduced axes would give {list(kept)}"
        return other_use(mean.result, match)

    def rewrite(self, match: Op, builder: Builder) -> None:
        """A mean without keep_dims."""
        mean = match.operand(0).producer
        assert mean is not None
        result = builder.emit("mean", mean.operands, name=mean.name, source=mean.source, keep_dims=False)
        result.name = match.result.name
        builder.graph.replace(match, [result])
        erase_dead(mean)


@dataclass(frozen=True)
class CanonicalizeFullyConnected(RewritePass):
    """Write products with constant matrices as fully connected layers and drop the reshapes around them."""

    name: ClassVar[str] = "canonicalize_fully_connected"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (
        BatchMatmulToFullyConnected(),
        FoldTransposeIntoBatchMatmul(),
        DropReshapeBeforeFullyConnected(),  # before means drop dimensions: a layer that flattens needs no dropping
        DropDimensionsInMean(),
    )
