"""`edgec bench`: run an artifact on this machine with the real runtime."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

EXAMPLES = """Examples:

edgec bench out/model.tflite --threads 2

edgec bench out/model.tflite --runtime tflm"""


def bench_command(
    artifact: Annotated[Path, typer.Argument(help="The .tflite to run.", show_default=False)],
    runtime: Annotated[
        str, typer.Option(help="litert (with XNNPACK), builtin (LiteRT's own kernels) or tflm.")
    ] = "litert",
    threads: Annotated[int, typer.Option(min=1, help="Threads for LiteRT.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs, at least.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Run an artifact here: latency on this machine, the arena under TFLM, and a digest of the outputs."""
    from edgec.driver.bench import bench_artifact

    found = bench_artifact(artifact, runtime, threads=threads, runs=runs)
    if json:
        typer.echo(json_module.dumps(found, indent=2))
        return
    for key, value in found.items():
        typer.echo(f"{key}: {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(_text(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
