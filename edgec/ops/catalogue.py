"""The op vocabulary as data and as a document: what `edgec ops` prints and docs/ops.md holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgec.ir.dtype import DType
from edgec.ir.op_def import FixedRange, OpDef, Operand, QuantRule
from edgec.ops import FAMILIES, OP_DEFS
from edgec.schema.defaults import default_attributes

_INTRODUCTION = """# The ops edgec knows

Written by `scripts/generate_ops_doc.py` from `edgec/ops`; change the definitions there, not this page.

Each op is a TFLite builtin under its lower-case name, with TFLite's attributes and operand order. An operand's role
says how it is treated: **activation** (quantized per tensor), **weight** (quantized symmetrically, per channel along
the axis named), **bias** (32 or 64 bits), **parameter** (shapes, axes, indices: never quantized), **state** (survives
a run). `?` marks an operand that may be absent, `…` one that may be repeated.

*Quantized* names the activation types for which LiteRT has an integer kernel that agrees with the float one; the tests
run every one of them, but the recurrent layers only as parts of real files, and of `quantize` and `dequantize` they
check shape and type only. What a microcontroller runs is a question to its target, not to this table. "One scale" means
that operands and results share scale and zero point.

A builtin that is missing here is carried through a `.tflite` unchanged but is not understood.
"""


def describe_ops() -> list[dict[str, Any]]:
    """Every op in alphabetical order, as plain data.

    Keys: opcode, builtin, family, options (name of the options table or None), attributes (with defaults), operands
    (name, role, optional, variadic), results (None where attributes decide), int8, int16, weight_axis, same_scale,
    fixed_range (dtype to scale and zero point, or None), integer_results, elementwise, commutative, side_effects, note.
    """
    family_of = {definition.opcode: name for name, ops in FAMILIES.items() for definition in ops}
    return [_described(OP_DEFS[opcode], family_of[opcode]) for opcode in sorted(OP_DEFS)]


def _described(definition: OpDef, family: str) -> dict[str, Any]:
    rule = definition.quant
    return {
        "opcode": definition.opcode,
        "builtin": definition.builtin,
        "family": family,
        "options": definition.options,
        "attributes": default_attributes(definition.options),
        "operands": [
            {"name": o.name, "role": o.role.value, "optional": o.optional, "variadic": o.variadic}
            for o in definition.operands
        ],
        "results": definition.results,
        "int8": DType.INT8 in rule.activations,
        "int16": DType.INT16 in rule.activations,
        "weight_axis": rule.weight_axis,
        "same_scale": rule.same_scale,
        "fixed_range": _fixed_range(rule.fixed),
        "integer_results": rule.integer_results,
        "elementwise": definition.is_elementwise,
        "commutative": definition.is_commutative,
        "side_effects": definition.has_side_effects,
        "note": rule.note,
    }


def _fixed_range(fixed: FixedRange | None) -> dict[str, dict[str, float | int]] | None:
    if fixed is None:
        return None
    ranges = {"int8": fixed.int8, "int16": fixed.int16}
    return {name: {"scale": pair[0], "zero_point": pair[1]} for name, pair in ranges.items() if pair is not None}


def ops_document() -> str:
    """The text of docs/ops.md."""
    sections = [_section(name, ops) for name, ops in FAMILIES.items()]
    return "\n".join([_INTRODUCTION, f"{len(OP_DEFS)} ops in {len(FAMILIES)} families.\n", *sections])


def _section(family: str, ops: Sequence[OpDef]) -> str:
    rows = [f"| `{d.opcode}` | {_operands(d)} | {_attributes(d)} | {_quantized(d.quant)} |" for d in ops]
    head = ["| op | operands | attributes | quantized |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {family}\n", *head, *rows, ""])


def _operands(definition: OpDef) -> str:
    """Operands in order; runs of one role in long signatures are shortened to the first and the last."""
    if len(definition.operands) <= 8:
        return ", ".join(_operand(o) for o in definition.operands) or "none"
    runs: list[list[Operand]] = []
    for operand in definition.operands:
        if runs and runs[-1][0].role is operand.role:
            runs[-1].append(operand)
        else:
            runs.append([operand])
    return ", ".join(_operand(r[0]) if len(r) == 1 else f"{len(r)} × {r[0].role.value}" for r in runs)


def _operand(operand: Operand) -> str:
    return f"{operand.name}{'…' if operand.variadic else ''}{'?' if operand.optional else ''} ({operand.role.value})"


def _attributes(definition: OpDef) -> str:
    return ", ".join(f"`{name}`" for name in default_attributes(definition.options)) or "none"


def _quantized(rule: QuantRule) -> str:
    said = [", ".join(d.value for d in rule.activations) or "no"]
    if rule.weight_axis is not None:
        said.append(f"weights per channel on axis {rule.weight_axis}")
    if rule.same_scale:
        said.append("one scale")
    if rule.fixed is not None:
        scale, zero_point = rule.fixed.int8
        said.append(f"int8 result: scale {scale:g}, zero point {zero_point}")
    if rule.integer_results:
        said.append("results are not quantized")
    if rule.note:
        said.append(rule.note)
    return "; ".join(said)
