"""`edgec opt`: the developer's tool: text form in, passes, text form out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """Examples:

edgec opt graph.ir --passes fold_constants,eliminate_dead_code

edgec opt graph.ir --passes "move_transposes{keep_nchw=true}" --target mobile-cpu"""


def opt_command(
    file: Annotated[
        Path, typer.Argument(help="A module in the text form; - reads standard input.", show_default=False)
    ],
    passes: Annotated[str, typer.Option(help="The passes: a,b{x=1}.", show_default=False)],
    target: Annotated[str | None, typer.Option(help="The target that legalization asks.")] = None,
    explain: Annotated[bool, typer.Option(help="Also say which rewrites were refused, and why.")] = False,
) -> None:
    """Run passes on a module in the text form and print the result."""
    from edgec.driver.pipeline import all_passes
    from edgec.errors import ParseError
    from edgec.ir.parser import parse_module
    from edgec.ir.printer import print_module
    from edgec.ops import OP_DEFS, verify
    from edgec.passes.base import PassContext
    from edgec.passes.manager import run_passes
    from edgec.target.load import load_target

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParseError(f"Reading '{file}': {getattr(error, 'strerror', None) or 'it is no UTF-8 text'}.") from error
    module = parse_module(text, OP_DEFS)
    verify(module)
    context = PassContext(load_target(target) if target is not None else None, explain=explain)
    run_passes(module, all_passes().parse(passes), context)
    typer.echo(print_module(module, OP_DEFS), nl=False)
    for rule, op, reason in context.refusals:
        typer.echo(f"// {rule} left {op} alone: {reason}")
