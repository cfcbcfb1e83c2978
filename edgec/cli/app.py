"""Gathers the commands and turns what goes wrong into one sentence and an exit status."""

from __future__ import annotations

import os
import sys

import typer

from edgec.cli import bench, compare, compile, fit, inspect, lists, opt
from edgec.cli.exit_status import FAULT_OF_EDGEC, FAULT_OF_INPUT
from edgec.errors import EdgecError, TranslationFault

EPILOG = """Exit status: 0 done and no budget line is missed, 1 a budget line is missed (everything is still written),
2 the input is at fault, 3 a fault of edgec."""

app = typer.Typer(
    name="edgec",
    help="Compile a trained network for one device: model, device and budget in; a proven .tflite and its report out.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compile", epilog=compile.EXAMPLES)(compile.compile_command)
app.command("fit", epilog=fit.EXAMPLES)(fit.fit_command)
app.command("inspect", epilog=inspect.EXAMPLES)(inspect.inspect_command)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench_command)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare_command)
app.command("devices")(lists.devices_command)
app.command("targets")(lists.targets_command)
app.command("ops")(lists.ops_command)
app.command("passes")(lists.passes_command)
app.command("opt", epilog=opt.EXAMPLES)(opt.opt_command)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from edgec import __version__

        typer.echo(f"edgec {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; never shows a traceback for what the input caused."""
    try:
        app()
    except EdgecError as error:
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(FAULT_OF_EDGEC if isinstance(error, TranslationFault) else FAULT_OF_INPUT)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
    except Exception as error:
        if os.environ.get("EDGEC_TRACEBACK"):
            raise
        message = " ".join(str(error).split())
        typer.echo(
            f"edgec failed: {type(error).__name__}: {message}; this is a fault of edgec, please report it "
            "(EDGEC_TRACEBACK=1 shows where)",
            err=True,
        )
        sys.exit(FAULT_OF_EDGEC)
