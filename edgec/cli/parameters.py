"""Arguments and options that several commands share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgec.errors import ImportFailure, ProfileError

if TYPE_CHECKING:
    from edgec.target.budget import Budget

Model = Annotated[
    Path,
    typer.Argument(
        help="The model: .onnx, .tflite, .pt2, .keras, .h5, a SavedModel folder or a frozen .pb, or "
        "package.module:function of PyTorch code.",
        show_default=False,
    ),
]
DeviceName = Annotated[
    str,
    typer.Option(
        "--device", "-d", help="A device by name (see edgec devices) or a profile's .toml.", show_default=False
    ),
]
BudgetText = Annotated[
    str | None,
    typer.Option("--budget", "-b", help="Limits: latency=30ms,ram=256KiB,flash=1MiB,energy=5mJ,accuracy-drop=1%."),
]
BudgetFile = Annotated[Path | None, typer.Option("--budget-file", help="The limits in a TOML file.")]
Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        help="Fix an input's shape: NAME=1,224,224,3; 128? keeps a dimension open (planned for 128), ? a batch.",
    ),
]
Python = Annotated[
    str | None,
    typer.Option("--python", help="The Python that has TensorFlow or onnx2tf; this one by default.", metavar="PATH"),
]
FrontEnd = Annotated[
    str | None, typer.Option("--frontend", help="Have an .onnx translated by onnx2tf instead of edgec.", metavar="NAME")
]
GraphInputs = Annotated[
    str | None, typer.Option("--inputs", help="Cut a frozen .pb at these tensors: NAME,NAME (with --outputs).")
]
GraphOutputs = Annotated[str | None, typer.Option("--outputs", help="The tensors of a frozen .pb that are computed.")]
KeepNchw = Annotated[bool, typer.Option("--keep-nchw", help="Keep channels-first inputs and outputs.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON to standard output and nothing else.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 also where a budget line is uncertain or unknown.")]
KernelLibrary = Annotated[
    str | None,
    typer.Option("--kernel-library", help="Price with this kernel library of the profile instead of its default."),
]


def read_budget(text: str | None, file: Path | None) -> Budget:
    """The budget of --budget or --budget-file; raises ProfileError where both are given."""
    from edgec.target.budget import Budget, load_budget, parse_budget

    if text is not None and file is not None:
        raise ProfileError("Reading the budget: --budget and --budget-file are both given; keep one.")
    if file is not None:
        return load_budget(file)
    return Budget() if text is None else parse_budget(text)


def read_names(text: str | None) -> tuple[str, ...]:
    """Tensor names between commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def read_shapes(texts: list[str] | None) -> dict[str, tuple[int | str, ...]]:
    """Shapes by input name, their sizes as they were typed; raises ImportFailure where one is malformed."""
    shapes: dict[str, tuple[int | str, ...]] = {}
    for text in texts or ():
        name, equals, sizes = text.rpartition("=")
        if not equals or not name.strip() or not sizes.strip():
            raise ImportFailure(
                f"Reading --shape '{text[:80]}': write it as NAME=1,224,224,3, the input's name and a size for each of "
                "its dimensions."
            )
        if name in shapes:
            raise ImportFailure(f"Reading --shape '{text[:80]}': input '{name}' is given twice; keep one.")
        shapes[name] = tuple(part.strip() for part in sizes.split(","))
    return shapes
