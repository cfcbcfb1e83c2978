"""How figures and foreign names are written for people: one form for the terminal, the page and the comparison."""

import math
import unicodedata

UNKNOWN = "unknown"

VERDICT_WORDS = {
    "fits": "fits the budget",
    "misses": "misses the budget",
    "uncertain": "may miss the budget",
    "unknown": "no verdict",
}

EVIDENCE_WORDS = {
    "executed": "the artifact was run at this figure",
    "planned": "computed exactly from the artifact, not run",
    "calibrated": "estimated with coefficients fitted to measurements on this device",
    "derived": "estimated from the device's data sheet and physics only",
    "unknown": "not known",
}


def bytes_text(value: float | None) -> str:
    """Return bytes in the largest binary unit that gives at least 1: '54.0 KiB'."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{value:.0f} B"


def count_text(value: float | None) -> str:
    """Return a count in thousands, millions or billions: '7.49 M'."""
    if value is None:
        return UNKNOWN
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= scale:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{value:.0f}"


def ms_text(value: float | None) -> str:
    """Return milliseconds as µs, ms or s."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 1000:
        return f"{_three_digits(value / 1000)} s"
    if 0 < abs(value) < 1:
        return f"{_three_digits(value * 1000)} µs"
    return f"{_three_digits(value)} ms"


def mw_text(value: float | None) -> str:
    """A power in milliwatts, in watts from 1 W on."""
    if value is None:
        return UNKNOWN
    return f"{value / 1e3:.3g} W" if value >= 1e3 else f"{value:.3g} mW"


def mj_text(value: float | None) -> str:
    """Return millijoules as µJ, mJ or J."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 1000:
        return f"{_three_digits(value / 1000)} J"
    if 0 < abs(value) < 1:
        return f"{_three_digits(value * 1000)} µJ"
    return f"{_three_digits(value)} mJ"


def fraction_text(value: float | None) -> str:
    """Return a fraction as a percentage with two decimals: '86.20 %'."""
    return UNKNOWN if value is None else f"{value * 100:.2f} %"


def number_text(value: float | None) -> str:
    """Return a plain number with four significant digits."""
    return UNKNOWN if value is None else f"{value:.4g}"


def db_text(sqnr_db: float | None, identical: bool = False) -> str:
    """Return a signal-to-noise ratio in dB; identical outputs have none that is finite."""
    if identical:
        return "identical"
    return UNKNOWN if sqnr_db is None else f"{sqnr_db:.1f} dB"


def unit_text(value: float | None, unit: str) -> str:
    """Return a budget line's value in its unit (ms, bytes, mJ, fraction, count)."""
    forms = {
        "ms": ms_text,
        "bytes": bytes_text,
        "mJ": mj_text,
        "mW": mw_text,
        "fraction": fraction_text,
        "count": count_text,
    }
    return forms[unit](value)


def band_text(low: float | None, high: float | None, unit: str) -> str:
    """Return 'low–high' in a unit, or nothing where there is no band."""
    if low is None or high is None or low == high:
        return ""
    lower, upper = unit_text(low, unit), unit_text(high, unit)
    if lower.rpartition(" ")[2] == upper.rpartition(" ")[2]:
        lower = lower.rpartition(" ")[0]
    return f"{lower}–{upper}"


def percent_text(value: float | None, of: float | None) -> str:
    """Return value / of in percent, or nothing where either is missing."""
    return "" if value is None or not of else f"{100 * value / of:.0f} %"


def printable(name: str) -> str:
    """Return a foreign name on one line: control, bidirectional and other invisible characters are shown as escapes."""
    return "".join(_visible(char) for char in name)


def shortened(name: str, width: int) -> str:
    """Return a printable name of at most `width` characters; the middle is left out, as the end tells most."""
    name = printable(name)
    if len(name) <= width:
        return name
    head = max((width - 1) // 3, 1)
    return f"{name[:head]}…{name[-(width - 1 - head) :]}"


def _visible(char: str) -> str:
    if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return char.encode("unicode_escape").decode("ascii")
    return char


def _three_digits(value: float) -> str:
    """Return three significant digits, or the whole number where it has more."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    decimals = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(decimals, 0), 4)}f}"
