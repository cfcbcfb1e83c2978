"""Models that another process translated to a float `.tflite`: read back, and given the source's names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgec.errors import ImportFailure
from edgec.frontends.tensorflow import TensorflowImport, convert_onnx2tf, convert_tensorflow
from edgec.frontends.tflite import read_tflite
from edgec.ir.graph import Graph, Module, Signature, Value

Shapes = Mapping[str, Sequence[int]]
SIGNATURE = "serving_default"
TOOL_VERSIONS = "tool_versions"  # of the programs that translated a module, in its `extra`


def load_tensorflow(
    path: Path, shapes: Shapes | None, python: str | None, inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[Module, TensorflowImport]:
    """The module of a SavedModel, Keras file or frozen graph, and what runs the model in TensorFlow.

    Raises:
        ImportFailure: the model cannot be read or converted.
        MissingExtra: no interpreter with TensorFlow is known.
    """
    found = convert_tensorflow(path, shapes, python=python, inputs=inputs, outputs=outputs)
    return converted_module(path, found), found


def converted_module(path: Path, found: TensorflowImport) -> Module:
    """What TensorFlow's converter wrote, with the model's own names; raises ImportFailure."""
    module = read_tflite(found.data, path.stem)
    module.source_format = found.kind
    module.extra[TOOL_VERSIONS] = {"tensorflow": found.runtime.removeprefix("tensorflow ")}
    _put_in_order(module)
    give_names(module, found.inputs, found.outputs, f"Reading '{path}' with TensorFlow")
    module.extra["input_dims"] = {
        value.name: tuple("" if size is None else size for size in dims or (None,) * value.type.rank)
        for value, dims in zip(module.main.inputs, found.dims)
    }
    return module


def load_onnx2tf(path: Path, shapes: Shapes | None, python: str | None) -> Module:
    """The module that onnx2tf makes of an ONNX file; its tensors stand as in the file.

    Raises:
        ImportFailure: onnx2tf fails, or what it wrote has other inputs, outputs or shapes than the file.
        MissingExtra: no interpreter with onnx2tf is known.
    """
    found = convert_onnx2tf(path, shapes, python=python)
    module = read_tflite(found.data, path.stem)
    module.source_format = "onnx"
    module.extra[TOOL_VERSIONS] = found.versions
    doing = f"Reading '{path}' with onnx2tf"
    give_names(module, found.inputs, tuple(found.outputs), doing)
    for value in module.main.outputs:
        permutation = _channels_last(found.outputs[value.name], value.shape)
        if permutation is None:
            raise ImportFailure(
                f"{doing}: output '{value.name}' came back as {list(value.shape)}, the file declares "
                f"{list(found.outputs[value.name])}; use edgec's own front end."
            )
        if permutation != tuple(range(len(permutation))):
            module.output_layout[value.name] = permutation
    return module


def _channels_last(declared: Sequence[int | None], shape: Sequence[int]) -> tuple[int, ...] | None:
    """How the axes of `declared` stand in `shape`: as they are, or with the channels moved last; None for neither."""
    same = tuple(range(len(shape)))
    if not declared:  # a scalar, or a shape that the file leaves open
        return same
    if len(declared) != len(shape):
        return None
    last = (0, *same[2:], 1) if len(shape) > 2 else same
    for permutation in (same, last):
        if all(declared[axis] in (None, have) for axis, have in zip(permutation, shape)):
            return permutation
    return None


def _put_in_order(module: Module) -> None:
    """Order the borders as the converter's signature numbers them (`input_0000`, `output_1`); files keep no order."""
    for signature in module.signatures:
        if signature.graph_index == 0:
            graph = module.main
            graph.inputs = [graph.inputs[position] for _, position in sorted(signature.inputs, key=_number)]
            graph.outputs = [graph.outputs[position] for _, position in sorted(signature.outputs, key=_number)]
            return


def _number(entry: tuple[str, int]) -> int:
    digits = re.search(r"\d+$", entry[0])
    return int(digits[0]) if digits else entry[1]


def give_names(module: Module, inputs: Sequence[str], outputs: Sequence[str], doing: str) -> None:
    """Name the borders of the main graph as the source does, and write them into one signature.

    Raises:
        ImportFailure: there are more or fewer of them than names.
    """
    graph = module.main
    for what, values, names in (("inputs", graph.inputs, inputs), ("outputs", graph.outputs, outputs)):
        if len(values) != len(names):
            raise ImportFailure(
                f"{doing}: the model has {len(names)} {what} ({', '.join(names)}), the .tflite that came back has "
                f"{len(values)}; convert the model to .tflite yourself."
            )
    borders = dict(zip(graph.inputs, inputs))
    for value, name in zip(graph.outputs, outputs):
        borders.setdefault(value, name)
    _rename(graph, borders)
    module.signatures = [
        Signature(
            SIGNATURE, 0, tuple((n, i) for i, n in enumerate(inputs)), tuple((n, i) for i, n in enumerate(outputs))
        )
    ]


def _rename(graph: Graph, borders: Mapping[Value, str]) -> None:
    """Give the border values their names; a value inside that already has one of them makes way."""
    taken = set(borders.values())
    for value in graph.values():
        if value not in borders and value.name in taken:
            value.name = f"{value.name}_inner"
    for value, name in borders.items():
        value.name = name
