"""Traces a network with torch.export, and says in one sentence why that failed: torch's own words go on for pages."""

from __future__ import annotations

import re
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

from edgec.errors import ImportFailure

LONGEST_REASON = 240  # characters of torch's own explanation
MOST_SHAPES = 6  # example inputs that are named
UNTRANSLATED = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")
DATA_DEPENDENT = ("data-dependent", "DataDependent", "unbacked")


def traced(network: Any, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: Any, name: str) -> Any:
    """The exported program of a network in inference mode, without gradients.

    Raises:
        ImportFailure: the network does not run on these inputs, or torch.export cannot trace it.
    """
    import torch

    _check_devices(network, (args, kwargs), name)
    partial_graph = StringIO()  # torch prints what it has traced before it raises
    try:
        with redirect_stderr(partial_graph):
            return torch.export.export(network, args, kwargs, dynamic_shapes=dynamic, strict=False)
    except Exception as error:  # the network's own code runs here
        cause = error
    _run_once(network, args, kwargs, name)
    if any(word in f"{type(cause).__name__} {cause}" for word in DATA_DEPENDENT):
        raise ImportFailure(
            f"Exporting '{name}' with torch.export: what is computed{_place(cause)} follows from a tensor's values "
            f"({reason_of(cause)}); write it with torch.where, torch.cond or torch.while_loop and fixed sizes, "
            "or compile what torch.onnx.export(..., dynamo=False) makes of it: the way that the example takes."
        ) from cause
    raise ImportFailure(
        f"Exporting '{name}' with torch.export: {reason_of(cause)}{_place(cause)}; change that part of the network, or "
        "export it to ONNX yourself."
    ) from cause


def reason_of(error: BaseException) -> str:
    """The innermost cause's first line that says something."""
    while error.__cause__ is not None:
        error = error.__cause__
    untranslated = UNTRANSLATED.search(str(error))
    if untranslated is not None:
        return f"it has no translation of the op '{untranslated[1]}'"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text.rstrip(".") if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON].rstrip()} …"


def _check_devices(network: Any, inputs: Any, name: str) -> None:
    import torch

    named = [*network.named_parameters(), *network.named_buffers()]
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(inputs) if isinstance(leaf, torch.Tensor)]
    for what, tensor in [*((f"'{key}'", part) for key, part in named), *(("an example input", x) for x in leaves)]:
        if tensor.device.type != "cpu":
            raise ImportFailure(
                f"Reading '{name}': {what} is on the device '{tensor.device}', and edgec works on the CPU; move the "
                "network and its example inputs there, with their numbers: .to('cpu')."
            )


def _run_once(network: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> None:
    """Raises ImportFailure where the network fails by itself, without torch.export."""
    import torch

    try:
        network(*args, **kwargs)
    except Exception as error:  # the network's own code runs here
        leaves = torch.utils._pytree.tree_leaves((args, kwargs))
        shapes = [
            f"{str(x.dtype).removeprefix('torch.')}{list(x.shape)}" for x in leaves if isinstance(x, torch.Tensor)
        ]
        said = ", ".join(shapes[:MOST_SHAPES]) + (", …" if len(shapes) > MOST_SHAPES else "")
        raise ImportFailure(
            f"Running '{name}' on its example inputs ({said}): {reason_of(error)}{_place(error)}; give inputs of the "
            "number, shapes (channels first) and types that its forward takes."
        ) from error


def _place(error: BaseException) -> str:
    """Where in the network's code an error came up: the innermost frame that is none of torch's or Python's own."""
    import torch

    while error.__cause__ is not None:
        error = error.__cause__
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parents[2]))
    frame, found = error.__traceback__, None
    while isinstance(frame, TracebackType):
        code = frame.tb_frame.f_code
        if not code.co_filename.startswith((*ours, "<")) and "python3" not in Path(code.co_filename).parent.name:
            found = f" in {code.co_name} ({Path(code.co_filename).name}, line {frame.tb_lineno})"
        frame = frame.tb_next
    return found or ""
