"""A crop behind a padded convolution leaves rows and columns out before it: causal convolutions are written so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op
from edgec.ops.infer import constant_ints
from edgec.passes.fuse.weighted import other_use
from edgec.passes.pattern import RewritePass, RewriteRule, erase_dead

WINDOWS = ("conv_2d", "depthwise_conv_2d")
Ranges = list[tuple[int, int]]


def sliced_ranges(crop: Op) -> Ranges | None:
    """(start, length) of a `slice` on each axis, None where they are only known at run time."""
    begin, size = constant_ints(crop.operand(1)), constant_ints(crop.operand(2))
    if begin is None or size is None or crop.operand(0).type.is_dynamic:
        return None
    return list(zip(begin, crop.result.shape))


@dataclass(frozen=True, slots=True)
class CroppedWindow:
    """A slice behind a convolution without padding of its own, behind a pad or what a pad was reshaped to."""

    crop: Op
    window: Op
    ranges: Ranges

    @property
    def read(self) -> Ranges:
        """(start, length) of what the kept results read of the convolution's data."""
        a, (_, *kernel, _) = self.window.attributes, self.window.operand(1).shape
        steps = (a["stride_h"], a["dilation_h_factor"]), (a["stride_w"], a["dilation_w_factor"])
        moved = [
            (start * stride, (length - 1) * stride + (size - 1) * dilation + 1)
            for (start, length), size, (stride, dilation) in zip(self.ranges[1:3], kernel, steps)
        ]
        batch, *_, channels = self.window.operand(0).shape
        return [(0, batch), *moved, (0, channels)]


class CropBeforeWindow(RewriteRule[CroppedWindow]):
    """Cut the data of a padded convolution instead of its result.

    Before:  %1 = pad(%0, [.., 2 2, ..])  68      After:  %1 = pad(%0, [.., 2 2, ..])
             %2 = conv_2d(%1) {VALID}     66              %2 = slice(%1, [.., 0, ..], [.., 66, ..])
             %3 = slice(%2, 0, 64)                        %3 = conv_2d(%2) {VALID}

    The convolution computes less, what follows the slice can fold into it, and the slice into the pad.
    """

    anchors: ClassVar[tuple[str, ...]] = ("slice",)

    def pattern(self, op: Op) -> CroppedWindow | None:
        """A slice of height or width behind a VALID convolution behind a pad."""
        window, ranges = op.operand(0).producer, sliced_ranges(op)
        if window is None or window.opcode not in WINDOWS or window.attributes["padding"] != "VALID" or ranges is None:
            return None
        whole = window.result.shape
        if any(ranges[axis] != (0, whole[axis]) for axis in (0, 3)) or 0 in op.result.shape:
            return None
        before = window.operand(0).producer
        if before is not None and before.opcode == "reshape":
            before = before.operand(0).producer
        return CroppedWindow(op, window, ranges) if before is not None and before.opcode == "pad" else None

    def check(self, match: CroppedWindow) -> str | None:
        """Refuse where another op reads the whole result, or the slice changes the quantization."""
        if match.window.result.quant != match.crop.result.quant:
            return f"'{match.crop.result.name}' is quantized otherwise than '{match.window.result.name}'"
        return other_use(match.window.result, match.crop)

    def rewrite(self, match: CroppedWindow, builder: Builder) -> None:
        """Slice first."""
        window, crop, data = match.window, match.crop, match.window.operand(0)
        starts, lengths = (builder.ints(np.array(part)) for part in zip(*match.read))
        cut = builder.emit("slice", [data, starts, lengths], name=crop.name, quant=data.quant)
        result = builder.emit(
            window.opcode, [cut, *window.operands[1:]], name=window.name, source=window.source,
            quant=window.result.quant, **window.attributes,
        )  # fmt: skip
        result.name = crop.result.name
        builder.graph.replace(crop, [result])
        erase_dead(window)


@dataclass(frozen=True, slots=True)
class CroppedPad:
    """A slice behind a pad, and the smaller paddings that are left."""

    crop: Op
    pad: Op
    paddings: Ranges


class CropPad(RewriteRule[CroppedPad]):
    """Pad less where a slice cuts nothing but padding away.

    Before:  %1 = pad(%0, [.., 2 2, ..])  68      After:  %2 = pad(%0, [.., 2 0, ..])
             %2 = slice(%1, 0, 66)
    """

    anchors: ClassVar[tuple[str, ...]] = ("slice",)

    def pattern(self, op: Op) -> CroppedPad | None:
        """A slice that keeps everything that was padded."""
        pad, ranges = op.operand(0).producer, sliced_ranges(op)
        if pad is None or pad.opcode != "pad" or ranges is None or pad.operand(0).type.is_dynamic:
            return None
        flat = constant_ints(pad.operand(1))
        if flat is None:
            return None
        kept = [
            (before - start, start + length - before - size)
            for before, (start, length), size in zip(flat[::2], ranges, pad.operand(0).shape)
        ]
        return CroppedPad(op, pad, kept) if all(before >= 0 and after >= 0 for before, after in kept) else None

    def check(self, match: CroppedPad) -> str | None:
        """Refuse where another op reads the padding, or the slice changes the quantization."""
        if match.pad.result.quant != match.crop.result.quant:
            return f"'{match.crop.result.name}' is quantized otherwise than '{match.pad.result.name}'"
        return other_use(match.pad.result, match.crop)

    def rewrite(self, match: CroppedPad, builder: Builder) -> None:
        """One pad, or none where nothing is left of it."""
        pad, crop = match.pad, match.crop
        source = pad.operand(0)
        if not np.any(match.paddings) and source.quant == crop.result.quant and not crop.result.is_output:
            builder.graph.replace(crop, [source])
            erase_dead(pad)
            return
        operands = [pad.operand(0), builder.ints(np.array(match.paddings))]
        result = builder.emit("pad", operands, name=pad.name, source=pad.source, quant=pad.result.quant)
        result.name = crop.result.name
        builder.graph.replace(crop, [result])
        erase_dead(pad)


@dataclass(frozen=True)
class CropBeforeWindows(RewritePass):
    """Cut the padding of convolutions instead of their results."""

    name: ClassVar[str] = "crop_before_window"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (CropBeforeWindow(), CropPad())
