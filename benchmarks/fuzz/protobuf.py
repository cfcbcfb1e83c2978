"""Changes to protocol buffers by reflection: the message stays one that parses, its content becomes unsound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from fuzz.mutate import mutate_bytes, number, real

MAX_MESSAGES = 3000
ODD_TEXT = ("", "x", "y", "\0", "a" * 3000, "../x", "ü€", "ai.onnx", "com.microsoft", "%s{0}", "-1", "\n")


def messages(message: Any, depth: int = 0) -> Iterator[Any]:
    """A message and all that it holds, at most 3000."""
    waiting, count = [message], 0
    while waiting and count < MAX_MESSAGES:
        one = waiting.pop()
        count += 1
        yield one
        for field, value in one.ListFields():
            if _is_map(field):
                waiting += [item for item in value.values() if hasattr(item, "ListFields")]
            elif field.message_type is not None:
                waiting += value if _repeated(field) else [value]


def _repeated(field: Any) -> bool:
    repeated = getattr(field, "is_repeated", None)
    return bool(repeated) if repeated is not None else field.label == field.LABEL_REPEATED


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def mutate_message(random: Random, message: Any, donors: Sequence[Any], words: Sequence[str]) -> None:
    """Change one field of one message somewhere inside; `donors` give parts of their own, `words` are known names."""
    found = list(messages(message))
    if len(found) > 12 and random.random() < 0.5:  # the structure rather than the many small parts
        found = found[:12]
    one = random.choice(found)
    fields = list(one.DESCRIPTOR.fields)
    present = [field for field, _ in one.ListFields()]
    if not fields:  # a message without any, as google.protobuf.Empty
        return
    field = random.choice(present if present and random.random() < 0.75 else fields)
    texts = [text for m in found for text in _texts(m)]
    if _is_map(field):
        _change_map(random, getattr(one, field.name))
    elif field.message_type is not None:
        _change_messages(random, one, field, found, donors)
    elif _repeated(field):
        _change_scalars(random, getattr(one, field.name), field, texts, words)
    elif random.random() < 0.1:
        one.ClearField(field.name)
    else:
        _set(one, field, _scalar(random, field, getattr(one, field.name), texts, words))


def _change_map(random: Random, values: Any) -> None:
    """Delete a key, or give another its value."""
    keys = list(values)
    if not keys:
        return
    first, second = random.choice(keys), random.choice(keys)
    if first == second or random.random() < 0.3:
        del values[first]
    elif hasattr(values[second], "CopyFrom"):
        values[first].CopyFrom(values[second])
    else:
        values[first] = values[second]


def _texts(message: Any) -> list[str]:
    found: list[str] = []
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            found += value if _repeated(field) else [value]
    return found


def _set(message: Any, field: Any, value: Any) -> None:
    try:
        setattr(message, field.name, value)
    except (ValueError, TypeError, OverflowError):  # a number that the field cannot hold
        message.ClearField(field.name)


def _scalar(random: Random, field: Any, now: Any, texts: Sequence[str], words: Sequence[str]) -> Any:
    if field.type == field.TYPE_STRING:
        options = [*ODD_TEXT, *random.sample(texts, min(len(texts), 20))]
        return random.choice(words) if words and random.random() < 0.4 else random.choice(options)
    if field.type == field.TYPE_BYTES:
        return mutate_bytes(random, now) if now else random.randbytes(random.choice((0, 1, 4, 8, 64)))
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return real(random)
    if field.type == field.TYPE_BOOL:
        return random.random() < 0.5
    if field.enum_type is not None or field.name in ("data_type", "elem_type"):
        return random.randint(-1, 26)
    value = number(random)
    wide = field.type in (field.TYPE_INT64, field.TYPE_SINT64, field.TYPE_SFIXED64)
    return value if wide else value % (1 << 32) if "UINT" in str(field.cpp_type) else value % (1 << 31)


def _change_scalars(random: Random, values: Any, field: Any, texts: Sequence[str], words: Sequence[str]) -> None:
    items, kind = list(values), random.randrange(6)
    if kind == 0 and items:
        del items[random.randrange(len(items))]
    elif kind == 1 and items:
        items.insert(random.randrange(len(items)), random.choice(items))
    elif kind == 2:
        random.shuffle(items)
    elif kind == 3:
        items = items * random.choice((0, 2, 3, 20))
    else:
        at = random.randrange(len(items) + 1)
        items[at : at + 1] = [_scalar(random, field, items[at] if at < len(items) else b"", texts, words)]
    del values[:]
    try:
        values.extend(items)
    except (ValueError, TypeError, OverflowError):
        del values[:]


def _change_messages(random: Random, one: Any, field: Any, found: Sequence[Any], donors: Sequence[Any]) -> None:
    """Delete, repeat, swap, or put in a message of the same kind from elsewhere."""
    kin = [m for m in found if m.DESCRIPTOR is field.message_type and m is not one]
    if donors and (not kin or random.random() < 0.4):
        kin += [m for m in messages(random.choice(donors)) if m.DESCRIPTOR is field.message_type]
    given = None
    if kin:
        given = type(kin[0])()
        given.CopyFrom(random.choice(kin))
    if not _repeated(field):
        if given is None or random.random() < 0.2:
            one.ClearField(field.name)
        else:
            getattr(one, field.name).CopyFrom(given)
        return
    values, kind = getattr(one, field.name), random.randrange(4)
    if kind == 0 and len(values):
        del values[random.randrange(len(values))]
    elif kind == 1 and len(values) > 1:
        first, second = random.sample(range(len(values)), 2)
        spare = type(values[0])()
        spare.CopyFrom(values[first])
        values[first].CopyFrom(values[second])
        values[second].CopyFrom(spare)
    elif given is not None and len(values) < 500:
        for _ in range(random.choice((1, 1, 1, 3, 40))):
            values.add().CopyFrom(given)
    else:
        values.add()
