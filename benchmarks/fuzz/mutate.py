"""Changes to bytes that know nothing of their meaning: flips, numbers, cuts, repeats, splices."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

INTERESTING = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 63, 64, 100, 127, 128, 255, 256, 257, 1000, 1023, 1024, 4096, 32767, 32768,
    65535, 65536, 1 << 20, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 62), (1 << 63) - 1,
    -1, -2, -3, -4, -8, -128, -129, -32768, -32769, -(1 << 31), -(1 << 31) - 1, -(1 << 40), -(1 << 63),
)  # fmt: skip
MAX_BYTES = 1 << 20


def number(random: Random) -> int:
    """An integer of 64 bits: mostly small, else one at some type's edge."""
    kind = random.random()
    if kind < 0.45:
        return random.randint(-3, 9)
    return random.choice(INTERESTING) if kind < 0.9 else random.getrandbits(random.randint(1, 63))


def real(random: Random) -> float:
    """A float32, mostly an odd one."""
    odd = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-20, 3.4e38, -3.4e38, float("inf"), float("-inf"), float("nan"), 255.0)
    return random.choice(odd) if random.random() < 0.7 else random.uniform(-10, 10)


def mutate_bytes(random: Random, data: bytes, donors: Sequence[bytes] = (), words: Sequence[bytes] = ()) -> bytes:
    """`data` with one to eight changes; `donors` are other files, `words` are byte strings the format knows."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        _change(random, changed, donors, words)
    return bytes(changed[:MAX_BYTES])


def _change(random: Random, data: bytearray, donors: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    span = min(random.choice((1, 1, 2, 4, 8, 32, 200)), len(data) - at)
    kind = random.randrange(10)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << random.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = random.randrange(256)
    elif kind == 2:
        _put_number(random, data, at)
    elif kind == 3:
        del data[at : at + span]
    elif kind == 4:
        data[at:at] = bytes(data[at : at + span]) * random.choice((1, 1, 2, 50))
    elif kind == 5:
        data[at:at] = random.randbytes(span)
    elif kind == 6:
        del data[at:]
    elif kind == 7 and donors:
        donor = random.choice(donors)
        begin = random.randrange(len(donor) + 1)
        data[at : at + span] = donor[begin : begin + random.choice((4, 16, 64, 512))]
    elif kind == 8 and words:
        data[at : at + random.choice((0, span))] = random.choice(words)
    else:
        data[at : at + span] = bytes(span)


def _put_number(random: Random, data: bytearray, at: int) -> None:
    """Overwrite an aligned number, as binary formats hold them."""
    code = random.choice("BHIQ")
    size = struct.calcsize(code)
    at -= at % size
    if at + size <= len(data):
        struct.pack_into(f"<{code}", data, at, number(random) % (1 << 8 * size))


def mutate_text(random: Random, text: str, donors: Sequence[str] = (), words: Sequence[str] = ()) -> str:
    """`text` with changes by line, word and character."""
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        kind = random.randrange(6)
        if kind < 2:
            text = _change_word(random, text, words)
        elif kind < 4:
            text = _change_lines(random, text, donors)
        else:
            raw = mutate_bytes(random, text.encode("utf-8", "surrogateescape"))
            text = raw.decode("utf-8", "replace")
    return text[:MAX_BYTES]


def _change_word(random: Random, text: str, words: Sequence[str]) -> str:
    import re

    found = list(re.finditer(r"-?\d+(?:\.\d+)?|\w+|[^\w\s]", text))
    if not found:
        return text
    match = random.choice(found)
    options = [
        str(number(random)), repr(real(random)), "", match.group() * 2, "[" * random.choice((1, 5, 2000)), '"', "{}",
        random.choice(found).group(), random.choice(words) if words else "true", "9" * random.choice((20, 400, 5000)),
    ]  # fmt: skip
    return text[: match.start()] + random.choice(options) + text[match.end() :]


def _change_lines(random: Random, text: str, donors: Sequence[str]) -> str:
    lines = text.split("\n")
    at, other = random.randrange(len(lines)), random.randrange(len(lines))
    kind = random.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[other])
    elif kind == 2:
        lines[at], lines[other] = lines[other], lines[at]
    elif donors:
        given = random.choice(donors).split("\n")
        begin = random.randrange(len(given))
        lines[at:at] = given[begin : begin + random.randint(1, 5)]
    return "\n".join(lines)
