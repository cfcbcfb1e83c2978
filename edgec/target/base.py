"""What all profile models share: frozen, strict, no unknown keys, and mistakes told in one sentence."""

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from edgec.errors import ProfileError

LONGEST_SHOWN = 80  # characters
EvidenceKind = Literal["executed", "planned", "calibrated", "derived", "unknown"]


class ProfileModel(BaseModel):
    """Base of every table in a target, device or budget file.

    Strict: TOML already has types, so `"1500"` is not a number and `true` is not 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


ModelT = TypeVar("ModelT", bound=BaseModel)


def validate(model: type[ModelT], data: Mapping[str, Any], where: str) -> ModelT:
    """Check `data` against `model`; `where` names the file for the message.

    Raises:
        ProfileError: one sentence with file, key, what was found and what is allowed.
    """
    try:
        return model.model_validate(tuples_for_lists(data))
    except ValidationError as error:
        problems = error.errors()
        more = f" ({len(problems) - 1} more after that)" if len(problems) > 1 else ""
        raise ProfileError(f"{where}: {describe(problems[0], model)}{more}") from error


def tuples_for_lists(value: Any) -> Any:
    """Copy nested TOML data with tuples in place of lists, which frozen strict models ask for."""
    if isinstance(value, Mapping):
        return {key: tuples_for_lists(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(tuples_for_lists(item) for item in value)
    return value


def describe(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Turn one pydantic problem into 'key ...: found ..., expected ...'."""
    location = tuple(part for part in problem["loc"] if part != "[key]")
    key = shortened(dotted(location), 120)
    kind = problem["type"]
    if kind == "extra_forbidden":
        allowed = allowed_keys(model, location[:-1]) + (["extends"] if len(location) == 1 else [])
        return f"unknown key '{key}'{suggestion(str(location[-1]), allowed)}; allowed keys are {listing(allowed)}"
    if kind == "missing":
        return f"key '{key}' is missing; add it"
    found = found_text(problem.get("input"))
    if kind == "literal_error":
        return f"key '{key}' is {found}; allowed values are {problem['ctx']['expected'].replace(' or ', ', ')}"
    if kind == "value_error":
        message = str(problem["ctx"]["error"])
        return f"key '{key}': {message}" if key else message
    expected = problem["msg"].removeprefix("Input should be ").rstrip(".")
    return f"key '{key}' is {found}; it should be {expected}"


def shortened(text: str, longest: int = LONGEST_SHOWN) -> str:
    """A text of the file's, no longer than a message bears."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def found_text(value: Any) -> str:
    """Show a found value, shortened, for a message."""
    if isinstance(value, Mapping):
        return shortened(f"a table with {', '.join(map(str, value)) or 'no keys'}", 200)
    text = repr(list(value)) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(location: Iterable[object]) -> str:
    """Write a pydantic location as `table.key[2]`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return ', did you mean ...?' for a near miss, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def listing(names: Iterable[str]) -> str:
    """Join sorted names with commas."""
    return ", ".join(sorted(names)) or "none"


def allowed_keys(model: type[BaseModel], location: Iterable[object]) -> list[str]:
    """Return the keys a file's table at `location` may have; fields excluded from dumps are not for files."""
    annotation: Any = model
    for part in location:
        annotation = _step(annotation, part)
    inner = _model_in(annotation)
    if inner is None:
        return []
    return [field.alias or name for name, field in inner.model_fields.items() if not field.exclude]


def _step(annotation: Any, part: object) -> Any:
    inner = _model_in(annotation) if not isinstance(part, int) else None
    if inner is not None:
        for name, field in inner.model_fields.items():
            if part in (name, field.alias):
                return field.annotation
        return None
    for option in _options(annotation):
        arguments = get_args(option)
        if arguments:
            return arguments[0] if isinstance(part, int) else arguments[-1]
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _options(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)
