"""Print the results as a plain table, which also reads as Markdown, with the machine they were measured on."""

import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Row:
    """One measured quantity: our figure, the peer's, the bar, and whether the bar holds (None: no bar)."""

    what: str
    ours: str
    peer: str = ""
    bar: str = ""
    holds: bool | None = None

    def cells(self) -> tuple[str, ...]:
        verdict = {True: "yes", False: "NO", None: ""}[self.holds]
        return self.what, self.ours, self.peer, self.bar, verdict


def print_rows(title: str, rows: Sequence[Row], peer: str = "peer") -> None:
    """Print a titled table of rows."""
    print_table(title, ("what", "edgec", peer, "bar", "holds"), [row.cells() for row in rows])


def print_table(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Print any table: a title, a header and lines of ready-made cells."""
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    print(f"\n{title}\n")
    print("| " + " | ".join(cell.ljust(width) for cell, width in zip(header, widths)) + " |")
    print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for line in lines:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
    print(flush=True)


def print_machine(*packages: str) -> None:
    """Print date, processor, system and the versions of Python and of the named packages in this environment."""
    print(f"{datetime.date.today().isoformat()}, {_processor()}, {platform.system()} {platform.release()}")
    print(f"Python {platform.python_version()}, " + ", ".join(f"{name} {_version(name)}" for name in packages))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of this repository" if package == "edgec" else NOT_INSTALLED


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return f"{len(names)} cores of {names[0]}"
    return platform.processor() or platform.machine()
