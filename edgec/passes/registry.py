"""All passes by name, and the text form of a pipeline: `fold_constants,prune_channels{ratio=0.3}`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from edgec.errors import PassError
from edgec.passes.base import Pass


class PassRegistry(Mapping[str, type[Pass]]):
    """Pass classes by name; registering a name twice is an error."""

    def __init__(self, classes: tuple[type[Pass], ...]) -> None:
        self._classes: dict[str, type[Pass]] = {}
        for cls in classes:
            if not cls.name or cls.name in self._classes:
                raise ValueError(f"pass name '{cls.name}' is empty or registered twice")
            self._classes[cls.name] = cls

    def __getitem__(self, name: str) -> type[Pass]:
        return self._classes[name]

    def __iter__(self) -> Any:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def create(self, name: str, options: Mapping[str, Any]) -> Pass:
        """A pass with options.

        Raises:
            PassError: there is no such pass or option, or an option has the wrong type.
        """
        cls = self._classes.get(name)
        if cls is None:
            raise PassError(f"There is no pass '{name}'; the passes are {', '.join(sorted(self._classes))}.")
        known = {f.name: f for f in fields(cls)}
        for key, value in options.items():
            if key not in known:
                listed = ", ".join(known) or "none"
                raise PassError(f"Pass '{name}' has no option '{key}'; its options are: {listed}.")
            _check_type(name, key, value, known[key].default)
        missing = [f.name for f in known.values() if _is_required(f) and f.name not in options]
        if missing:
            raise PassError(f"Pass '{name}' needs a value for option '{missing[0]}'.")
        try:
            return cls(**options)
        except ValueError as error:
            raise PassError(f"Pass '{name}': {error}.") from error

    def parse(self, text: str) -> list[Pass]:
        """The passes of a pipeline text.

        Raises:
            PassError: the text is malformed or names an unknown pass or option.
        """
        return [self.create(name, _parse_options(name, body)) for name, body in _split(text)]


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _check_type(name: str, key: str, value: Any, default: Any) -> None:
    """An option has the type of its default; an integer will do for a float, but true is no number."""
    if (
        default is None
        or default is MISSING
        or type(value) is type(default)
        or (type(default) is float and type(value) is int)
    ):
        return
    wanted = type(default).__name__
    raise PassError(f"Pass '{name}': option '{key}' takes a value of type {wanted}, found {json.dumps(value)}.")


_ENTRY = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(?:\{([^{}]*)\})?\s*(?:,|$)")
_OPTION = re.compile(r"\s*([^,=]*?)\s*(?:=\s*(\[[^\]]*\]|\"[^\"]*\"|[^,]*?))?\s*(?:,|$)")


def _split(text: str) -> list[tuple[str, str]]:
    entries, at = [], 0
    while at < len(text):
        match = _ENTRY.match(text, at)
        if match is None:
            raise PassError(
                f"The pipeline '{text}' cannot be read from '{text[at:]}' on; write it as name,name{{option=value}}."
            )
        entries.append((match.group(1), match.group(2) or ""))
        at = match.end()
    return entries


def _parse_options(name: str, body: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    at = 0
    while at < len(body.rstrip()):
        match = _OPTION.match(body, at)
        if match is None:
            raise PassError(f"Pass '{name}': the options cannot be read from '{body[at:].strip()}' on.")
        at = match.end()
        key, value = match.group(1), match.group(2)
        if value is None or not key:
            raise PassError(f"Pass '{name}': option '{key}' has no value; write {key or 'option'}=VALUE.")
        if key in options:
            raise PassError(f"Pass '{name}': option '{key}' is given twice.")
        options[key] = _parse_value(value)
    return options


def _parse_value(text: str) -> Any:
    """JSON where it is JSON (lists become tuples), else the text itself."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return tuple(value) if isinstance(value, list) else value
