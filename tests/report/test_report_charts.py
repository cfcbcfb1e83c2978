import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.report.charts import bin_values, column_chart, stacked_bar, tick_values
from edgec.report.figures import band_text, bytes_text, count_text, ms_text, shortened

figures = st.lists(st.floats(0, 1e9), min_size=1, max_size=2000)


@given(figures, st.integers(1, 300))
def test_bins_cover_every_value_once_and_keep_the_peak(values: list[float], max_bins: int) -> None:
    bins = bin_values(values, max_bins, max)
    assert len(bins) <= max_bins
    assert [i for item in bins for i in range(item.first, item.last + 1)] == list(range(len(values)))
    assert max(item.value for item in bins) == max(values)


@given(figures, st.lists(st.floats(0, 1e10), max_size=4))
def test_nothing_is_drawn_outside_of_the_plot(values: list[float], levels: list[float]) -> None:
    bins = bin_values(values, 240, max)
    named = [("limit", f"level {i}", level) for i, level in enumerate(levels)]
    chart = column_chart(bins, [""] * len(bins), named, bytes_text, binary=True)
    for column in chart.columns:
        assert 0 <= column.x <= column.x + column.width <= 1000.05
        assert 0 <= column.y <= column.y + column.height <= 100.01
    assert all(line.y is None or 0 <= line.y <= 100 for line in chart.lines)
    assert all(0 <= tick.percent <= 100 for tick in chart.ticks)
    assert sum(column.is_peak for column in chart.columns) == 1


def test_a_level_far_above_the_columns_is_named_but_not_drawn() -> None:
    bins = bin_values([10.0, 20.0], 240, max)
    chart = column_chart(
        bins, ["a", "b"], [("limit", "near", 40.0), ("device", "far", 100.0)], bytes_text, binary=False
    )
    assert [(line.label, line.y is None) for line in chart.lines] == [("near", False), ("far", True)]
    assert chart.lines[0].y == pytest.approx(100 * (1 - 40 / 42.4), abs=1e-3)


@pytest.mark.parametrize(
    ("top", "binary", "expected"),
    [
        (60_000, True, [0, 16384, 32768, 49152]),
        (100 * 1024, True, [0, 32768, 65536, 98304]),
        (26.8, False, [0, 10, 20]),
        (1.0, False, [0, 0.25, 0.5, 0.75, 1.0]),
        (0, False, [0]),
    ],
)
def test_ticks_are_round(top: float, binary: bool, expected: list[float]) -> None:
    assert tick_values(top, binary=binary) == pytest.approx(expected)


def test_stacked_bar_leaves_out_what_is_unknown() -> None:
    bar = stacked_bar([("a", 30), ("b", None), ("c", 70)], [("budget", 204), ("device", 1000), ("none", None)])
    assert [(part.label, part.shade) for part in bar.segments] == [("a", 0), ("c", 1)]
    assert bar.total == 100
    assert bar.segments[1].left == pytest.approx(bar.segments[0].width, abs=1e-3)
    assert [(label, percent > 0) for label, _, percent in bar.marks] == [("budget", True), ("device", False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (bytes_text(55_296), "54.0 KiB"),
        (bytes_text(1023), "1023 B"),
        (bytes_text(None), "unknown"),
        (count_text(7_489_664), "7.49 M"),
        (ms_text(0.0042), "4.20 µs"),
        (ms_text(12_345), "12.3 s"),
        (ms_text(0), "0 ms"),
        (band_text(0.5, 2, "ms"), "500 µs–2.00 ms"),
        (band_text(1, 2, "ms"), "1.00–2.00 ms"),
        (band_text(1, 1, "ms"), ""),
        (band_text(None, 1, "ms"), ""),
    ],
)
def test_figures_in_words(text: str, expected: str) -> None:
    assert text == expected


@given(st.text(), st.integers(3, 60))
def test_shortened_names_fit_and_are_printable(name: str, width: int) -> None:
    short = shortened(name, width)
    assert len(short) <= width
    assert "\n" not in short
    assert "\x1b" not in short
