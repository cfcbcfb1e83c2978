"""What one field of a TFLite table is, and the names of enum values."""

from dataclasses import dataclass
from functools import cache

Default = int | float | bool | None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a FlatBuffers table.

    `kind` is a scalar ("int8", "uint32", "float32", "bool" …), "string", "table:<Name>", "union:<Name>",
    "vector:<scalar>", "vector:string" or "vector:table:<Name>". A union takes two slots: `slot` holds its type,
    `slot + 1` its value. `default` is the raw value of an absent scalar (None for all other kinds). `enum` names the
    enum of an enum-typed scalar. `align` is the alignment in bytes that the schema demands of a vector's first
    element (`force_align`), 0 for the natural one.
    """

    name: str
    slot: int
    kind: str
    default: Default = None
    enum: str | None = None
    align: int = 0


@cache
def value_names(enum: str) -> dict[int, str]:
    """Names by value of one schema enum; do not change the returned dict. Raises KeyError for an unknown enum."""
    from edgec.schema.tables import ENUMS

    return {value: name for name, value in ENUMS[enum].items()}


def enum_name(enum: str, value: int) -> str | int:
    """Name of `value` in `enum` ("SAME"), or the value itself where the schema does not know it."""
    return value_names(enum).get(value, value)


def enum_value(enum: str, name: str | int) -> int:
    """Number of `name` in `enum`; a number is returned as it is. Raises KeyError for an unknown name."""
    if isinstance(name, str):
        from edgec.schema.tables import ENUMS

        return ENUMS[enum][name]
    return int(name)
