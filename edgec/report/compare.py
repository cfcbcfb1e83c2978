"""Two reports side by side, with thresholds for CI."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgec.errors import ProfileError
from edgec.report.figures import bytes_text, count_text, fraction_text, mj_text, ms_text, printable
from edgec.report.model import Report
from edgec.report.text import text_for

if TYPE_CHECKING:
    from rich.console import Console

VERDICT_RANK = {"fits": 0, "uncertain": 1, "unknown": 2, "misses": 3}


@dataclass(frozen=True)
class Metric:
    """A figure that two reports are compared by.

    `better` says which way is good. A threshold is relative (5% of the value before) or, where `in_points` is set,
    in percentage points, since the figure is itself a fraction.
    """

    name: str
    read: Callable[[Report], float | None]
    form: Callable[[float | None], str]
    better: Literal["lower", "higher"] = "lower"
    in_points: bool = False


def _accuracy(report: Report) -> float | None:
    return report.accuracy.artifact if report.accuracy else None


def _agreement(report: Report) -> float | None:
    check = report.checks.artifact_vs_float
    return check.top1_agreement if check else None


def _macs(report: Report) -> float | None:
    if report.compression and report.compression.macs_after is not None:
        return report.compression.macs_after
    known = [layer.macs for layer in report.layers if layer.macs is not None]
    return sum(known) if known else report.model.macs


METRICS: tuple[Metric, ...] = (
    Metric("latency", lambda report: report.latency.ms, ms_text),
    Metric("energy", lambda report: report.energy.mj, mj_text),
    Metric("arena", lambda report: report.memory.arena_bytes, bytes_text),
    Metric("activations", lambda report: report.memory.planned_activation_bytes, bytes_text),
    Metric("flash", lambda report: report.memory.flash_bytes, bytes_text),
    Metric("size", lambda report: report.artifact.bytes, bytes_text),
    Metric("macs", _macs, count_text),
    Metric("layers", lambda report: len(report.layers), count_text),
    Metric("transposes", lambda report: report.transposes.count, count_text),
    Metric("accuracy", _accuracy, fraction_text, better="higher", in_points=True),
    Metric("agreement", _agreement, fraction_text, better="higher", in_points=True),
)


@dataclass(frozen=True)
class ComparedFigure:
    """One row: figures are None where a report does not know them, `change_percent` also where before is 0.

    For a metric in points, `change_percent` is in percentage points.
    """

    name: str
    before: float | None
    after: float | None
    change_percent: float | None
    threshold_percent: float | None
    regression: bool


@dataclass(frozen=True)
class Comparison:
    """Rows in a fixed order, the two verdicts, and remarks on what makes the reports hard to compare."""

    rows: tuple[ComparedFigure, ...]
    verdict_before: str
    verdict_after: str
    notes: tuple[str, ...]

    @property
    def verdict_regressed(self) -> bool:
        """Whether the verdict got worse (fits, uncertain, unknown, misses)."""
        return VERDICT_RANK[self.verdict_after] > VERDICT_RANK[self.verdict_before]

    @property
    def regressed(self) -> bool:
        """Whether a threshold is exceeded or the verdict got worse."""
        return self.verdict_regressed or any(row.regression for row in self.rows)


def parse_thresholds(text: str) -> dict[str, float]:
    """Return percent by metric of 'latency=5%,arena=0%'; raises ProfileError for anything else."""
    thresholds: dict[str, float] = {}
    names = [metric.name for metric in METRICS]
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not re.fullmatch(r"\d+(\.\d+)?\s*%", value):
            raise ProfileError(
                f"reading the thresholds '{text}': '{part}' is not of the form NAME=NUMBER%, as in latency=5%"
            )
        if name not in names:
            raise ProfileError(
                f"reading the thresholds '{text}': there is no figure '{name}'; use one of {', '.join(names)}"
            )
        if name in thresholds:
            raise ProfileError(f"reading the thresholds '{text}': '{name}' is given twice; give it once")
        thresholds[name] = float(value.rstrip("% "))
    return thresholds


def compare_reports(before: Report, after: Report, thresholds: Mapping[str, float] | None = None) -> Comparison:
    """Compare two reports; a figure regresses when it is worse by more than its threshold, in percent.

    A figure without a threshold never regresses. A guarded figure that was known and no longer is does regress.
    """
    thresholds = thresholds or {}
    rows = tuple(
        _compare(metric, metric.read(before), metric.read(after), thresholds.get(metric.name)) for metric in METRICS
    )
    known = tuple(
        row for row in rows if row.before is not None or row.after is not None or row.threshold_percent is not None
    )
    return Comparison(known, before.verdict, after.verdict, _notes(before, after))


def _compare(metric: Metric, before: float | None, after: float | None, threshold: float | None) -> ComparedFigure:
    change: float | None = None
    if before is None or after is None:
        regression = threshold is not None and before is not None
        return ComparedFigure(metric.name, before, after, None, threshold, regression)
    if metric.in_points:
        change = 100 * (after - before)
    elif before:
        change = 100 * (after - before) / before
    elif after == before:
        change = 0.0
    sign = 1 if metric.better == "lower" else -1
    worse = sign * (after - before) > 0
    # 1e-9 points: an exact step of the threshold's size is allowed, whatever the rounding of its two fractions
    regression = threshold is not None and worse and (change is None or sign * change > threshold + 1e-9)
    return ComparedFigure(metric.name, before, after, change, threshold, regression)


def _notes(before: Report, after: Report) -> tuple[str, ...]:
    """Return what differs between the reports and makes their figures different things."""
    pairs = [
        ("devices", before.device.name, after.device.name),
        ("models", before.model.name, after.model.name),
        ("schemes", before.artifact.scheme, after.artifact.scheme),
        ("kernel libraries", before.device.kernel_library, after.device.kernel_library),
        ("evidence of latency", before.latency.evidence, after.latency.evidence),
        ("evidence of memory", before.memory.evidence, after.memory.evidence),
    ]
    notes = [
        f"the {what} differ: {printable(one or 'none')} and {printable(other or 'none')}"
        for what, one, other in pairs
        if one != other
    ]
    if before.latency.evidence == after.latency.evidence == "derived":
        notes.append(
            "both latencies are derived, so a difference comes from the model or the estimate, not from a device"
        )
    return tuple(notes)


def render_comparison(comparison: Comparison, console: "Console") -> None:
    """Print the comparison as a table; it says the same without colour."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="bold")
    table.add_column("figure")
    for heading in ("before", "after", "change", "allowed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    metrics = {metric.name: metric for metric in METRICS}
    for row in comparison.rows:
        metric = metrics[row.name]
        cells = (
            row.name,
            metric.form(row.before),
            metric.form(row.after),
            _change_text(row, metric),
            _allowed_text(row, metric),
        )
        mark = text_for(console, "REGRESSION" if row.regression else "", "bold red")
        table.add_row(*(text_for(console, cell) for cell in cells), mark)
    mark = text_for(console, "REGRESSION" if comparison.verdict_regressed else "", "bold red")
    table.add_row("verdict", comparison.verdict_before, comparison.verdict_after, "", "", mark)
    console.print(table)
    for note in comparison.notes:
        console.print(text_for(console, f" {note}", "dim"))


def _change_text(row: ComparedFigure, metric: Metric) -> str:
    if row.change_percent is None:
        return ""
    return f"{row.change_percent:+.2f} pt" if metric.in_points else f"{row.change_percent:+.1f} %"


def _allowed_text(row: ComparedFigure, metric: Metric) -> str:
    if row.threshold_percent is None:
        return ""
    sign = "+" if metric.better == "lower" else "-"
    return f"{sign}{row.threshold_percent:g} {'pt' if metric.in_points else '%'}"
