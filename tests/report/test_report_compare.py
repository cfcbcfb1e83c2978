import io
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from edgec.errors import ProfileError
from edgec.report.compare import METRICS, ComparedFigure, compare_reports, parse_thresholds, render_comparison
from edgec.report.model import Report


def _changed(report: Report, section: str, **figures: object) -> Report:
    return report.model_copy(update={section: getattr(report, section).model_copy(update=figures)})


def _row(before: Report, after: Report, name: str, thresholds: str = "") -> ComparedFigure:
    rows = compare_reports(before, after, parse_thresholds(thresholds)).rows
    return next(row for row in rows if row.name == name)


def test_a_report_equals_itself(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    every = ",".join(f"{metric.name}=0%" for metric in METRICS)
    comparison = compare_reports(report, report, parse_thresholds(every))
    assert not comparison.regressed
    assert {row.change_percent for row in comparison.rows} == {0.0}
    assert len(comparison.rows) == 11


@pytest.mark.parametrize(("after", "regression"), [(104.9, False), (105.0, False), (105.1, True), (50.0, False)])
def test_relative_threshold(after: float, regression: bool, sample: ModuleType) -> None:
    before = _changed(sample.microcontroller_report(), "latency", ms=100.0)
    row = _row(before, _changed(before, "latency", ms=after), "latency", "latency=5%")
    assert row.regression is regression
    assert row.change_percent == pytest.approx(after - 100)


@pytest.mark.parametrize(("after", "regression"), [(0.851, False), (0.850, False), (0.849, True), (0.9, False)])
def test_accuracy_is_compared_in_points(after: float, regression: bool, sample: ModuleType) -> None:
    before = _changed(sample.microcontroller_report(), "accuracy", artifact=0.860)
    row = _row(before, _changed(before, "accuracy", artifact=after), "accuracy", "accuracy=1%")
    assert row.regression is regression


def test_zero_tolerance_catches_one_step(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    assert _row(report, _changed(report, "memory", arena_bytes=84_128), "arena", "arena=0%").regression
    assert not _row(report, _changed(report, "memory", arena_bytes=84_096), "arena", "arena=0%").regression
    assert not _row(report, _changed(report, "memory", arena_bytes=84_128), "arena", "latency=0%").regression


def test_from_zero_any_rise_regresses(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    row = _row(report, _changed(report, "transposes", count=1), "transposes", "transposes=50%")
    assert (row.change_percent, row.regression) == (None, True)


def test_a_guarded_figure_that_vanishes_regresses(sample: ModuleType) -> None:
    report = sample.microcontroller_report()
    gone = _changed(report, "latency", ms=None)
    assert _row(report, gone, "latency", "latency=5%").regression
    assert not _row(report, gone, "latency").regression
    assert not _row(gone, report, "latency", "latency=5%").regression


def test_a_worse_verdict_regresses_without_thresholds(sample: ModuleType) -> None:
    missed = sample.microcontroller_report()
    fitting = missed.model_copy(update={"verdict": "fits"})
    assert compare_reports(fitting, missed).regressed
    assert not compare_reports(missed, fitting).regressed


def test_notes_say_what_makes_reports_hard_to_compare(sample: ModuleType) -> None:
    notes = compare_reports(sample.microcontroller_report(), sample.phone_report()).notes
    assert "the devices differ: stm32l4r5 and pixel4" in notes
    assert "the evidence of memory differ: executed and planned" in notes


def test_thresholds() -> None:
    assert parse_thresholds(" latency=5%, arena = 0 %,accuracy=0.5%,") == {
        "latency": 5.0,
        "arena": 0.0,
        "accuracy": 0.5,
    }
    assert parse_thresholds("") == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("latency=5", "'latency=5' is not of the form NAME=NUMBER%, as in latency=5%"),
        ("latency", "'latency' is not of the form NAME=NUMBER%, as in latency=5%"),
        ("latency=-5%", "'latency=-5%' is not of the form NAME=NUMBER%, as in latency=5%"),
        (
            "speed=5%",
            "there is no figure 'speed'; use one of latency, energy, arena, activations, flash, size, macs, layers, "
            "transposes, accuracy, agreement",
        ),
        ("arena=1%,arena=2%", "'arena' is given twice; give it once"),
    ],
)
def test_wrong_thresholds_give_one_sentence(text: str, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_thresholds(text)
    assert str(caught.value) == f"reading the thresholds '{text}': {problem}"


def test_comparison_table(sample: ModuleType, golden: Any) -> None:
    before = sample.microcontroller_report()
    after = _changed(_changed(before, "latency", ms=270.0), "memory", arena_bytes=80_000, flash_bytes=120_000)
    after = _changed(after, "accuracy", artifact=0.842).model_copy(update={"verdict": "uncertain"})
    out = io.StringIO()
    comparison = compare_reports(before, after, parse_thresholds("latency=5%,arena=0%,accuracy=1%"))
    render_comparison(comparison, Console(file=out, width=80, no_color=True))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    golden("\n".join(lines) + "\n")
