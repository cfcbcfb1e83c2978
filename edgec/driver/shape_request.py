"""What a user asks of the inputs' shapes (`--shape`): which sizes to compile for, and which dimensions stay open."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from edgec.errors import ImportFailure
from edgec.ir.open_size import OpenSize

OPEN = "?"
EXAMPLE = "NAME=1,224,224,3"
DEFAULT_BATCH = 1
MAX_ELEMENTS = 2**31 - 1
LONGEST_QUOTE = 80  # characters
_ENTRY = re.compile(r"(?P<size>[0-9]{1,10})(?P<open>\?)?|\?|-1")


@dataclass(frozen=True)
class InputRequest:
    """The sizes one input is compiled for, in the order of axes the user gave, and the axes that stay open."""

    sizes: tuple[int, ...]
    open_axes: frozenset[int] = frozenset()


Requests = Mapping[str, InputRequest]


def parse_requests(shapes: Mapping[str, Sequence[int | str]]) -> dict[str, InputRequest]:
    """The requests by input name.

    Each entry of a shape is a size; a dimension stays open where it is `128?` (memory and latency are planned for 128),
    or `?` or -1 for a batch (planned for 1).

    Raises:
        ImportFailure: an entry is no size or too large, or a dimension stays open without a size to plan for.
    """
    return {name: _parse(name, entries) for name, entries in shapes.items()}


def _parse(name: str, entries: Sequence[int | str]) -> InputRequest:
    text = ",".join(str(entry) for entry in entries)
    doing = f"Reading --shape '{shortened(f'{name}={text}')}'"
    sizes, open_axes = [], set()
    for axis, entry in enumerate(entries):
        found = _ENTRY.fullmatch(str(entry).strip())
        if found is None:
            shown = shortened(str(entry).strip())
            raise ImportFailure(f"{doing}: '{shown}' is no size; write {EXAMPLE}, with {OPEN} for an open batch.")
        if found["size"] is None and (axis > 0 or len(entries) == 1):
            raise ImportFailure(
                f"{doing}: dimension {axis} is to stay open without a size that memory and latency are planned for; "
                f"write the size before the sign, such as 128{OPEN}."
            )
        if found["size"] is None or found["open"]:
            open_axes.add(axis)
        sizes.append(DEFAULT_BATCH if found["size"] is None else int(found["size"]))
    empty = next((axis for axis in sorted(open_axes) if sizes[axis] == 0), None)
    if empty is not None:
        raise ImportFailure(f"{doing}: dimension {empty} is open and planned for 0; plan it for a size above zero.")
    if prod(sizes) > MAX_ELEMENTS:
        raise ImportFailure(f"{doing}: that is more than {MAX_ELEMENTS} elements, the most a tensor holds.")
    return InputRequest(tuple(sizes), frozenset(open_axes))


def planned_sizes(requests: Requests) -> dict[str, tuple[int, ...]]:
    """The sizes to compile for, by input name; those of open dimensions are marked as `OpenSize`."""
    return {
        name: tuple(OpenSize(size) if axis in request.open_axes else size for axis, size in enumerate(request.sizes))
        for name, request in requests.items()
    }


def shortened(text: str) -> str:
    """A text of the user's for a message: on one line, and not all of it."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= LONGEST_QUOTE else f"{plain[:LONGEST_QUOTE]}…"
