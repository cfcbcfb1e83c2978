"""Default attributes of an op, read from the TFLite schema."""

from __future__ import annotations

from functools import cache
from typing import Any

from edgec.schema.fields import enum_name


def default_attributes(options: str | None) -> dict[str, Any]:
    """Every field of an options table with the schema's default; enum fields by name, vectors empty, strings "".

    Raises:
        KeyError: the schema has no such table.
    """
    return dict(_defaults(options)) if options else {}


@cache
def _defaults(options: str) -> dict[str, Any]:
    from edgec.schema.tables import TABLES

    defaults: dict[str, Any] = {}
    for field in TABLES[options]:
        if field.enum is not None:
            defaults[field.name] = enum_name(field.enum, int(field.default or 0))
        else:
            defaults[field.name] = () if field.kind.startswith("vector:") else field.default
    return defaults
