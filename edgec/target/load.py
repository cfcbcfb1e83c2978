"""Find target and device files by name or by path, and check them.

Names are looked up in the repository's `targets/` and `device_profiles/` next to the package (a source checkout) or in
`edgec/data_files/` (an installed wheel). A device may say `extends = "rpi4"`: the parent's keys are taken over and its
own win, table by table; a fragment such as `_cores/cortex-m4` may be extended too.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgec.errors import ProfileError
from edgec.target.base import found_text, listing, shortened, suggestion, validate
from edgec.target.device import Device
from edgec.target.target import Target

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE_ROOT = Path(__file__).resolve().parent.parent
TARGETS = "targets"
DEVICES = "device_profiles"
MAX_FILE_BYTES = 1 << 20
_OWN_KEYS = ("name", "title")  # what a parent's file never passes on


def data_folder(kind: str) -> Path:
    """Return the folder of `kind` ("targets" or "device_profiles"): the checkout's, else the wheel's.

    The checkout's counts only where its `pyproject.toml` stands beside it, so that an unrelated folder of that name
    next to an installed package is never read.
    """
    checkout = PACKAGE_ROOT.parent / kind
    if checkout.is_dir() and (PACKAGE_ROOT.parent / "pyproject.toml").is_file():
        return checkout
    installed = PACKAGE_ROOT / "data_files" / kind
    if installed.is_dir():
        return installed
    raise ProfileError(f"looking for {kind}: neither {checkout} nor {installed} exists; reinstall edgec")


def list_targets() -> list[str]:
    """Return the names of the built-in targets, sorted."""
    return _names(TARGETS)


def list_devices() -> list[str]:
    """Return the names of the built-in device profiles, sorted."""
    return _names(DEVICES)


def load_target(name_or_path: str | Path) -> Target:
    """Load a target by built-in name or from a .toml file.

    Raises:
        ProfileError: unknown name, unreadable file, or a key that does not pass; one sentence.
    """
    path = _find(name_or_path, TARGETS)
    return validate(Target, _inherit(path, TARGETS), str(path))


def load_device(name_or_path: str | Path) -> Device:
    """Load a device profile by built-in name or from a .toml file, with its target resolved.

    Raises:
        ProfileError: unknown name, unreadable file, or a key that does not pass; one sentence.
    """
    path = _find(name_or_path, DEVICES)
    data = _inherit(path, DEVICES)
    target_name = data.get("target")
    if not isinstance(target_name, str):
        found = "missing" if target_name is None else repr(target_name)
        raise ProfileError(f"{path}: key 'target' is {found}; it should name one of {listing(list_targets())}")
    for internal in ("resolved_target", "target_name"):
        if internal in data:
            raise ProfileError(f"{path}: unknown key '{internal}' (did you mean 'target'?); remove it")
    beside = path.parent / target_name
    if target_name.endswith(".toml") and beside.is_file():
        target = load_target(beside)
    else:
        try:
            target = load_target(target_name)
        except ProfileError as error:
            raise ProfileError(f"{path}: key 'target': {error}") from error
    return validate(Device, {**data, "resolved_target": target}, str(path))


def _names(kind: str) -> list[str]:
    return sorted(path.stem for path in data_folder(kind).glob("*.toml") if not path.name.startswith("_"))


def _find(name_or_path: str | Path, kind: str) -> Path:
    text = str(name_or_path)
    as_path = Path(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text or "\\" in text:
        if _is_file(as_path):
            return as_path
        raise ProfileError(
            f"reading {_label(kind)} '{shortened(text)}': there is no such file; give a .toml file or a name: "
            f"{listing(_names(kind))}"
        )
    built_in = data_folder(kind) / f"{text}.toml"
    if text in _names(kind):
        return built_in
    if _is_file(as_path):
        return as_path
    known = _names(kind)
    raise ProfileError(
        f"unknown {_label(kind)} '{shortened(text)}'{suggestion(text.lower(), known)}; known are {listing(known)}, "
        "or give a .toml file"
    )


def _is_file(path: Path) -> bool:
    """As `Path.is_file`; False for what no file system takes as a path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _label(kind: str) -> str:
    return "target" if kind == TARGETS else "device"


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most 1 MiB.

    Raises:
        ProfileError: the file cannot be read, is too large, or is not TOML.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ProfileError(f"reading {path}: larger than {MAX_FILE_BYTES} bytes; a profile is far smaller")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"reading {path}: {error.strerror or error}; give a readable .toml file") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, no UTF-8, numbers without end, deep nesting
        raise ProfileError(f"reading {path}: not valid TOML: {error or 'nested too deeply'}") from error


def _inherit(path: Path, kind: str, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read `path` with everything it extends merged in."""
    resolved = path.resolve()
    if resolved in seen:
        chain = " -> ".join(item.stem for item in (*seen, resolved))
        raise ProfileError(f"{path}: key 'extends' runs in a circle: {chain}; remove one of them")
    data = read_toml(path)
    parent_name = data.pop("extends", None)
    if parent_name is None:
        return data
    if not isinstance(parent_name, str):
        raise ProfileError(f"{path}: key 'extends' is {found_text(parent_name)}; it should be a name or a .toml path")
    parent = _inherit(_parent(path, parent_name, kind), kind, (*seen, resolved))
    inherited = {key: value for key, value in parent.items() if key not in _OWN_KEYS}
    return _merge(inherited, data)


def _parent(path: Path, name: str, kind: str) -> Path:
    folder = data_folder(kind)
    file_name = name if name.endswith(".toml") else f"{name}.toml"
    for candidate in (path.parent / file_name, folder / file_name):
        if _is_file(candidate):
            return candidate
    fragments = [item.relative_to(folder).with_suffix("").as_posix() for item in folder.glob("_*/*.toml")]
    known = [*_names(kind), *fragments]
    raise ProfileError(
        f"{path}: key 'extends' is '{shortened(name)}'{suggestion(name, known)}; known are {listing(known)}, or give a "
        ".toml file"
    )


def _merge(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` overlaid with `own`: tables merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
