"""Forms of the same computation that need less data moved, before transposes are placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.pattern import RewritePass, RewriteRule, erase_dead

TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
# The order of [N, C, H, bh, W, bw] behind space to depth, and of [N, bh, bw, C, H, W] or [N, C, bh, bw, H, W] behind
# depth to space, with whether channels stand outside of the block.
INTO_DEPTH = {(0, 3, 5, 1, 2, 4): False, (0, 1, 3, 5, 2, 4): True}
INTO_SPACE = {(0, 3, 4, 1, 5, 2): False, (0, 1, 4, 2, 5, 3): True}


class ColumnProductAsRow(RewriteRule[Op]):
    """Write a product with one column as a product with one row: only its right matrix may come transposed for free.

    Before:  %1 = batch_matmul(%a, %v)  a [m, k], v [k, 1]      After:  %2 = reshape(%v, [1, k])
                                                                        %3 = batch_matmul(%2, %a) {adj_y}
                                                                        %1 = reshape(%3, [m, 1])

    So the mean of an image's pixels weighted by an attention map needs no transpose: channels last, it reads the pixels
    as rows.
    """

    anchors: ClassVar[tuple[str, ...]] = ("batch_matmul",)

    def pattern(self, op: Op) -> Op | None:
        """A computed matrix times a computed column; one row times one column stays."""
        a, v = op.operand(0), op.operand(1)
        if a.is_constant or v.is_constant or op.result.type.is_dynamic or op.result.type.rank < 2:
            return None
        return op if op.result.shape[-1] == 1 and op.result.shape[-2] > 1 else None

    def check(self, match: Op) -> str | None:
        """Refuse shapes only known when run, broadcast columns, and rounded products."""
        a, v = match.operand(0), match.operand(1)
        if a.type.is_dynamic or v.type.is_dynamic:
            return f"the shape of '{match.result.name}' is only known at run time"
        if a.shape[:-2] != v.shape[:-2]:
            return f"'{v.name}' is broadcast"
        if a.quant is not None or a.dtype.numpy != np.float32:
            return f"'{a.name}' is {a.dtype.value}, no float"
        return None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """Swap the operands; a row and a column are stored alike."""
        a, v, shape = match.operand(0), match.operand(1), match.result.shape
        outer, depth = a.shape[:-2], max(v.shape[-2:])
        row = _reshaped(builder, v, (*outer, 1, depth))
        product = builder.emit("batch_matmul", [row, a], name=match.name, adj_x=False,
                               adj_y=not match.attributes["adj_x"])  # fmt: skip
        result = _reshaped(builder, product, shape)
        result.name = match.result.name
        builder.graph.replace(match, [result])


class DropBroadcast(RewriteRule[Op]):
    """Let an arithmetic op broadcast its operand itself.

    Before:  %1 = broadcast_to(%n, [1, 64, 32])      After:  %2 = div(%x, %n)
             %2 = div(%x, %1)  x [1, 64, 32]

    Exporters write a vector normalized by its length this way: the length is expanded first.
    """

    anchors: ClassVar[tuple[str, ...]] = ("add", "sub", "mul", "div", "maximum", "minimum", "squared_difference")

    def pattern(self, op: Op) -> Op | None:
        """An op with a repeated operand, and another that has the whole shape by itself."""
        return op if self._expanded(op) is not None and not op.result.type.is_dynamic else None

    def check(self, match: Op) -> str | None:
        """Refuse changes of quantization on the way, and shapes only known when run."""
        index = self._expanded(match)
        assert index is not None
        repeated, source = match.operand(index), self._source(match.operand(index))
        if source.quant != repeated.quant:
            return f"'{repeated.name}' is quantized otherwise than '{source.name}'"
        return f"the shape of '{source.name}' is only known at run time" if source.type.is_dynamic else None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """Read what is repeated."""
        index = self._expanded(match)
        assert index is not None
        repeated = match.operand(index)
        match.set_operand(index, self._source(repeated))
        if repeated.producer is not None:
            erase_dead(repeated.producer)

    @staticmethod
    def _source(repeated: Value) -> Value:
        assert repeated.producer is not None
        return repeated.producer.operand(0)

    @staticmethod
    def _expanded(op: Op) -> int | None:
        """The place of an operand whose repetition the other one makes needless."""
        for index in (0, 1):
            producer, other = op.operand(index).producer, op.operand(1 - index)
            if producer is not None and producer.opcode == "broadcast_to" and other.shape == op.result.shape:
                return index
        return None


class BlockMove(NamedTuple):
    """A written-out move of blocks between space and depth, and what it comes to."""

    last: Op
    source: Value
    opcode: str
    block: int
    channels_outside: bool


class RecognizeBlockMove(RewriteRule[BlockMove]):
    """Write a reshape to rank 6, a transpose and a reshape as `space_to_depth` or `depth_to_space`.

    Before:  %1 = reshape(%0, [n, c, h, b, w, b])            After:  %4 = transpose(%0, NHWC)
             %2 = transpose(%1, [0, 3, 5, 1, 2, 4])                  %5 = space_to_depth(%4) {block_size = b}
             %3 = reshape(%2, [n, b * b * c, h, w])                  %3 = transpose(%5, NCHW)

    Where channels stand outside of the block, as in torch's pixel shuffle, a gather along the channels orders them.
    """

    anchors: ClassVar[tuple[str, ...]] = ("transpose",)

    def pattern(self, op: Op) -> BlockMove | None:
        """The transpose between two reshapes of images."""
        first, users = op.operand(0).producer, op.result.users
        if op.result.type.rank != 6 or first is None or first.opcode != "reshape" or len(users) != 1:
            return None
        (last,) = users
        x, order = first.operand(0), tuple(constant_ints(op.operand(1)) or ())
        if last.opcode != "reshape" or x.type.rank != 4 or last.result.type.rank != 4 or op.result.is_output:
            return None
        if x.type.is_dynamic or last.result.type.is_dynamic:
            return None
        return _into_depth(x, first, order, last) or _into_space(x, first, order, last)

    def check(self, match: BlockMove) -> str | None:
        """Refuse what the kernels do not take, and changes of quantization on the way."""
        if match.source.dtype.numpy not in (np.float32, np.int8, np.int32, np.int64):
            return f"'{match.source.name}' is {match.source.dtype.value}"
        if match.source.quant != match.last.result.quant:
            return f"'{match.last.result.name}' is quantized otherwise than '{match.source.name}'"
        return None

    def rewrite(self, match: BlockMove, builder: Builder) -> None:
        """One op between transposes to channels last and back."""
        block, quant, x = match.block, match.source.quant, match.source
        into_depth = match.opcode == "space_to_depth"
        depth = (x if not into_depth else match.last.result).shape[1] // block**2
        order = (
            np.arange(depth * block**2).reshape((depth, block**2) if not into_depth else (block**2, depth)).T.ravel()
        )
        ordered = match.channels_outside and depth > 1
        y = builder.emit("transpose", [x, builder.ints(TO_LAST)], quant=quant)
        if ordered and not into_depth:
            y = builder.emit("gather", [y, builder.ints(order.tolist())], quant=quant, axis=3)
        y = builder.emit(match.opcode, [y], name=match.last.name, quant=quant, block_size=block)
        if ordered and into_depth:
            y = builder.emit("gather", [y, builder.ints(order.tolist())], quant=quant, axis=3)
        result = builder.emit("transpose", [y, builder.ints(TO_FIRST)], quant=quant)
        result.name = match.last.result.name
        middle = match.last.operand(0).producer
        builder.graph.replace(match.last, [result])
        assert middle is not None
        erase_dead(middle)


def _into_depth(x: Value, first: Op, order: tuple[int, ...], last: Op) -> BlockMove | None:
    if order not in INTO_DEPTH:
        return None
    (n, c, height, width), cut = x.shape, first.result.shape
    block = cut[3]
    shape = (n, c * block**2, height // block, width // block)
    if block < 2 or cut != (n, c, height // block, block, width // block, block) or last.result.shape != shape:
        return None
    return BlockMove(last, x, "space_to_depth", block, INTO_DEPTH[order])


def _into_space(x: Value, first: Op, order: tuple[int, ...], last: Op) -> BlockMove | None:
    if order not in INTO_SPACE:
        return None
    (n, c, height, width), cut = x.shape, first.result.shape
    outside = INTO_SPACE[order]
    block = cut[2]
    depth = c // block**2
    wanted = (n, depth, block, block, height, width) if outside else (n, block, block, depth, height, width)
    if block < 2 or cut != wanted or last.result.shape != (n, depth, height * block, width * block):
        return None
    return BlockMove(last, x, "depth_to_space", block, outside)


def _reshaped(builder: Builder, x: Value, shape: tuple[int, ...]) -> Value:
    return builder.emit("reshape", [x, builder.ints(shape)], quant=x.quant, new_shape=shape)


@dataclass(frozen=True)
class CanonicalizeMovement(RewritePass):
    """Write products with a column as ones with a row, moves of blocks as one op, and broadcasts within their users."""

    name: ClassVar[str] = "canonicalize_movement"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (
        ColumnProductAsRow(), DropBroadcast(), RecognizeBlockMove(),
    )  # fmt: skip
