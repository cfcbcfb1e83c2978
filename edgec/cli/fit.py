"""`edgec fit`: what a model costs on a device as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgec.cli.exit_status import of_report
from edgec.cli.parameters import (
    BudgetFile,
    BudgetText,
    DeviceName,
    FrontEnd,
    GraphInputs,
    GraphOutputs,
    Json,
    KeepNchw,
    KernelLibrary,
    Model,
    Python,
    Shapes,
    Strict,
    read_budget,
    read_names,
    read_shapes,
)  # fmt: skip

EXAMPLES = """Examples:

edgec fit person_detect.tflite --device stm32l4r5 --budget ram=96KiB

edgec fit net.onnx --device rpi4 --json"""


def fit_command(
    model: Model,
    device: DeviceName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Also write the report into this folder.")
    ] = None,
    budget: BudgetText = None,
    budget_file: BudgetFile = None,
    shape: Shapes = None,
    frontend: FrontEnd = None,
    python: Python = None,
    inputs: GraphInputs = None,
    outputs: GraphOutputs = None,
    keep_nchw: KeepNchw = False,
    kernel_library: KernelLibrary = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Price a model on a device without compressing it; a .tflite is not changed at all."""
    from edgec.cli.progress import shown_progress
    from edgec.driver import CompileOptions, fit_model
    from edgec.driver.output import check_folder

    if output is not None:
        check_folder(output)
    limits = read_budget(budget, budget_file)
    with shown_progress(quiet=json) as progress:
        options = CompileOptions(
            device=device, budget=limits, shapes=read_shapes(shape), frontend=frontend, python=python,
            inputs=read_names(inputs), outputs=read_names(outputs), keep_nchw=keep_nchw,
            kernel_library=kernel_library, progress=progress,
        )  # fmt: skip
        result = fit_model(model, options)
        if output is not None:
            result.write(output)
    if json:
        typer.echo(result.report.to_json(), nl=False)
    else:
        from rich.console import Console

        from edgec.report.text import render_summary

        render_summary(result.report, Console())
    raise typer.Exit(of_report(result.report, strict=strict))
