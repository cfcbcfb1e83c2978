"""Turn pydantic's validation errors into one sentence: file, key, what was found, what is allowed."""

import types
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo


def manifest_sentence(path: Path, model: type[BaseModel], data: dict[str, Any], error: ValidationError) -> str:
    """Name every faulty key of `data`, each once, with what was found and what is allowed."""
    findings: dict[str, str] = {}
    for item in error.errors(include_url=False):
        keys, table, field = _locate(model, item["loc"])
        key = ".".join(keys)
        findings.setdefault(key, _finding(key, table, field, item, _value_at(data, keys)))
    return f"reading manifest '{path}': " + "; ".join(findings.values())


def _finding(key: str, table: type[BaseModel], field: FieldInfo | None, item: Any, found: object) -> str:
    if item["type"] == "value_error":
        message = str(item["ctx"]["error"])
        return f"in '{key}', {message}" if key else message
    if item["type"] == "extra_forbidden":
        return f"key '{key}' is unknown, allowed keys: {', '.join(sorted(_key_names(table)))}"
    allowed = (field.description if field is not None else None) or item["msg"]
    if item["type"] == "missing":
        return f"key '{key}' is missing, needed: {allowed}"
    return f"key '{key}' is {_shown(found)}, allowed: {allowed}"


def _shown(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _locate(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel], FieldInfo | None]:
    """Follow a pydantic location as far as it names TOML keys; what follows (union branches, indices) is cut off."""
    keys: list[str] = []
    table, field = model, None
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            table, field = here, _key_names(here).get(str(part))
            keys.append(str(part))
            here = _plain(field.annotation) if field is not None else None
        elif get_origin(here) is dict:
            keys.append(str(part))
            here = _plain(get_args(here)[1])
        else:
            break
    return keys, table, field


def _key_names(model: type[BaseModel]) -> dict[str, FieldInfo]:
    names: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        names[str(alias.choices[0]) if isinstance(alias, AliasChoices) else name] = field
    return names


def _plain(annotation: Any) -> Any:
    """The table or dict type behind `X | None` and `Annotated[X, ...]`."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [_plain(member) for member in get_args(annotation) if member is not type(None)]
        return members[0] if len(members) == 1 else None
    return annotation


def _value_at(data: Any, keys: list[str]) -> object:
    for key in keys:
        if not isinstance(data, dict) or key not in data:
            return None
        data = data[key]
    return data
