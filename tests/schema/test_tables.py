"""The schema tables: current, complete, and free of cycles."""

import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from edgec.schema.fields import Field, enum_name, enum_value
from edgec.schema.tables import ENUMS, SCHEMA_SOURCE, TABLES

GENERATOR = Path(__file__).resolve().parents[2] / "scripts" / "generate_schema.py"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_schema", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_what_the_generator_writes(generator: ModuleType) -> None:
    distribution, version = SCHEMA_SOURCE.split(" ")
    try:
        installed = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")
    if installed != version:
        pytest.skip(f"tables.py is from {SCHEMA_SOURCE}, installed is {installed}")
    assert generator.generate() == generator.TABLES_PATH.read_text(encoding="utf-8")


def targets_of(field: Field) -> list[str]:
    """Tables that a field leads to."""
    parts = field.kind.split(":")
    if parts[0] == "union":
        return [member for member in ENUMS[parts[1]] if member != "NONE"]
    return [parts[-1]] if "table" in parts else []


def depth_of(table: str, above: tuple[str, ...] = ()) -> int:
    """Levels of tables from `table` down; the reader's recursion is as deep as this and no deeper."""
    assert table not in above, f"{' > '.join((*above, table))}: a cycle, so the reader needs a depth limit"
    below = [depth_of(name, (*above, table)) for field in TABLES[table] for name in targets_of(field)]
    return 1 + max(below, default=0)


def test_no_table_contains_itself() -> None:
    assert depth_of("Model") == 6  # Model, SubGraph, Tensor, SparsityParameters, DimensionMetadata, Int32Vector


def test_every_field_is_of_a_known_kind() -> None:
    scalars = {"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"}
    for table, fields in TABLES.items():
        slots = [slot for f in fields for slot in range(f.slot, f.slot + (2 if f.kind.startswith("union:") else 1))]
        assert len(slots) == len(set(slots)), table
        for field in fields:
            head, _, rest = field.kind.partition(":")
            assert (field.default is not None) == (head in scalars), (table, field)
            assert field.enum is None or enum_name(field.enum, int(field.default or 0)) in ENUMS[field.enum]
            if head == "vector":
                assert rest in scalars | {"string"} or rest.removeprefix("table:") in TABLES, (table, field)
            else:
                assert head in scalars | {"string", "table", "union"}, (table, field)


def test_facts_of_the_schema_that_the_codec_leans_on() -> None:
    conv = {field.name: field for field in TABLES["Conv2DOptions"]}
    assert conv["padding"] == Field("padding", 0, "int8", 0, enum="Padding")
    assert conv["dilation_w_factor"] == Field("dilation_w_factor", 4, "int32", 1)
    assert TABLES["Buffer"][0] == Field("data", 0, "vector:uint8", align=16)
    assert [field.name for field in TABLES["SignatureDef"]] == ["inputs", "outputs", "signature_key", "subgraph_index"]
    assert {field.name: field.slot for field in TABLES["SignatureDef"]}["subgraph_index"] == 4  # 3 is deprecated
    assert len(ENUMS["BuiltinOperator"]) >= 209


def test_unknown_enum_value_stays_a_number() -> None:
    assert enum_name("Padding", 1) == "VALID"
    assert enum_name("Padding", 9) == 9
    assert enum_value("Padding", "VALID") == 1
    assert enum_value("Padding", 9) == 9
    with pytest.raises(KeyError):
        enum_value("Padding", "FULL")
