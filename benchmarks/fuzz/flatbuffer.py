"""Changes to a `.tflite`: fields of the decoded tree, or offsets, lengths and vtables of the encoded file."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np

from fuzz.mutate import mutate_bytes, number, real

Tree = dict[str, Any]


def mutate_offsets(random: Random, data: bytes) -> bytes:
    """Words of the structural part turned to other places: backwards, far ahead, to where another points."""
    changed = bytearray(data)
    limit = max(len(changed) - 4, 1)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(min(limit, 4096)) & ~3 if random.random() < 0.7 else random.randrange(limit) & ~3
        if at + 4 > len(changed):
            continue
        if random.random() < 0.3:
            struct.pack_into("<H", changed, at + random.choice((0, 2)), number(random) & 0xFFFF)
            continue
        now = struct.unpack_from("<I", changed, at)[0]
        goal = random.choice((
            now + 4 * random.randint(-8, 8), random.randrange(len(changed)) - at, number(random), -at, 0,
            random.randrange(min(len(changed), 2000)) - at,
        ))  # fmt: skip
        struct.pack_into("<I", changed, at, goal & 0xFFFFFFFF)
    return bytes(changed)


def mutate_tree(random: Random, tree: Tree, donor: Tree, words: dict[str, Sequence[str]]) -> None:
    """Change one field of one table of a model's tree in place; `words` holds the names of each enumeration."""
    tables = [t for t in _tables(tree) if t]
    one = random.choice(tables)
    key = random.choice(list(one))
    value = one[key]
    if isinstance(value, list) and (not value or isinstance(value[0], dict)):
        _change_tables(random, value, _lists(donor, key))
    elif isinstance(value, dict) or (value is None and random.random() < 0.5):
        others = [t[key] for t in _tables(donor) if key in t and t[key] is not None]
        one[key] = random.choice(others) if others and random.random() < 0.6 else None
    elif isinstance(value, tuple):
        others = [t[key] for t in tables if isinstance(t.get(key), tuple)]
        one[key] = random.choice([*others, (value[0], {}), None])
    else:
        one[key] = _changed(random, key, value, words)


def _tables(node: Any) -> list[Tree]:
    found: list[Tree] = []
    waiting = [node]
    while waiting and len(found) < 3000:
        one = waiting.pop()
        if isinstance(one, dict):
            found.append(one)
            waiting += one.values()
        elif isinstance(one, (list, tuple)):
            waiting += one
    return found


def _lists(tree: Tree, key: str) -> list[Any]:
    return [item for t in _tables(tree) if isinstance(t.get(key), list) for item in t[key]]


def _change_tables(random: Random, values: list[Any], others: list[Any]) -> None:
    kind = random.randrange(5)
    if kind == 0 and values:
        del values[random.randrange(len(values))]
    elif kind == 1 and len(values) > 1:
        random.shuffle(values)
    elif kind == 2 and others:
        values.append(random.choice(others))
    elif kind == 3 and values and others:
        values[random.randrange(len(values))] = random.choice(others)
    elif values:
        values += [random.choice(values)] * random.choice((1, 2, 30))


def _changed(random: Random, key: str, value: Any, words: dict[str, Sequence[str]]) -> Any:
    if isinstance(value, np.ndarray):
        return _changed_array(random, value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return real(random)
    if isinstance(value, int):
        return number(random)
    if isinstance(value, str):
        for known in words.values():
            if value in known:
                return random.choice(known)
        return random.choice(("", value * 2, "x" * 2000, "\udcff", "\0", "serving_default"))
    return random.choice((None, 0, 1, -1))


def _changed_array(random: Random, array: np.ndarray) -> np.ndarray | None:
    kind = random.randrange(6)
    if kind == 0:
        return array[: random.randrange(len(array) + 1)]
    if kind == 1:
        return np.concatenate([array, array[: random.randrange(len(array) + 1)]])
    if kind == 2 and random.random() < 0.3:
        return None
    if array.dtype == np.uint8:
        return np.frombuffer(mutate_bytes(random, array.tobytes()), np.uint8)
    changed = array.copy()
    if not len(changed):
        return np.array([number(random) & 0x7F], array.dtype)
    at = random.randrange(len(changed))
    if array.dtype.kind == "f":
        changed[at] = real(random)
    else:
        limits = np.iinfo(array.dtype)
        changed[at] = min(max(number(random), limits.min), limits.max)
    return changed
