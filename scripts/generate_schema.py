"""Write edgec/schema/tables.py from the TFLite schema that the installed ai-edge-litert carries.

Run `python scripts/generate_schema.py` after a new schema release; `--check` only says whether the file is current.
The generated accessors are parsed, never imported. They do not tell which integer is an enum, nor `force_align`:
those two facts of schema.fbs stand below, and a new int8 field that is in neither list stops the run.
"""

import ast
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path
from typing import NamedTuple

TABLES_PATH = Path(__file__).resolve().parent.parent / "edgec" / "schema" / "tables.py"
DISTRIBUTION = "ai-edge-litert"
LINE_LENGTH = 120  # so that the file is as the formatter would write it

# Schema names that cannot be told from the camel case of the accessors.
NAME_OVERRIDES = {("Operator", "BuiltinOptions2"): "builtin_options_2"}

# Enum of a scalar field, by "Table.field" first, then by field name.
ENUM_OF_FIELD = {
    "LSHProjectionOptions.type": "LSHProjectionType",
    "VariantSubType.type": "TensorType",
    "Tensor.type": "TensorType",
    "algorithm": "RngAlgorithm",
    "builtin_code": "BuiltinOperator",
    "combiner": "CombinerType",
    "compare_type": "StablehloComparisonType",
    "comparison_direction": "StablehloComparisonDirection",
    "composite_attributes_format": "CustomOptionsFormat",
    "custom_options_format": "CustomOptionsFormat",
    "format": "DimensionType",
    "fused_activation_function": "ActivationFunctionType",
    "idx_out_type": "TensorType",
    "in_data_type": "TensorType",
    "kernel_type": "LSTMKernelType",
    "key_dtype": "TensorType",
    "mode": "MirrorPadMode",
    "out_data_type": "TensorType",
    "out_type": "TensorType",
    "output_type": "TensorType",
    "padding": "Padding",
    "quantized_bias_type": "TensorType",
    "reduce_function": "ReduceWindowFunction",
    "value_dtype": "TensorType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
}
PLAIN_INT8 = {"OperatorCode.deprecated_builtin_code"}
UNION_OF_FIELD = {
    "Details": "QuantizationDetails",
    "ArraySegments": "SparseIndexVector",
    "ArrayIndices": "SparseIndexVector",
}
FORCE_ALIGN = {"Buffer.data": 16, "CustomQuantization.custom": 16, "Uint16Vector.values": 4, "Uint8Vector.values": 4}


class Row(NamedTuple):
    """One field as found: the arguments of `edgec.schema.fields.Field`."""

    name: str
    slot: int
    kind: str
    default: int | float | bool | None
    enum: str | None
    align: int


def snake_case(name: str) -> str:
    """`StrideW` → `stride_w`, `Seed2` → `seed2`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def find_schema() -> Path:
    """Path of the generated Python schema inside the installed package."""
    spec = importlib.util.find_spec("ai_edge_litert")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{DISTRIBUTION} is not installed, so there is no schema to read")
    return Path(next(iter(spec.submodule_search_locations))) / "schema_py_generated.py"


def enum_members(node: ast.ClassDef) -> dict[str, int] | None:
    """Members of a class that holds nothing but integer constants, else None."""
    members: dict[str, int] = {}
    for item in node.body:
        match item:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=int(value))):
                members[name] = value
            case _:
                return None
    return members or None


def offset_kind(accessor: ast.FunctionDef, unions: set[str], name: str) -> str:
    """Kind of a field that is stored as an offset, from what its accessor does."""
    calls = [node for node in ast.walk(accessor) if isinstance(node, ast.Call)]
    methods = [call.func.attr for call in calls if isinstance(call.func, ast.Attribute)]
    is_vector = len(accessor.args.args) == 2  # accessor(self, j)
    if "Union" in methods:
        return f"union:{union_of_field(name, unions)}"
    if "String" in methods:
        return "vector:string" if is_vector else "string"
    made = [call.func.id for call in calls if isinstance(call.func, ast.Name) and not call.args]
    if made:
        return f"vector:table:{made[0]}" if is_vector else f"table:{made[0]}"
    attributes = [node.attr for node in ast.walk(accessor) if isinstance(node, ast.Attribute)]
    flags = [name for name in attributes if name.endswith("Flags") and name != "UOffsetTFlags"]
    return "vector:" + flags[0].removesuffix("Flags").lower()


def union_of_field(name: str, unions: set[str]) -> str:
    """Union type of a union field: of the same name, or as stated in UNION_OF_FIELD."""
    union = UNION_OF_FIELD.get(name, name)
    if union not in unions:
        raise SystemExit(f"union field {name!r} is of an unknown union type; name it in UNION_OF_FIELD")
    return union


def scalar_row(table: str, name: str, slot: int, kind: str, default: int | float | None) -> Row:
    """Row of a scalar field, with its enum where it has one."""
    qualified = f"{table}.{name}"
    enum = ENUM_OF_FIELD.get(qualified, ENUM_OF_FIELD.get(name))
    if enum is None and kind == "int8" and qualified not in PLAIN_INT8:
        raise SystemExit(f"{qualified} is an int8: name its enum in ENUM_OF_FIELD or list it in PLAIN_INT8")
    if default is None:  # an optional scalar (`= null` in the schema)
        return Row(name, slot, kind, None, enum, 0)
    typed = bool(default) if kind == "bool" else float(default) if kind.startswith("float") else int(default)
    return Row(name, slot, kind, typed, enum, 0)


def table_rows(table: ast.ClassDef, adders: list[tuple[str, str, int, float | None]], unions: set[str]) -> list[Row]:
    """Rows of one table by slot; `adders` are (field, builder method, slot, default) of its Add functions."""
    accessors = {item.name: item for item in table.body if isinstance(item, ast.FunctionDef)}
    rows = []
    for field, method, slot, default in sorted(adders, key=lambda adder: adder[2]):
        name = NAME_OVERRIDES.get((table.name, field), snake_case(field))
        if method != "UOffsetTRelative":
            rows.append(scalar_row(table.name, name, slot, method.lower(), default))
            continue
        kind = offset_kind(accessors[field], unions, field)
        align = FORCE_ALIGN.get(f"{table.name}.{name}", 0)
        if kind.startswith("union:"):
            type_row = rows.pop()  # the union's type field stands in the slot before
            if type_row.slot != slot - 1 or type_row.kind != "uint8":
                raise SystemExit(f"{table.name}.{name}: no union type in the slot before")
            slot = type_row.slot
        rows.append(Row(name, slot, kind, None, None, align))
    return rows


def parse_schema(source: str) -> tuple[dict[str, dict[str, int]], dict[str, list[Row]]]:
    """Enums and tables of the generated Python schema."""
    body = ast.parse(source).body
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    enums = {name: members for name, node in classes.items() if (members := enum_members(node)) is not None}
    tables = [node for name, node in classes.items() if f"{name}T" in classes and name not in enums]
    unions = {name for name in enums if any(member in classes for member in enums[name])}
    adders: dict[str, list[tuple[str, str, int, float | None]]] = {node.name: [] for node in tables}
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    for table in tables:
        fields = [item.name for item in table.body if isinstance(item, ast.FunctionDef)]
        for field in fields:
            adder = functions.get(f"{table.name}Add{field}")
            if adder is None:
                continue
            call = next(node for node in ast.walk(adder) if isinstance(node, ast.Call))
            assert isinstance(call.func, ast.Attribute)
            method = call.func.attr.removeprefix("Prepend").removesuffix("Slot")
            slot, default = ast.literal_eval(call.args[0]), ast.literal_eval(call.args[2])
            adders[table.name].append((field, method, slot, default))
    check_facts(enums, unions, set(adders))
    return enums, {table.name: table_rows(table, adders[table.name], unions) for table in tables}


def check_facts(enums: dict[str, dict[str, int]], unions: set[str], tables: set[str]) -> None:
    """Stop where the facts stated in this file no longer fit the schema."""
    missing = sorted(set(ENUM_OF_FIELD.values()) - set(enums))
    strangers = sorted(f"{u}.{m}" for u in unions for m in enums[u] if m != "NONE" and m not in tables)
    if missing or strangers:
        raise SystemExit(f"the schema lacks the enums {missing} and the union members {strangers}")


def render(version: str, enums: dict[str, dict[str, int]], tables: dict[str, list[Row]]) -> str:
    """Text of tables.py."""
    lines = [
        '"""Enums and tables of the TFLite schema, as data.',
        "",
        f"Written by scripts/generate_schema.py from {DISTRIBUTION} {version}; change the script, not this file.",
        '"""',
        "",
        "from edgec.schema.fields import Field",
        "",
        f'SCHEMA_SOURCE = "{DISTRIBUTION} {version}"',
        "",
        "ENUMS: dict[str, dict[str, int]] = {",
    ]
    for name, members in enums.items():
        lines.append(f'    "{name}": {{')
        lines += [f'        "{member}": {value},' for member, value in members.items()]
        lines.append("    },")
    lines += ["}", "", "TABLES: dict[str, tuple[Field, ...]] = {"]
    for name, rows in tables.items():
        short = f'    "{name}": ({render_row(rows[0]) + "," if rows else ""}),'
        if len(rows) < 2 and len(short) <= LINE_LENGTH:
            lines.append(short)
            continue
        lines.append(f'    "{name}": (')
        lines += [f"        {render_row(row)}," for row in rows]
        lines.append("    ),")
    return "\n".join([*lines, "}", ""])


def render_row(row: Row) -> str:
    """One `Field(...)` call, without arguments that have their default."""
    arguments = [f'"{row.name}"', str(row.slot), f'"{row.kind}"']
    if row.default is not None:
        arguments.append(repr(row.default))
    if row.enum is not None:
        arguments.append(f'enum="{row.enum}"')
    if row.align:
        arguments.append(f"align={row.align}")
    return f"Field({', '.join(arguments)})"


def generate() -> str:
    """Text that tables.py should have for the installed schema."""
    enums, tables = parse_schema(find_schema().read_text(encoding="utf-8"))
    return render(importlib.metadata.version(DISTRIBUTION), enums, tables)


def main() -> None:
    """Write the file, or with `--check` exit 1 if it is out of date."""
    text = generate()
    if "--check" in sys.argv[1:]:
        if TABLES_PATH.read_text(encoding="utf-8") != text:
            raise SystemExit(f"{TABLES_PATH} is out of date: run python scripts/generate_schema.py")
        return
    TABLES_PATH.write_text(text, encoding="utf-8")
    print(f"wrote {TABLES_PATH}")


if __name__ == "__main__":
    main()
