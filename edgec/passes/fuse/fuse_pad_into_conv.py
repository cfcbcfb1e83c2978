"""Separate pads become the padding of the window behind them where TFLite's SAME padding is just that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op
from edgec.ops.infer import constant_ints, same_padding
from edgec.passes.fuse.clamp import ATTRIBUTES, OPS
from edgec.passes.fuse.weighted import other_use
from edgec.passes.pattern import RewritePass, RewriteRule, erase_dead

PADS = ("pad", "padv2")
CONVOLUTIONS = ("conv_2d", "depthwise_conv_2d")
AXES = ("height", "width")
Pairs = list[tuple[int, int]]


def read_paddings(pad: Op) -> Pairs | None:
    """(before, after) for each axis, None where it is only known at run time."""
    flat = constant_ints(pad.operand(1))
    return None if flat is None else list(zip(flat[::2], flat[1::2]))


def pads_zero(pad: Op) -> bool:
    """True where the padded value is a real zero (the zero point of a quantized value)."""
    if pad.opcode == "pad":
        return True
    value, quant = pad.operand(2), pad.result.quant
    if not value.is_constant or (quant is not None and not quant.same_mapping(value.quant)):
        return False
    zero = quant.zero_point[0] if quant is not None else 0
    return bool(np.all(value.array() == zero))


@dataclass(frozen=True, slots=True)
class PaddedWindow:
    """A sliding window behind a pad."""

    window: Op
    pad: Op

    @property
    def sizes(self) -> list[tuple[int, int, int, int]]:
        """(positions before padding, window, stride, dilation) for height and width."""
        a, op = self.window.attributes, self.window
        if op.opcode in CONVOLUTIONS:
            kernel, dilations = op.operand(1).shape[1:3], (a["dilation_h_factor"], a["dilation_w_factor"])
        else:
            kernel, dilations = (a["filter_height"], a["filter_width"]), (1, 1)
        positions = self.pad.operand(0).shape[1:3]
        return list(zip(positions, kernel, (a["stride_h"], a["stride_w"]), dilations))

    def reached(self, axis: int, paddings: Pairs) -> tuple[int, int]:
        """What windows read of the padding of `axis` (1 height, 2 width): strides may leave out the end."""
        before, after = paddings[axis]
        size, window, stride, dilation = self.sizes[axis - 1]
        last = (self.window.result.shape[axis] - 1) * stride + (window - 1) * dilation + 1
        return before, min(after, max(last - size - before, 0))


def _same_padding_refusal(match: PaddedWindow) -> str | None:
    """Why the pad is not what SAME padding would add; None where it is."""
    pad = match.pad
    paddings = read_paddings(pad)
    if paddings is None or pad.operand(0).type.is_dynamic:
        return f"the sizes of {pad.describe()} are only known at run time"
    if len(paddings) != 4 or any((*paddings[0], *paddings[3])):
        return f"{pad.describe()} pads more than height and width"
    if not _window_is_valid(match):
        return "it pads its input itself"
    for axis, name in enumerate(AXES, start=1):
        found, same = match.reached(axis, paddings), same_padding(*match.sizes[axis - 1])
        if found != same:
            return f"{name} is padded by {found[0]} and {found[1]}, SAME padding would be {same[0]} and {same[1]}"
    source, padded = pad.operand(0), pad.result
    if source.quant is None and padded.quant is None:
        return None
    alike = source.quant is not None and source.quant.same_mapping(padded.quant)
    return None if alike else f"'{padded.name}' is quantized otherwise than '{source.name}'"


def _window_is_valid(match: PaddedWindow) -> bool:
    if match.window.attributes["padding"] == "VALID":
        return True
    padded = match.pad.result.shape[1:3]
    own = [same_padding(size, *rest[1:]) for size, rest in zip(padded, match.sizes)]
    return not any(before or after for before, after in own)


def _read_unpadded(match: PaddedWindow) -> None:
    match.window.set_operand(0, match.pad.operand(0))
    match.window.attributes["padding"] = "SAME"
    match.window.version = None
    erase_dead(match.pad)


class FusePadIntoConv(RewriteRule[PaddedWindow]):
    """Let a convolution pad its input itself.

    Before:  %1 = pad(%0, [0 0, 1 1, 1 1, 0 0])      After:  %2 = conv_2d(%0, $w, $b) {SAME}
             %2 = conv_2d(%1, $w, $b) {VALID}
    """

    anchors: ClassVar[tuple[str, ...]] = CONVOLUTIONS

    def pattern(self, op: Op) -> PaddedWindow | None:
        """A convolution behind a pad with a constant."""
        pad = op.operand(0).producer
        return PaddedWindow(op, pad) if pad is not None and pad.opcode in PADS else None

    def check(self, match: PaddedWindow) -> str | None:
        """Refuse other values than zero and every padding that is not SAME."""
        if not pads_zero(match.pad):
            return f"{match.pad.describe()} pads with another value than zero"
        return _same_padding_refusal(match)

    def rewrite(self, match: PaddedWindow, builder: Builder) -> None:
        """Read what the pad reads, with SAME padding."""
        _read_unpadded(match)


class FusePadIntoMaxPool(RewriteRule[PaddedWindow]):
    """Let a max pool leave out what lies outside of the picture.

    Before:  %1 = padv2(%0, [0 0, 1 1, 1 1, 0 0], -inf)      After:  %2 = max_pool_2d(%0) {SAME}
             %2 = max_pool_2d(%1) {VALID}

    Also for zeros around values that a ReLU keeps from being negative.
    """

    anchors: ClassVar[tuple[str, ...]] = ("max_pool_2d",)

    def pattern(self, op: Op) -> PaddedWindow | None:
        """A max pool behind a pad with a constant."""
        pad = op.operand(0).producer
        return PaddedWindow(op, pad) if pad is not None and pad.opcode in PADS else None

    def check(self, match: PaddedWindow) -> str | None:
        """Refuse padded values that may win, and every padding that is not SAME."""
        pad = match.pad
        if not _pads_lowest(pad) and not (pads_zero(pad) and _is_not_negative(pad.operand(0).producer)):
            return f"what {pad.describe()} pads with may be the maximum"
        return _same_padding_refusal(match)

    def rewrite(self, match: PaddedWindow, builder: Builder) -> None:
        """Read what the pad reads, with SAME padding."""
        _read_unpadded(match)


def _pads_lowest(pad: Op) -> bool:
    if pad.opcode != "padv2" or not pad.operand(2).is_constant:
        return False
    value = pad.operand(2)
    lowest = np.finfo(value.dtype.numpy).min if value.dtype.is_float else np.iinfo(value.dtype.numpy).min
    return bool(np.all(value.array() <= lowest))


def _is_not_negative(op: Op | None) -> bool:
    if op is None:
        return False
    interval = OPS.get(op.opcode) or ATTRIBUTES.get(op.attributes.get("fused_activation_function", ""))
    return interval is not None and interval.low >= 0


class TrimPad(RewriteRule[PaddedWindow]):
    """Leave out padded rows and columns that the stride of the window behind never reads.

    Before:  %1 = pad(%0, [0 0, 1 1, 1 1, 0 0])  224x224      After:  %1 = pad(%0, [0 0, 1 0, 1 0, 0 0])
             %2 = conv_2d(%1) {3x3, stride 2, VALID}                  %2 = conv_2d(%1)
    """

    anchors: ClassVar[tuple[str, ...]] = (*CONVOLUTIONS, "max_pool_2d", "average_pool_2d")

    def pattern(self, op: Op) -> PaddedWindow | None:
        """A VALID window behind a pad of rank 4."""
        pad = op.operand(0).producer
        if pad is None or pad.opcode not in PADS or op.attributes["padding"] != "VALID":
            return None
        paddings = read_paddings(pad)
        if paddings is None or len(paddings) != 4 or pad.operand(0).type.is_dynamic:
            return None
        match = PaddedWindow(op, pad)
        trimmed = any(match.reached(axis, paddings) != paddings[axis] for axis in (1, 2))
        return match if trimmed else None

    def check(self, match: PaddedWindow) -> str | None:
        """Refuse where another op reads the pad."""
        return other_use(match.pad.result, match.window)

    def rewrite(self, match: PaddedWindow, builder: Builder) -> None:
        """A smaller pad."""
        pad, paddings = match.pad, read_paddings(match.pad)
        assert paddings is not None
        reached = [match.reached(axis, paddings) for axis in (1, 2)]
        left = any(any(pair) for pair in (paddings[0], *reached, paddings[3]))
        if not left and pad.operand(0).quant == pad.result.quant:
            match.window.set_operand(0, pad.operand(0))
            erase_dead(pad)
            return
        smaller = builder.constant(np.array([paddings[0], *reached, paddings[3]], np.int32))
        operands = [pad.operand(0), smaller, *pad.operands[2:]]
        result = builder.emit(pad.opcode, operands, name=pad.name, source=pad.source, quant=pad.result.quant)
        result.name = pad.result.name
        match.window.set_operand(0, result)
        erase_dead(pad)


@dataclass(frozen=True, slots=True)
class PadChain:
    """A pad behind a pad."""

    outer: Op
    inner: Op


class MergePads(RewriteRule[PadChain]):
    """Merge a pad of zeros with the pad of zeros before it.

    Before:  %1 = pad(%0, [.., 1 1, ..])      After:  %2 = pad(%0, [.., 2 1, ..])
             %2 = pad(%1, [.., 1 0, ..])
    """

    anchors: ClassVar[tuple[str, ...]] = ("pad",)

    def pattern(self, op: Op) -> PadChain | None:
        """Two `pad` in a row."""
        inner = op.operand(0).producer
        return PadChain(op, inner) if inner is not None and inner.opcode == "pad" else None

    def check(self, match: PadChain) -> str | None:
        """Refuse other readers, sizes known only at run time, and changes of quantization."""
        if read_paddings(match.outer) is None or read_paddings(match.inner) is None:
            return f"the sizes of {match.inner.describe()} are only known at run time"
        quants = {match.inner.operand(0).quant, match.inner.result.quant, match.outer.result.quant}
        if len(quants) > 1:
            return f"'{match.outer.result.name}' is quantized otherwise than '{match.inner.operand(0).name}'"
        return other_use(match.inner.result, match.outer)

    def rewrite(self, match: PadChain, builder: Builder) -> None:
        """One pad by the sums."""
        outer, inner = match.outer, match.inner
        outside, inside = read_paddings(outer), read_paddings(inner)
        assert outside is not None
        assert inside is not None
        sums = np.add(outside, inside).astype(np.int32)
        result = builder.emit("pad", [inner.operand(0), builder.constant(sums)], name=outer.name,
                              quant=outer.result.quant)  # fmt: skip
        result.name = outer.result.name
        builder.graph.replace(outer, [result])
        erase_dead(inner)


@dataclass(frozen=True)
class FusePadsIntoWindows(RewritePass):
    """Merge pads, and let convolutions and max pools pad for themselves where SAME padding is the same."""

    name: ClassVar[str] = "fuse_pad_into_conv"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (MergePads(), FusePadIntoConv(), FusePadIntoMaxPool(), TrimPad())
