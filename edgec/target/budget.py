"""Budgets: what the user allows, and the verdict on a figure with its band."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from edgec.errors import ProfileError
from edgec.target.base import found_text, listing, shortened, suggestion
from edgec.target.load import read_toml

Verdict = Literal["fits", "misses", "uncertain", "unknown"]

_TIME = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_BYTES = {"B": 1, "KB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
_ENERGY = {"uJ": 1e-3, "mJ": 1.0, "J": 1e3}
_POWER = {"mW": 1.0, "W": 1e3}
_SHARE = {"%": 0.01, "percent": 0.01, "points": 0.01, "point": 0.01}
_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%]*)\s*")


@dataclass(frozen=True)
class _Line:
    field: str
    unit: str
    units: Mapping[str, float]


_LINES = {
    "latency": _Line("latency_ms", "ms", _TIME),
    "ram": _Line("ram_bytes", "B", _BYTES),
    "flash": _Line("flash_bytes", "B", _BYTES),
    "energy": _Line("energy_mj", "mJ", _ENERGY),
    "power": _Line("power_mw", "mW", _POWER),
    "accuracy-drop": _Line("accuracy_drop", "fraction", _SHARE),
}


@dataclass(frozen=True)
class BudgetLine:
    """One limit: its name as the user writes it, the limit, and the limit's unit."""

    name: str
    limit: float
    unit: str


@dataclass(frozen=True)
class Budget:
    """What one inference may cost; None means no limit. `accuracy_drop` is a fraction: 1 % is 0.01."""

    latency_ms: float | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    energy_mj: float | None = None
    power_mw: float | None = None
    accuracy_drop: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise ProfileError(f"budget: {field.name} is {limit!r}; a limit must be above zero and finite")

    def lines(self) -> tuple[BudgetLine, ...]:
        """Return the limits that are set, in a fixed order."""
        set_ = ((name, line, getattr(self, line.field)) for name, line in _LINES.items())
        return tuple(BudgetLine(name, limit, line.unit) for name, line, limit in set_ if limit is not None)


def parse_budget(text: str) -> Budget:
    """Parse `latency=30ms,ram=256KiB,flash=1MiB,energy=5mJ,power=2W,accuracy-drop=1%`.

    Raises:
        ProfileError: an empty, unknown or repeated key, or a value that is no positive number with a known unit.
    """
    found: dict[str, float | int] = {}
    where = f"budget '{shortened(text, 200)}'"
    for item in text.split(","):
        name, equals, value = item.partition("=")
        if not equals:
            raise ProfileError(f"{where}: '{shortened(item.strip())}' is not NAME=VALUE; write it like {_example()}")
        _add(found, name.strip(), value, where)
    return Budget(**found)  # type: ignore[arg-type]  # _limit makes byte counts integers


def load_budget(path: str | Path) -> Budget:
    """Load a budget from a TOML file of `latency = "30ms"` lines, at the top or in a table `[budget]`.

    Raises:
        ProfileError: the file cannot be read or a line is not allowed; one sentence.
    """
    data: Any = read_toml(Path(path))
    if set(data) == {"budget"}:
        data = data["budget"]
    if not isinstance(data, Mapping) or not data:
        raise ProfileError(f'{path}: the budget has no lines; write it like latency = "30ms"')
    found: dict[str, float | int] = {}
    for name, value in data.items():
        if not isinstance(value, str):
            raise ProfileError(
                f"{path}: key '{shortened(name)}' is {found_text(value)}; write a number with its unit, like \"30ms\""
            )
        _add(found, name, value, str(path))
    return Budget(**found)  # type: ignore[arg-type]  # _limit makes byte counts integers


def _add(found: dict[str, float | int], name: str, value: str, where: str) -> None:
    key = name.replace("_", "-")
    if key not in _LINES:
        near = suggestion(key, _LINES)
        raise ProfileError(f"{where}: unknown key '{shortened(name)}'{near}; allowed keys are {listing(_LINES)}")
    line = _LINES[key]
    if line.field in found:
        raise ProfileError(f"{where}: key '{key}' is given twice; keep one")
    found[line.field] = _limit(key, line, value, where)


def _limit(name: str, line: _Line, value: str, where: str) -> float | int:
    match = _NUMBER.fullmatch(value)
    shown = shortened(value.strip())
    wanted = f"write a number with one of the units {', '.join(line.units)}"
    if match is None:
        raise ProfileError(f"{where}: key '{name}' is '{shown}', which is no number with a unit; {wanted}")
    number, unit = match.groups()
    if unit not in line.units:
        problem = f"has the unit '{shortened(unit)}'" if unit else "has no unit"
        raise ProfileError(f"{where}: key '{name}' is '{shown}', which {problem}; {wanted}")
    limit = float(number) * line.units[unit]
    if line.units is _BYTES and math.isfinite(limit):
        limit = math.floor(limit)
    if not (math.isfinite(limit) and limit > 0):
        smallest = "one byte or more" if line.units is _BYTES else "above zero and finite"
        raise ProfileError(f"{where}: key '{name}' is '{shown}'; a limit must be {smallest}")
    if line.units is _SHARE and limit > 1:
        raise ProfileError(f"{where}: key '{name}' is '{shown}'; a drop cannot be more than 100%")
    return limit


def _example() -> str:
    return "latency=30ms,ram=256KiB"


def judge(limit: float, value: float | None, low: float | None = None, high: float | None = None) -> Verdict:
    """Judge a figure against a limit: fits if its whole band does, misses if none of it does, else uncertain.

    `low` and `high` default to `value`, as for a figure that was executed. Without a value (or with NaN): unknown.
    """
    if value is None or math.isnan(value):
        return "unknown"
    bottom, top = (value if low is None else low), (value if high is None else high)
    if math.isnan(bottom) or math.isnan(top):
        return "unknown"
    if top <= limit:
        return "fits"
    return "misses" if bottom > limit else "uncertain"


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Combine the lines' verdicts: the worst of misses, unknown, uncertain, fits. No lines at all fit."""
    found = set(verdicts)
    order: tuple[Verdict, ...] = ("misses", "unknown", "uncertain")
    for verdict in order:
        if verdict in found:
            return verdict
    return "fits"
