"""Changes to JSON: places of the tree deleted, copied, repeated, replaced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from fuzz.mutate import mutate_bytes, number, real


def mutate_json(random: Random, data: bytes, texts: Sequence[str]) -> bytes:
    """One to four places of a JSON document changed; `texts` are what a text may become."""
    try:
        tree = json.loads(data)
    except ValueError:  # another change was here before
        return mutate_bytes(random, data)
    for _ in range(random.choice((1, 1, 2, 4))):
        places = _places(tree)
        if not places:
            break
        holder, key = random.choice(places)
        kind = random.randrange(6)
        other, other_key = random.choice(places)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = json.loads(json.dumps(other[other_key]))
        elif kind == 2 and isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[key] = _other_value(random, holder[key], texts)
    return json.dumps(tree).encode()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys]
    return found


def _other_value(random: Random, value: Any, texts: Sequence[str]) -> Any:
    if isinstance(value, str) and random.random() < 0.9:
        return random.choice(texts)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int) and random.random() < 0.9:
        return number(random)
    return random.choice((None, [], {}, 1, real(random), "x", True, [[[]]]))
