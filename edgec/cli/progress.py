"""Progress on the terminal; silent where standard error is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from edgec.driver.options import Progress, no_progress


@contextmanager
def shown_progress(*, quiet: bool = False) -> Iterator[Progress]:
    """A progress callback that draws one line on standard error while the block runs."""
    if quiet or not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with RichProgress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def report(stage: str, share: float | None = None) -> None:
            total = None if share is None else 1.0
            bar.update(task, description=stage, total=total, completed=share or 0.0)

        yield report
