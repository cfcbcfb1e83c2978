"""What a model or a request is refused with, and the TensorFlow at hand."""

from __future__ import annotations

import importlib
import re
from typing import Any

OLDEST_TENSORFLOW = (2, 16)  # the first with Keras 3
# How lines of TensorFlow's messages begin that say where, not why.
WITHOUT_REASON = (
    "Traceback", "File ", "<unknown>", "Details:", "Graph execution error", "Detected at node",
    "Exception encountered when calling",
)  # fmt: skip
COLOURS = r"\x1b\[[0-9;]*m"
PLACE = r"^(\S+:\d+:\d+: )?error: "
# Parts of the names of ops that work on text or look things up.
ON_TEXT = ("String", "Regex", "HashTable", "LookupTable", "Unicode", "Ragged")

# What to do about ops that TFLite lacks, by the kind of the model.
_SAVE_THE_REST = "save a keras.Model of the layers before or behind them, or replace them"
AROUND_OPS = {
    "pb": "cut the graph around them with --inputs and --outputs, or replace them",
    "saved_model": "save it with a function that leaves them out as its signature, or replace them",
    "keras": _SAVE_THE_REST,
    "h5": _SAVE_THE_REST,
}


class Refusal(Exception):
    """The model or a request is at fault; the message is the rest of a sentence."""


def tensorflow() -> Any:
    """The module; imported here, so that the package loads without it."""
    return importlib.import_module("tensorflow")


def check_version() -> None:
    """Refuse a TensorFlow that is too old for Keras 3, or that is not whole."""
    try:
        version = str(tensorflow().__version__)
    except Exception as error:  # a broken installation fails in its own ways
        raise Refusal(f"importing tensorflow failed: {said(error)}") from error
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_TENSORFLOW:
        wanted = ".".join(str(part) for part in OLDEST_TENSORFLOW)
        raise Refusal(f"TensorFlow {version} is too old; name a Python with {wanted} or newer by --python")


def said(error: BaseException, kind: str = "") -> str:
    """The reason in one line: the ops that TFLite lacks, or the last line of the message that says something.

    `kind` is that of the model at fault; what to do about such ops depends on it.
    """
    ops = lacking_ops(error)
    if ops:
        what = f"TFLite has no builtin for its op{'s' * (len(ops) > 1)} {', '.join(ops)}; "
        if any(part in op for op in ops for part in ON_TEXT):
            return what + "text and tables are looked up before the model: export it from the numbers on"
        return what + AROUND_OPS.get(kind, "replace them")
    lines = [re.sub(COLOURS, "", line).strip() for line in str(error).splitlines()]
    lines = [re.sub(PLACE, "", line) for line in lines if set(line) - set("-=^~ ")]
    useful = [line for line in lines if not line.startswith(WITHOUT_REASON)]
    return f"{type(error).__name__}: {(useful or lines or ['no message'])[0][:300].rstrip('.')}"


def lacking_ops(error: BaseException) -> list[str]:
    """The ops that TFLite's converter says it has nothing for, sorted; empty for any other error."""
    text = str(error)
    ops = set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", text))
    if not ops:
        listed = text.partition("Flex ops:")[2] or text.partition("Custom ops:")[2]
        ops = set(re.findall(r"tf\.(\w+)\(", listed))
    return sorted(ops)
