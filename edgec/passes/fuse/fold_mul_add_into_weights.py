"""Multiplications and additions of constants move into weights and biases; a batch norm is such a pair."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints, same_padding
from edgec.passes.fuse.affine import AFFINE, Affine, per_channel, read_affine
from edgec.passes.fuse.weighted import (
    FORMS,
    bias_array,
    float_weights_refusal,
    other_use,
    scale_inputs,
    scale_outputs,
    set_weights,
    shift_of_outputs,
)
from edgec.passes.pattern import RewritePass, RewriteRule, erase_dead


@dataclass(frozen=True, slots=True)
class AfterWeights:
    """A weighted op and the scale and shift of its results."""

    producer: Op
    affine: Affine


class FoldIntoWeightsBefore(RewriteRule[AfterWeights]):
    """Fold a scale or shift of a weighted op's results into its weights and bias.

    Before:  %1 = conv_2d(%0, $w, $b)      After:  %2 = conv_2d(%0, $w', $b')
             %2 = mul(%1, $s)

    w' = w * s      b' = b * s + t, a new bias where there was none      y = s * x + t
    """

    anchors: ClassVar[tuple[str, ...]] = AFFINE

    def pattern(self, op: Op) -> AfterWeights | None:
        """A constant scale or shift of the result of a weighted op."""
        affine = read_affine(op)
        producer = affine.x.producer if affine is not None else None
        if affine is None or producer is None or producer.opcode not in FORMS or len(producer.results) != 1:
            return None
        return AfterWeights(producer, affine)

    def check(self, match: AfterWeights) -> str | None:
        """Refuse other readers, an activation in between, constants that vary in space, and quantized weights."""
        producer, affine = match.producer, match.affine
        activation = producer.attributes["fused_activation_function"]
        if activation != "NONE":
            return f"{producer.describe()} applies {activation} before it"
        channels = affine.x.shape[-1]
        if per_channel(affine.scale, channels) is None:
            shape = list(affine.scale.shape)
            return f"its constant of shape {shape} is neither a scalar nor one value for each of {channels} channels"
        return other_use(affine.x, affine.op) or float_weights_refusal(producer)

    def rewrite(self, match: AfterWeights, builder: Builder) -> None:
        """New constants for the weighted op, which takes over activation, name and users."""
        producer, affine = match.producer, match.affine
        channels = affine.x.shape[-1]
        scale, shift = per_channel(affine.scale, channels), per_channel(affine.shift, channels)
        assert scale is not None
        assert shift is not None
        bias = bias_array(producer)
        if bias is not None or shift.any():
            bias = (np.zeros(channels) if bias is None else bias) * scale + shift
        set_weights(producer, builder, None if affine.is_shift else scale_outputs(producer, scale), bias)
        producer.attributes["fused_activation_function"] = affine.activation
        producer.version = None
        producer.result.name = affine.op.result.name
        builder.graph.replace(affine.op, [producer.result])


@dataclass(frozen=True, slots=True)
class BeforeWeights:
    """A scale or shift, the weighted op that reads it, and the pad that may stand between them."""

    affine: Affine
    consumer: Op
    pad: Op | None


class FoldIntoWeightsAfter(RewriteRule[BeforeWeights]):
    """Fold a scale or shift of a weighted op's data into its weights and bias.

    Before:  %1 = mul(%0, $s)                     After:  %3 = conv_2d(%2', $w', $b)
             %2 = pad(%1)  (or nothing)                   %2' = pad(%0)
             %3 = conv_2d(%2, $w, $b)

    w' = w * s along the input channels. A shift t adds the sum of w * t to the bias, which holds only where every
    window reads data and nothing else: padding is zero, not t.
    """

    anchors: ClassVar[tuple[str, ...]] = AFFINE

    def pattern(self, op: Op) -> BeforeWeights | None:
        """A constant scale or shift whose first reader, behind a pad or not, is a weighted op."""
        affine = read_affine(op)
        reader = op.result.users[0] if affine is not None and op.result.users else None
        if affine is None or reader is None:
            return None
        pad = reader if reader.opcode == "pad" else None
        consumer = pad.result.users[0] if pad is not None and pad.result.users else reader
        if consumer.opcode not in FORMS or _data(consumer) is not (pad.result if pad else op.result):
            return None
        return BeforeWeights(affine, consumer, pad)

    def check(self, match: BeforeWeights) -> str | None:
        """Refuse activations, other readers, padding that a shift would miss, and quantized weights."""
        affine, pad, consumer = match.affine, match.pad, match.consumer
        if affine.activation != "NONE":
            return f"it applies {affine.activation}"
        refusal = other_use(affine.op.result, pad or consumer) or (other_use(pad.result, consumer) if pad else None)
        if refusal is None and pad is not None and _pads_channels(pad):
            refusal = f"{pad.describe()} adds channels"
        if refusal is None and not affine.is_scale:
            refusal = _shift_refusal(pad, consumer)
        if refusal is None and _input_values(affine.scale, match) is None:
            refusal = f"its constant of shape {list(affine.scale.shape)} is not the same for every position"
        return refusal or float_weights_refusal(consumer)

    def rewrite(self, match: BeforeWeights, builder: Builder) -> None:
        """New constants for the weighted op; it or its pad reads the data before the scale or shift."""
        affine, consumer = match.affine, match.consumer
        scale, shift = _input_values(affine.scale, match), _input_values(affine.shift, match)
        assert scale is not None
        assert shift is not None
        bias = None
        if not affine.is_scale:
            old = bias_array(consumer)
            bias = shift_of_outputs(consumer, shift) + (0 if old is None else old)
        set_weights(consumer, builder, None if affine.is_shift else scale_inputs(consumer, scale), bias)
        consumer.version = None
        builder.graph.replace(affine.op, [affine.x])


def _data(op: Op) -> Value | None:
    return op.operands[FORMS[op.opcode].data]


def _pads_channels(pad: Op) -> bool:
    paddings = constant_ints(pad.operand(1))
    return paddings is None or any(paddings[-2:])


def _shift_refusal(pad: Op | None, consumer: Op) -> str | None:
    if pad is not None:
        return f"{pad.describe()} pads with zeros, which the shift does not reach"
    if consumer.opcode == "transpose_conv":
        return f"{consumer.describe()} reads fewer values at its borders than inside"
    if consumer.opcode != "fully_connected" and reads_padding(consumer):
        return f"{consumer.describe()} pads with zeros, which the shift does not reach"
    return None


def reads_padding(op: Op) -> bool:
    """True where a conv_2d or depthwise_conv_2d pads its input."""
    a = op.attributes
    if a["padding"] == "VALID":
        return False
    if op.operand(0).type.is_dynamic:
        return True
    size, window = op.operand(0).shape[1:3], op.operand(1).shape[1:3]
    height = same_padding(size[0], window[0], a["stride_h"], a["dilation_h_factor"])
    width = same_padding(size[1], window[1], a["stride_w"], a["dilation_w_factor"])
    return any((*height, *width))


def _input_values(values: np.ndarray, match: BeforeWeights) -> np.ndarray | None:
    """`values` for each input of the weighted op (channels, or inputs of a fully connected layer); None if unequal."""
    consumer, x = match.consumer, match.affine.x
    channels = x.shape[-1]
    if consumer.opcode != "fully_connected":
        return per_channel(values, channels)
    inputs = consumer.operand(1).shape[1]
    if match.pad is not None:
        return per_channel(values, inputs) if inputs == channels else None
    if values.size == 1 or inputs == channels:
        return per_channel(values, inputs)
    if x.type.elements % inputs:
        return None
    rows = np.broadcast_to(values, x.shape).reshape(-1, inputs)
    return rows[0] if np.all(rows == rows[0]) else None


@dataclass(frozen=True, slots=True)
class AffineChain:
    """Two constant ops in a row, and the scale before them that a scale behind a shift would merge with."""

    first: Affine
    second: Affine
    before: Affine | None


class MergeAffine(RewriteRule[AffineChain]):
    """Merge constants of multiplications, or of additions, in a row.

    Before:  %1 = mul(%0, $a)      After:  %2 = mul(%0, $ab)
             %2 = mul(%1, $b)

    A shift between two scales lets the second pass: ((x * a) + t) * b = (x * ab) + tb.
    """

    anchors: ClassVar[tuple[str, ...]] = AFFINE

    def pattern(self, op: Op) -> AffineChain | None:
        """A scale of a scale, a shift of a shift, or a scale of a shift of a scale."""
        second = read_affine(op)
        first = read_affine(second.x.producer) if second is not None else None
        if first is None or second is None:
            return None
        if (first.is_scale and second.is_scale) or (first.is_shift and second.is_shift):
            return AffineChain(first, second, None)
        before = read_affine(first.x.producer) if first.is_shift and second.is_scale else None
        return AffineChain(first, second, before) if before is not None and before.is_scale else None

    def check(self, match: AffineChain) -> str | None:
        """Refuse activations in between, other readers, larger constants and overflow."""
        chain = [a for a in (match.before, match.first, match.second) if a is not None]
        for affine, following in pairwise(chain):
            if affine.activation != "NONE":
                return f"{affine.op.describe()} applies {affine.activation}"
            refusal = other_use(affine.op.result, following.op)
            if refusal is not None:
                return refusal
        sizes = [a.scale.size for a in chain]
        for merged in _merged(match):
            if merged.size > max(sizes):
                return f"the merged constant would have {merged.size} elements instead of {max(sizes)}"
            if not np.isfinite(merged.astype(np.float32)).all():
                return "the merged constant would not be finite in float32"
        return None

    def rewrite(self, match: AffineChain, builder: Builder) -> None:
        """One op for two, or two for three."""
        op = match.second.op
        merged = _merged(match)
        activation = match.second.activation
        if match.before is not None:
            scaled = builder.emit("mul", [match.before.x, builder.constant(merged[0])], name=match.before.op.name)
            result = builder.emit("add", [scaled, builder.constant(merged[1])], name=op.name,
                                  fused_activation_function=activation)  # fmt: skip
        else:
            opcode = "mul" if match.first.is_scale and match.second.is_scale else "add"
            result = builder.emit(opcode, [match.first.x, builder.constant(merged[0])], name=op.name,
                                  fused_activation_function=activation)  # fmt: skip
        result.name = op.result.name
        builder.graph.replace(op, [result])
        erase_dead(match.first.op)


def _merged(match: AffineChain) -> list[np.ndarray]:
    first, second, before = match.first, match.second, match.before
    with np.errstate(over="ignore", invalid="ignore"):
        if before is not None:
            return [before.scale * second.scale, first.shift * second.scale]
        if first.is_scale and second.is_scale:
            return [first.scale * second.scale]
        return [first.shift + second.shift]


@dataclass(frozen=True)
class FoldMulAddIntoWeights(RewritePass):
    """Fold multiplications and additions of constants into the weights and biases beside them."""

    name: ClassVar[str] = "fold_mul_add_into_weights"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (FoldIntoWeightsBefore(), MergeAffine(), FoldIntoWeightsAfter())
