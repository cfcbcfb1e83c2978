"""Writes what a compilation gives into a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgec.errors import ExportFailure
from edgec.ir.printer import print_module
from edgec.ops import OP_DEFS

if TYPE_CHECKING:
    from edgec.driver.options import CompileResult

ARTIFACT_NAME = "model.tflite"
SHOWN_ELEMENTS = 16  # larger constants stand as a digest in model.ir.txt


def check_folder(folder: Path) -> None:
    """See, before any work, that `folder` is one or can become one; raises ExportFailure."""
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise ExportFailure(f"Choosing the output folder '{folder}': '{nearest}' is a file; choose another with -o.")
    if not os.access(nearest, os.W_OK):
        raise ExportFailure(f"Choosing the output folder '{folder}': '{nearest}' cannot be written; choose another.")


def write_result(result: CompileResult, folder: Path) -> None:
    """Write artifact, reports and text form; raises ExportFailure where the folder cannot be written."""
    from edgec.report.html import render_html
    from edgec.report.model import write_bytes_whole, write_report, write_text_whole

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportFailure(
            f"making the output folder '{folder}': {error.strerror or error}; choose another with -o"
        ) from error
    write_bytes_whole(result.artifact, folder / ARTIFACT_NAME)
    write_text_whole(print_module(result.module, OP_DEFS, elide_above=SHOWN_ELEMENTS), folder / "model.ir.txt")
    write_text_whole(render_html(result.report), folder / "report.html")
    write_report(result.report, folder / "report.json")
