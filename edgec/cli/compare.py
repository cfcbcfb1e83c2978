"""`edgec compare`: two reports side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgec.cli.exit_status import HOLDS, MISSED

EXAMPLES = """Example:

edgec compare main/report.json branch/report.json --thresholds latency=5%,arena=0%"""


def compare_command(
    before: Annotated[Path, typer.Argument(help="The earlier report.json.", show_default=False)],
    after: Annotated[Path, typer.Argument(help="The later report.json.", show_default=False)],
    thresholds: Annotated[str | None, typer.Option(help="How much worse is allowed: latency=5%,arena=0%.")] = None,
) -> None:
    """Compare two reports; exit with 1 where a threshold is passed or the verdict got worse."""
    from rich.console import Console

    from edgec.report.compare import compare_reports, parse_thresholds, render_comparison
    from edgec.report.model import load_report

    limits = parse_thresholds(thresholds) if thresholds is not None else None
    comparison = compare_reports(load_report(before), load_report(after), limits)
    render_comparison(comparison, Console())
    raise typer.Exit(MISSED if comparison.regressed else HOLDS)
