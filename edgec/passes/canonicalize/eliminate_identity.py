"""Removes ops that give back their operand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.graph import Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.pattern import RewritePass, RewriteRule, constant_operand


class EliminateIdentity(RewriteRule[Op]):
    """Let users of an identity use its operand.

    Before:  %1 = transpose(%0, [0, 1, 2])      After:  %2 = relu(%0)
             %2 = relu(%1)

    An op is an identity where its attributes and constants say so: a permutation that permutes nothing, a slice of
    everything, a sum with zero, a product with one.
    """

    anchors: ClassVar[tuple[str, ...]] = (
        "transpose", "reshape", "squeeze", "expand_dims", "cast", "pad", "padv2", "mirror_pad", "slice",
        "strided_slice", "tile", "broadcast_to", "concatenation", "add_n", "add", "sub", "mul", "div",
    )  # fmt: skip

    def pattern(self, op: Op) -> Op | None:
        """The op, where it is an identity."""
        test = _TESTS.get(op.opcode, _same_type)
        kept = op.optional_operand(0)
        if kept is None or op.opcode in _BINARY:
            return op if op.opcode in _BINARY and _neutral(op) is not None else None
        if kept.type.with_quant(None) != op.result.type.with_quant(None):
            return None
        return op if test(op) else None

    def check(self, match: Op) -> str | None:
        """Refuse where the two types differ in quantization, or where a graph input would become an output."""
        kept = _kept(match)
        if kept.quant != match.result.quant:
            return f"'{match.result.name}' is quantized otherwise than '{kept.name}'"
        if match.result.is_output and (kept.producer is None or kept.is_output):
            return f"'{match.result.name}' is a graph output and '{kept.name}' cannot take its place"
        return None

    def rewrite(self, match: Op, builder: Builder) -> None:
        """Use the operand instead; an output keeps its name."""
        kept = _kept(match)
        if match.result.is_output:
            kept.name = match.result.name
        builder.graph.replace(match, [kept])


def _kept(op: Op) -> Value:
    return (_neutral(op) if op.opcode in _BINARY else None) or op.operand(0)


def _same_type(op: Op) -> bool:
    return True  # equal types were checked before; for these opcodes that is all


def _transpose(op: Op) -> bool:
    permutation = constant_ints(op.operand(1))
    return permutation == list(range(op.operand(0).type.rank))


def _pad(op: Op) -> bool:
    return not any(constant_ints(op.operand(1)) or [1])


def _tile(op: Op) -> bool:
    return all(m == 1 for m in constant_ints(op.operand(1)) or [0])


def _single(op: Op) -> bool:
    return len(op.operands) == 1


def _whole_slice(op: Op) -> bool:
    return not any(constant_ints(op.operand(1)) or [1])


def _whole_strided_slice(op: Op) -> bool:
    begin, strides = constant_ints(op.operand(1)), constant_ints(op.operand(3))
    masks = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    unmasked = not any(op.attributes[m] for m in masks) and not op.attributes.get("offset", False)
    return bool(begin is not None and strides is not None and unmasked and all(s == 1 for s in strides))


_TESTS: dict[str, Callable[[Op], Any]] = {
    "transpose": _transpose, "pad": _pad, "padv2": _pad, "mirror_pad": _pad, "tile": _tile,
    "concatenation": _single, "add_n": _single, "slice": _whole_slice, "strided_slice": _whole_strided_slice,
}  # fmt: skip
_BINARY = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}


def _neutral(op: Op) -> Value | None:
    """The operand that a binary op gives back unchanged, None where it changes it."""
    found = constant_operand(op)
    if found is None or op.attributes.get("fused_activation_function", "NONE") != "NONE":
        return None
    kept, constant = found
    if (
        not kept.dtype.is_float
        or kept.shape != op.result.shape
        or (op.opcode in ("sub", "div") and kept is op.operand(1))
    ):
        return None
    return kept if np.all(constant.array() == _BINARY[op.opcode]) else None


@dataclass(frozen=True)
class EliminateIdentities(RewritePass):
    """Remove ops that give back their operand."""

    name: ClassVar[str] = "eliminate_identity"
    rules: ClassVar[tuple[RewriteRule[Any], ...]] = (EliminateIdentity(),)
