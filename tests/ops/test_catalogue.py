"""The registry as data and as a document."""

from pathlib import Path

from edgec.ir.op_def import Role
from edgec.ops import FAMILIES, OP_DEFS
from edgec.ops.catalogue import describe_ops, ops_document
from edgec.schema.tables import ENUMS, TABLES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "ops.md"


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_bytes().decode("utf-8") == ops_document(), "run scripts/generate_ops_doc.py"


def test_every_builtin_but_a_handful_is_known() -> None:
    known = {definition.builtin for definition in OP_DEFS.values()}
    missing = {name for name in ENUMS["BuiltinOperator"] if not name.startswith("STABLEHLO_")} - known
    assert missing == {
        "CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES",  # no ops of their own
        "LSH_PROJECTION", "CONCAT_EMBEDDINGS", "SKIP_GRAM", "REDUCE_WINDOW",  # carried through, not understood
    }  # fmt: skip


def test_names_and_tables_are_the_schemas() -> None:
    unions = {**ENUMS["BuiltinOptions"], **ENUMS["BuiltinOptions2"]}
    for definition in OP_DEFS.values():
        assert definition.builtin == definition.opcode.upper()
        assert definition.builtin in ENUMS["BuiltinOperator"]
        assert definition.options is None or (definition.options in TABLES and definition.options in unions)


def test_rules_are_sound() -> None:
    for definition in OP_DEFS.values():
        rule = definition.quant
        assert not (rule.fixed and rule.same_scale), definition.opcode
        assert rule.weight_axis is None or any(o.role is Role.WEIGHT for o in definition.operands), definition.opcode
        assert not (definition.is_commutative and not definition.is_elementwise), definition.opcode


def test_descriptions_are_plain_data_in_order() -> None:
    described = describe_ops()
    assert [d["opcode"] for d in described] == sorted(OP_DEFS)
    assert len(described) == sum(len(ops) for ops in FAMILIES.values()) >= 130
    softmax = next(d for d in described if d["opcode"] == "softmax")
    assert softmax["fixed_range"]["int8"] == {"scale": 1 / 256, "zero_point": -128}
    assert (softmax["int8"], softmax["int16"], softmax["family"]) == (True, True, "activation")
    dense = next(d for d in described if d["opcode"] == "fully_connected")
    assert [o["role"] for o in dense["operands"]] == ["activation", "weight", "bias"]
    assert dense["weight_axis"] == 0
