"""Inputs of a `.tflite` by the names that its signatures give them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from edgec.errors import ImportFailure
from edgec.ir.graph import Module

T = TypeVar("T")


def by_tensor_name(given: dict[str, T], model: object) -> dict[str, T]:
    """What is `given` by input, under the names of the tensors where `model` is a `.tflite` file; else as it is.

    An input goes by the name of its tensor, or by the one that a signature of the main graph has for it.

    Raises:
        ImportFailure: the file has no such input or cannot be read, or one input is given twice.
    """
    if not given or not isinstance(model, (str, Path)):
        return given
    path = Path(model)
    if path.suffix.lower() != ".tflite" or not path.is_file():
        return given
    from edgec.frontends.tflite import load_tflite

    return _renamed(given, load_tflite(path), f"Reading '{path}' with --shape")


def _renamed(given: dict[str, T], module: Module, doing: str) -> dict[str, T]:
    tensors = [value.name for value in module.main.inputs]
    aliases = {
        name: tensors[position] for s in module.signatures if s.graph_index == 0 for name, position in s.inputs
    } | {name: name for name in tensors}
    found: dict[str, T] = {}
    for name, what in given.items():
        if name not in aliases:
            raise ImportFailure(f"{doing}: there is no input '{name}'; the inputs are {_listed(module)}.")
        if aliases[name] in found:
            raise ImportFailure(f"{doing}: input '{aliases[name]}' is given twice, once by its name in a signature.")
        found[aliases[name]] = what
    return found


def _listed(module: Module) -> str:
    """The inputs: `serving_default_x:0 (x in signature 'serving_default')`."""
    texts = []
    for position, value in enumerate(module.main.inputs):
        others = [
            f"{name} in signature '{s.key}'"
            for s in module.signatures
            if s.graph_index == 0
            for name, at in s.inputs
            if at == position and name != value.name
        ]
        texts.append(f"{value.name} ({', '.join(others)})" if others else value.name)
    return ", ".join(texts)
