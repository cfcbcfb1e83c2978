"""Reads a `.tflite` file into a `Module`, losing nothing.

What edgec does not model is carried along: custom ops as `custom`, builtins without a definition as `opaque`, unknown
tensor fields in `Value.extra`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgec.diagnostics import Note, Severity
from edgec.errors import ImportFailure, VerificationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.packing import unpack
from edgec.ir.types import QuantParams, TensorType
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS, verify
from edgec.schema.defaults import default_attributes
from edgec.schema.reader import read_model

Tree = Mapping[str, Any]
MAX_FILE_BYTES = 4 << 30


def load_tflite(path: Path) -> Module:
    """Read a `.tflite` file.

    Raises:
        ImportFailure: the file cannot be read, is damaged, or breaks a rule of the format.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImportFailure(f"Reading '{path}': it is larger than {MAX_FILE_BYTES >> 30} GiB.")
        data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except OSError as error:
        raise ImportFailure(f"Reading '{path}': {error.strerror or error}.") from error
    return read_tflite(data, path.name)


def read_tflite(data: bytes | np.ndarray, name: str = "model") -> Module:
    """Read the bytes of a `.tflite` file; constants are views of `data`.

    Raises:
        ImportFailure: the bytes are damaged or break a rule of the format.
    """
    try:
        module = _ModuleReader(read_model(data), name).read()
        verify(module)
    except ImportFailure as error:
        raise ImportFailure(f"Reading '{name}': {error}") from error
    except (VerificationError, ValueError) as error:
        raise ImportFailure(f"Reading '{name}': the model breaks a rule of TFLite: {error}") from error
    return module


class _ModuleReader:
    def __init__(self, tree: Tree, name: str) -> None:
        self.tree = tree
        self.buffers: Sequence[Tree] = tree["buffers"] or ()
        self.codes = [_opcode(code) for code in tree["operator_codes"] or ()]
        self.module = Module([], name=Path(name).stem, description=tree["description"] or "", source_format="tflite")

    def read(self) -> Module:
        subgraphs = self.tree["subgraphs"] or ()
        if not subgraphs:
            raise ImportFailure("the file holds no graph")
        readers = [_GraphReader(self, tree, index) for index, tree in enumerate(subgraphs)]
        self.module.graphs = [reader.read() for reader in readers]
        for entry in self.tree["metadata"] or ():
            self.module.metadata[entry["name"] or ""] = self.buffer(entry["buffer"]).tobytes()
        for signature in self.tree["signature_defs"] or ():
            self._read_signature(signature, readers)
        for key in ("version", "external_buffer_groups", "external_buffers"):
            self.module.extra[key] = self.tree[key]
        return self.module

    def buffer(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self.buffers):
            raise ImportFailure(f"buffer {index} is named, the file holds {len(self.buffers)}")
        data = self.buffers[index]["data"]
        return np.empty(0, np.uint8) if data is None else data

    def _read_signature(self, tree: Tree, readers: Sequence[_GraphReader]) -> None:
        key, index = tree["signature_key"] or "", tree["subgraph_index"]
        if index >= len(readers):
            raise ImportFailure(f"signature '{key}' names graph {index}, the file holds {len(readers)}")
        reader = readers[index]
        sides: list[tuple[tuple[str, int], ...]] = []
        for side, values in (("inputs", reader.graph.inputs), ("outputs", reader.graph.outputs)):
            entries = []
            for entry in tree[side] or ():
                value = reader.value(entry["tensor_index"])
                if value not in values:
                    self._note(f"signature '{key}'", f"was left out: '{entry['name']}' is none of the graph's {side}")
                    return
                entries.append((entry["name"] or "", values.index(value)))
            sides.append(tuple(entries))
        self.module.signatures.append(Signature(key, index, sides[0], sides[1]))

    def _note(self, where: str, message: str) -> None:
        self.module.notes.append(Note(Severity.WARNING, where, message))


def _opcode(tree: Tree) -> tuple[str | int, str, int]:
    """(builtin name, custom code, version); old files hold the code in a byte, new ones in both places."""
    code, deprecated = tree["builtin_code"], tree["deprecated_builtin_code"]
    if code == "ADD" and deprecated:
        from edgec.schema.fields import enum_name

        code = enum_name("BuiltinOperator", deprecated)
    return code, tree["custom_code"] or "", tree["version"]


class _GraphReader:
    def __init__(self, parent: _ModuleReader, tree: Tree, index: int) -> None:
        self.parent = parent
        self.tree = tree
        self.graph = Graph(tree["name"] or ("main" if index == 0 else f"graph_{index}"))
        self.graph.extra = {"debug_metadata_index": tree["debug_metadata_index"]}
        self.values: list[Value] = []
        self.arrays: dict[tuple[int, TensorType], np.ndarray] = {}

    def value(self, index: int) -> Value:
        if not 0 <= index < len(self.values):
            raise ImportFailure(f"tensor {index} is named, graph '{self.graph.name}' holds {len(self.values)}")
        return self.values[index]

    def _optional(self, index: int) -> Value | None:
        return None if index == -1 else self.value(index)

    def read(self) -> Graph:
        tensors = self.tree["tensors"] or ()
        self.values = [self._read_tensor(tree, index) for index, tree in enumerate(tensors)]
        for value, tree in zip(self.values, tensors):
            self._attach_block_scales(value, tree)
        graph = self.graph
        graph.inputs = [self.value(int(i)) for i in _ints(self.tree["inputs"])]
        for value in graph.inputs:
            value.data = None
        for position, tree in enumerate(self.tree["operators"] or ()):
            graph.append(self._read_op(tree, position))
        graph.outputs = [self.value(int(i)) for i in _ints(self.tree["outputs"])]
        self._settle_empty_tensors()
        live = set(graph.values())
        graph.declared = tuple(self.values)
        graph.idle = tuple(v for v in self.values if v not in live)
        return graph

    def _read_tensor(self, tree: Tree, index: int) -> Value:
        name = tree["name"] or f"tensor_{index}"
        dtype = _dtype(tree["type"], name)
        shape = tuple(int(d) for d in _ints(tree["shape"]))
        signature = tuple(int(d) for d in _ints(tree["shape_signature"])) or None
        try:
            quant = self._read_quant(tree["quantization"], shape, name)
            type_ = TensorType(shape, dtype, quant, signature)
        except ValueError as error:
            raise ImportFailure(f"tensor '{name}': {error}") from error
        extra = {k: tree[k] for k in ("has_rank", "variant_tensors", "external_buffer") if tree[k]}
        value = Value(name, type_, is_variable=tree["is_variable"], sparsity=tree["sparsity"], extra=extra)
        raw = self.parent.buffer(tree["buffer"])
        if raw.size and not value.is_variable:
            value.data = self._constant(tree["buffer"], raw, value)
        return value

    def _constant(self, buffer: int, raw: np.ndarray, value: Value) -> np.ndarray:
        type_ = TensorType(value.shape, value.dtype)
        key = (buffer, type_)
        if key not in self.arrays:
            self.arrays[key] = _decode_constant(raw, value)
        return self.arrays[key]

    def _read_quant(self, tree: Tree | None, shape: tuple[int, ...], name: str) -> QuantParams | None:
        if tree is None:
            return None
        scale = tuple(float(s) for s in _floats(tree["scale"]))
        if not scale:
            return None
        zero_point = tuple(int(z) for z in _ints(tree["zero_point"])) or (0,) * len(scale)
        if len(zero_point) == 1 and len(scale) > 1:
            zero_point *= len(scale)
        axis = tree["quantized_dimension"]
        if len(scale) == 1 and axis == 0:
            axis = None
        elif not 0 <= axis < len(shape) or shape[axis] != len(scale):
            axis = self._repaired_axis(axis, len(scale), shape, name)
        minimum = tuple(float(v) for v in _floats(tree["min"]))
        maximum = tuple(float(v) for v in _floats(tree["max"]))
        return QuantParams(scale, zero_point, axis, minimum, maximum)

    def _repaired_axis(self, axis: int, scales: int, shape: tuple[int, ...], name: str) -> int | None:
        """The one axis the scales fit; some converters wrote an axis outside the tensor's rank, which LiteRT refuses."""
        if scales == 1:
            return None
        fitting = [i for i, d in enumerate(shape) if d == scales]
        if len(fitting) != 1:
            raise ImportFailure(f"tensor '{name}': {scales} scales along axis {axis} do not fit shape {list(shape)}")
        message = f"quantization axis {axis} does not fit shape {list(shape)} and was corrected to {fitting[0]}"
        self.parent._note(f"tensor '{name}'", message)
        return fitting[0]

    def _attach_block_scales(self, value: Value, tree: Tree) -> None:
        details = (tree["quantization"] or {}).get("details")
        if details is None:
            return
        kind, fields = details
        kept: dict[str, Any] = {"kind": kind, "fields": dict(fields)}
        if kind in ("BlockwiseQuantization", "MultiAxisQuantization"):
            kept["scales"] = self.value(fields["scales"])
            kept["zero_points"] = self._optional(fields["zero_points"]) if fields["zero_points"] > 0 else None
        value.extra = {**value.extra, "quant_details": kept}

    def _read_op(self, tree: Tree, position: int) -> Op:
        index = tree["opcode_index"]
        if index >= len(self.parent.codes):
            raise ImportFailure(f"operator {position} names opcode {index}, the file holds {len(self.parent.codes)}")
        builtin, custom_code, version = self.parent.codes[index]
        operands = [self._optional(int(i)) for i in _ints(tree["inputs"])]
        results = [self.value(int(i)) for i in _ints(tree["outputs"])]
        opcode, attributes, extra = _attributes(builtin, custom_code, tree)
        name = results[0].name if results else f"{opcode}_{position}"
        intermediates = [v for v in (self._optional(int(i)) for i in _ints(tree["intermediates"])) if v is not None]
        try:
            return Op(
                opcode, operands, results, attributes, name=name, source=name, version=version,
                intermediates=intermediates, extra=extra,
            )  # fmt: skip
        except ValueError as error:
            raise ImportFailure(f"operator {position} ({opcode}): {error}") from error

    def _settle_empty_tensors(self) -> None:
        """Operands without elements and without a producer are empty constants (the shape of a scalar, say)."""
        for value in self.graph.values():
            computed = value.producer is not None or value in self.graph.inputs or value.is_variable
            if not computed and value.data is None and value.type.elements == 0 and not value.dtype.is_opaque:
                value.data = np.empty(value.shape, value.dtype.numpy)


def _decode_constant(raw: np.ndarray, value: Value) -> np.ndarray:
    type_ = value.type
    if value.sparsity is not None or type_.dtype.is_opaque:
        return raw
    if raw.nbytes != type_.bytes:
        raise ImportFailure(f"tensor '{value.name}' ({type_}) takes {type_.bytes} bytes, its buffer has {raw.nbytes}")
    if type_.dtype.bits < 8:
        return unpack(raw, type_.dtype, type_.elements).reshape(type_.shape)
    return raw.view(type_.dtype.numpy).reshape(type_.shape)


def _attributes(builtin: str | int, custom_code: str, tree: Tree) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Opcode, attributes and carried-along fields of an operator."""
    options = tree["builtin_options"] or tree["builtin_options_2"]
    extra = {k: tree[k] for k in ("mutating_variable_inputs",) if tree[k] is not None}
    if tree["debug_metadata_index"] != -1:
        extra["debug_metadata_index"] = tree["debug_metadata_index"]
    if builtin == "CUSTOM":
        blob = tree["custom_options"]
        return CUSTOM, {
            "custom_code": custom_code,
            "custom_options": b"" if blob is None else bytes(blob),
            "custom_options_format": tree["custom_options_format"],
        }, extra  # fmt: skip
    definition = OP_DEFS.by_builtin(str(builtin))
    if definition is None or (options is not None and options[0] != definition.options):
        opaque = {"builtin": builtin, "options": tree["builtin_options"], "options_2": tree["builtin_options_2"]}
        return OPAQUE, opaque, extra
    attributes = default_attributes(definition.options)
    if options is not None:
        attributes.update({key: _plain(field) for key, field in options[1].items() if field is not None})
    return definition.opcode, attributes, extra


def _plain(field: Any) -> Any:
    return tuple(field.tolist()) if isinstance(field, np.ndarray) else field


def _dtype(name: str | int, tensor: str) -> DType:
    try:
        return DType(str(name).lower())
    except ValueError:
        raise ImportFailure(f"tensor '{tensor}' has element type {name}, which edgec does not know") from None


def _ints(vector: np.ndarray | None) -> np.ndarray:
    return np.empty(0, np.int64) if vector is None else vector


def _floats(vector: np.ndarray | None) -> np.ndarray:
    return np.empty(0, np.float32) if vector is None else vector
