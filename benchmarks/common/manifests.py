"""Sample-set manifests for the shared data, written with absolute paths into the benchmarks' work folder."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.locations import WORK


def write_manifest(
    name: str,
    source: Mapping[str, Any],
    *,
    preprocess: Mapping[str, Any],
    labels: Mapping[str, Any] | None = None,
    metric: str | None = None,
    indices: Sequence[int] | None = None,
) -> Path:
    """Write WORK/manifests/NAME.toml and return its path; tables and keys as edgec's manifest format has them."""
    folder = WORK / "manifests"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [] if metric is None else [f"metric = {_toml(metric)}"]
    lines += _table("input", source) + _table("input.preprocess", preprocess)
    if indices is not None:
        lines += _table("select", {"indices": [int(index) for index in indices]})
    if labels is not None:
        lines += _table("labels", labels)
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    inner = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in inner.items())]
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _table(f"{name}.{key}", value)
    return lines


def _toml(value: Any) -> str:
    """A string, number, boolean or list in TOML, which JSON's notation is for these."""
    return json.dumps(str(value) if isinstance(value, Path) else value)
