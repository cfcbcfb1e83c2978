"""Call `edgec compile` or `edgec fit` and read the report it leaves."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.locations import edgec_command, existing
from common.process import Run, environment, run


@dataclass(frozen=True)
class Compiled:
    """What one compilation left: the process's figures, the artifact's path, report.json as read."""

    run: Run
    artifact: Path
    report: dict[str, Any]


def compile_command(model: Path, output: Path, device: str, *options: str) -> list[str]:
    """The command line that compiles `model` for `device` into `output`."""
    return [*edgec_command(), "compile", str(model), "--device", device, *options, "-o", str(output)]


def compile_model(model: Path, output: Path, device: str, options: Sequence[str] = ()) -> Compiled:
    """Compile; a missed budget (exit status 1) is a result, any other failure ends the script with its output."""
    finished = run(compile_command(model, output, device, *options), check=False)
    if finished.exit_status not in (0, 1):
        raise SystemExit(f"edgec compile {model.name}: exit status {finished.exit_status}\n{finished.output[-4000:]}")
    return Compiled(finished, output / "model.tflite", read_report(output))


def fit_model(model: Path, device: str) -> dict[str, Any]:
    """Run `edgec fit --json` and return the report that it prints."""
    command = [*edgec_command(), "fit", str(model), "--device", device, "--json"]
    finished = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if finished.returncode not in (0, 1):
        raise SystemExit(f"edgec fit {model.name}: exit status {finished.returncode}\n{finished.stderr[-4000:]}")
    report: dict[str, Any] = json.loads(finished.stdout)
    return report


def read_report(folder: Path) -> dict[str, Any]:
    """report.json of an output folder."""
    path = existing(folder / "report.json", "edgec did not write its report")
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report
