"""Geometry of the page's charts, as plain numbers: the template draws them, any model size gives few shapes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PLOT_WIDTH = 1000.0
PLOT_HEIGHT = 100.0
MAX_COLUMNS = 240
GAPLESS_FROM = 100
OFF_CHART_FACTOR = 4.0
SMALLEST_SCALE = 1e-12


@dataclass(frozen=True)
class Bin:
    """The layers `first`..`last` (positions, both included) drawn as one column of height `value`."""

    first: int
    last: int
    value: float


@dataclass(frozen=True)
class Column:
    """A rectangle in a plot of PLOT_WIDTH x PLOT_HEIGHT with the origin at the top left."""

    x: float
    y: float
    width: float
    height: float
    title: str
    is_peak: bool


@dataclass(frozen=True)
class Line:
    """A level with its label; `y` is None where it lies too far above the columns to be drawn."""

    kind: str
    label: str
    value: float
    y: float | None


@dataclass(frozen=True)
class Tick:
    """A grid line `percent` of the plot's height above its foot."""

    percent: float
    label: str


@dataclass(frozen=True)
class ColumnChart:
    """Columns over the layers in order, levels across them and a scale at the left."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    layers_per_column: int


@dataclass(frozen=True)
class Segment:
    """One part of a stacked bar, `left` and `width` in percent of the track."""

    label: str
    value: float
    left: float
    width: float
    shade: int


@dataclass(frozen=True)
class StackedBar:
    """Parts of a whole against limits; marks are (label, value, percent)."""

    segments: tuple[Segment, ...]
    marks: tuple[tuple[str, float, float], ...]
    total: float


def bin_values(values: Sequence[float], max_bins: int, combine: Callable[[Sequence[float]], float]) -> list[Bin]:
    """Return at most `max_bins` bins of equal numbers of values (the last may have fewer), combined by max or sum."""
    per_bin = max(1, math.ceil(len(values) / max_bins))
    return [
        Bin(first, min(first + per_bin, len(values)) - 1, combine(values[first : first + per_bin]))
        for first in range(0, len(values), per_bin)
    ]


def column_chart(
    bins: Sequence[Bin],
    titles: Sequence[str],
    levels: Sequence[tuple[str, str, float]],
    form: Callable[[float], str],
    *,
    binary: bool,
) -> ColumnChart:
    """Lay out columns and levels (kind, label, value); a level above 4 times the peak is named but not drawn."""
    peak = max((item.value for item in bins), default=0.0)
    near = [value for _, _, value in levels if value <= OFF_CHART_FACTOR * peak]
    top = max([peak, *near], default=0.0) * 1.06 or 1.0
    pitch = PLOT_WIDTH / max(len(bins), 1)
    gap = 0.0 if len(bins) > GAPLESS_FROM else 0.16 * pitch
    highest = next((number for number, item in enumerate(bins) if item.value == peak), -1)
    columns = tuple(
        Column(
            x=round(number * pitch + gap / 2, 2),
            y=round(PLOT_HEIGHT * (1 - item.value / top), 3),
            width=round(pitch - gap, 2),
            height=round(PLOT_HEIGHT * item.value / top, 3),
            title=title,
            is_peak=number == highest,
        )
        for number, (item, title) in enumerate(zip(bins, titles))
    )
    lines = tuple(
        Line(kind, label, value, round(PLOT_HEIGHT * (1 - value / top), 3) if value <= top else None)
        for kind, label, value in levels
    )
    ticks = tuple(Tick(round(100 * value / top, 2), form(value)) for value in tick_values(top, binary=binary))
    return ColumnChart(columns, lines, ticks, bins[0].last - bins[0].first + 1 if bins else 1)


def tick_values(top: float, *, binary: bool, count: int = 4) -> list[float]:
    """Return about `count` round values from 0 to at most `top`; round in powers of two for bytes."""
    if top < SMALLEST_SCALE:
        return [0.0]
    rough = top / count
    if binary:
        step = 2.0 ** math.floor(math.log2(rough))
        step *= next(factor for factor in (1.0, 1.5, 2.0) if step * factor >= rough * 0.999 or factor == 2.0)
    else:
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if power * factor >= rough * 0.999)
    return [step * number for number in range(int(top / step) + 1)]


def stacked_bar(parts: Sequence[tuple[str, float | None]], limits: Sequence[tuple[str, float | None]]) -> StackedBar:
    """Lay out the parts that are known and above zero beside each other, with a mark at each known limit."""
    known = [(label, float(value)) for label, value in parts if value]
    marks = [(label, float(value)) for label, value in limits if value]
    total = sum(value for _, value in known)
    near = [value for _, value in marks if value <= OFF_CHART_FACTOR * total]
    track = max([total, *near], default=0.0) * 1.02 or 1.0
    segments, left = [], 0.0
    for shade, (label, value) in enumerate(known):
        width = 100 * value / track
        segments.append(Segment(label, value, round(left, 3), round(width, 3), shade))
        left += width
    placed = tuple((label, value, round(100 * value / track, 3) if value <= track else -1.0) for label, value in marks)
    return StackedBar(tuple(segments), placed, total)
