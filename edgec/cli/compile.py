"""`edgec compile`: model, device and budget in; artifact, proof and report out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from edgec.driver import CompileResult

EXAMPLES = """Examples:

edgec compile net.onnx --device rpi4 --budget latency=20ms -o out

edgec compile net.onnx --device stm32l4r5 --calibration samples.npz --budget ram=128KiB,flash=512KiB -o out

edgec compile net.onnx --device pixel4 --scheme w8a8 --calibration calib.toml --eval eval.toml -o out

edgec compile net.onnx --device rpi4 --shape 'image=?,3,224,224' --cross-check onnx2tf --python envs/onnx2tf/bin/python

edgec compile frozen.pb --device rpi4 --inputs input --outputs scores,boxes --python envs/tensorflow/bin/python

edgec compile int8.tflite --device pixel4 --requantize --scheme w8a8 --calibration samples.npz -o out

edgec compile nets.tagger:build --device rpi4 -o out"""


def compile_command(
    model: Model,
    device: DeviceName,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for artifact and report.")] = Path("out"),
    budget: BudgetText = None,
    budget_file: BudgetFile = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Real samples for quantization: a manifest .toml, .npz, .npy or a folder of images."),
    ] = None,
    calibration_limit: Annotated[
        int | None, typer.Option(min=1, help="Use at most so many calibration samples.")
    ] = None,
    calibration_method: Annotated[str, typer.Option(help="Ranges by auto, minmax, percentile or mse.")] = "auto",
    evaluation: Annotated[
        Path | None, typer.Option("--eval", help="Labelled samples: a manifest with labels and a metric.")
    ] = None,
    scheme: Annotated[str, typer.Option(help="auto, fp32, fp16, w8 or w8a8, as the target allows.")] = "auto",
    prune: Annotated[
        str | None,
        typer.Option(help="Remove whole channels: a ratio such as 0.3, or auto (as much as the budget needs)."),
    ] = None,
    prune_importance: Annotated[str, typer.Option(help="Rank channels by l1 or l2.")] = "l1",
    shape: Shapes = None,
    frontend: FrontEnd = None,
    python: Python = None,
    inputs: GraphInputs = None,
    outputs: GraphOutputs = None,
    cross_check: Annotated[
        str | None,
        typer.Option(help="Compare with another translation of the same file: onnx2tf.", metavar="NAME"),
    ] = None,
    requantize: Annotated[
        bool,
        typer.Option("--requantize", help="Turn a quantized model back into floats and quantize it anew."),
    ] = False,
    keep_nchw: KeepNchw = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare with the source model's own runtime.")
    ] = True,
    kernel_library: KernelLibrary = None,
    explain: Annotated[bool, typer.Option(help="Say which rewrites were refused, and why.")] = False,
    print_after: Annotated[str | None, typer.Option(help="Print the text form after this pass (or 'all').")] = None,
    strict: Strict = False,
    json: Json = False,
) -> None:
    """Compile a model for one device and prove that it runs."""
    from edgec.cli.progress import shown_progress
    from edgec.driver import CompileOptions, compile_model
    from edgec.driver.output import check_folder

    check_folder(output)
    limits = read_budget(budget, budget_file)
    with shown_progress(quiet=json) as progress:
        options = CompileOptions(
            device=device, budget=limits, scheme=scheme, calibration=calibration, calibration_limit=calibration_limit,
            calibration_method=calibration_method, eval=evaluation, prune=prune, prune_importance=prune_importance,
            shapes=read_shapes(shape), frontend=frontend, python=python, inputs=read_names(inputs),
            outputs=read_names(outputs), cross_check=cross_check, requantize=requantize, keep_nchw=keep_nchw,
            check=check, kernel_library=kernel_library, explain=explain, print_after=print_after, progress=progress,
        )  # fmt: skip
        result = compile_model(model, options)
        result.write(output)
    if json:
        typer.echo(result.report.to_json(), nl=False)
    else:
        _show(result, output)
    raise typer.Exit(of_report(result.report, strict=strict))


def _show(result: CompileResult, output: Path) -> None:
    from rich.console import Console

    from edgec.report.text import render_summary

    if result.listing:
        typer.echo(result.listing)
    for rule, op, reason in result.refusals:
        typer.echo(f"{rule} left {op} alone: {reason}")
    render_summary(result.report, Console())
    typer.echo(f"written to {output}: model.tflite, report.json, report.html, model.ir.txt")
