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
from edgec.ops.claimed_shapes import take_inferred_shapes
from edgec.schema.defaults import default_attributes
from edgec.schema.fields import enum_name
from edgec.schema.reader import read_model

Tree = Mapping[str, Any]
MAX_FILE_BYTES = 4 << 30
BYTES_PER_NUMBER = 4  # an index, a size or a scale takes so many at least
MIN_BUDGET = 16_384
MAX_MESSAGE = 1_000  # characters


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
    except ValueError as error:  # a path that no file can have
        raise ImportFailure(f"Reading '{path}': {error}.") from error
    return read_tflite(data, path.name)


def read_tflite(data: bytes | np.ndarray, name: str = "model") -> Module:
    """Read the bytes of a `.tflite` file; constants are views of `data`.

    Raises:
        ImportFailure: the bytes are damaged or break a rule of the format.
    """
    try:
        module = _ModuleReader(read_model(data), name, len(data)).read()
        _verify_with_kernels_shapes(module)
    except ImportFailure as error:
        raise ImportFailure(_sentence(f"Reading '{name}': {error}")) from error
    except (VerificationError, ValueError) as error:
        raise ImportFailure(_sentence(f"Reading '{name}': the model breaks a rule of TFLite: {error}")) from error
    return module


def _verify_with_kernels_shapes(module: Module) -> None:
    """Raise VerificationError where a rule is broken; stored shapes of results are mended first, with a note each."""
    try:
        verify(module)
    except VerificationError:
        changed = take_inferred_shapes(module)
        if not changed:
            raise
        verify(module)
        module.notes += [Note(Severity.INFO, "stored shapes", text) for text in changed]


def _sentence(text: str) -> str:
    """A message on one line of bearable length, whatever names a damaged file puts into it."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    plain = "".join(c if c.isprintable() else repr(c)[1:-1] for c in plain)
    half = MAX_MESSAGE // 2
    return plain if len(plain) <= MAX_MESSAGE else f"{plain[:half]} … {plain[-half:]}"


class _ModuleReader:
    def __init__(self, tree: Tree, name: str, file_bytes: int) -> None:
        self.tree = tree
        # What is copied out of the file: a file whose parts are not shared cannot hold more, a hostile one can.
        self.numbers_left = file_bytes // BYTES_PER_NUMBER + MIN_BUDGET
        self.bytes_left = file_bytes + MIN_BUDGET
        self.buffers: Sequence[Tree] = tree["buffers"] or ()
        self.codes = [_opcode(code) for code in tree["operator_codes"] or ()]
        self.signature_keys: set[str] = set()
        self.flat: dict[tuple[int, DType, int], np.ndarray] = {}
        self.arrays: dict[tuple[int, DType, tuple[int, ...]], np.ndarray] = {}
        self.module = Module([], name=Path(name).stem, description=tree["description"] or "", source_format="tflite")

    def read(self) -> Module:
        subgraphs = self.tree["subgraphs"] or ()
        if not subgraphs:
            raise ImportFailure("the file holds no graph")
        readers = [_GraphReader(self, tree, index) for index, tree in enumerate(subgraphs)]
        self.module.graphs = [reader.read() for reader in readers]
        for entry in self.tree["metadata"] or ():
            self.module.metadata[entry["name"] or ""] = self.copy(self.buffer(entry["buffer"]))
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

    def constant(self, buffer: int, raw: np.ndarray, value: Value) -> np.ndarray:
        """A constant's data; tensors that share a buffer share the array, as far as their types agree."""
        type_ = value.type
        if value.sparsity is not None or type_.dtype.is_opaque:
            return raw
        if raw.nbytes != type_.bytes:
            found = f"takes {type_.bytes} bytes, its buffer has {raw.nbytes}"
            raise ImportFailure(f"tensor '{value.name}' ({type_}) {found}")
        flat = self.flat.get((buffer, type_.dtype, type_.elements))
        if flat is None:
            packed = type_.dtype.bits < 8
            flat = unpack(raw, type_.dtype, type_.elements) if packed else raw.view(type_.dtype.numpy)
            self.flat[buffer, type_.dtype, type_.elements] = flat
        key = (buffer, type_.dtype, type_.shape)
        return self.arrays.setdefault(key, flat.reshape(type_.shape))

    def ints(self, vector: np.ndarray | None) -> list[int]:
        """The elements of an integer vector, counted."""
        return [] if vector is None else self._counted(vector).tolist()

    def floats(self, vector: np.ndarray | None) -> list[float]:
        """The elements of a float vector, counted."""
        return [] if vector is None else self._counted(vector).tolist()

    def plain(self, field: Any) -> Any:
        """An attribute value: vectors as tuples, counted."""
        return tuple(self._counted(field).tolist()) if isinstance(field, np.ndarray) else field

    def _counted(self, vector: np.ndarray) -> np.ndarray:
        self.numbers_left -= vector.size
        if self.numbers_left < 0:
            raise ImportFailure("its tables repeat more numbers than the file has bytes for; the file is damaged")
        return vector

    def copy(self, blob: np.ndarray) -> bytes:
        """The bytes of a blob, counted."""
        self.bytes_left -= blob.nbytes
        if self.bytes_left < 0:
            raise ImportFailure("its metadata or custom options repeat more bytes than the file has; it is damaged")
        return blob.tobytes()

    def _read_signature(self, tree: Tree, readers: Sequence[_GraphReader]) -> None:
        key, index = tree["signature_key"] or "", tree["subgraph_index"]
        if index >= len(readers):
            raise ImportFailure(f"signature '{key}' names graph {index}, the file holds {len(readers)}")
        if key in self.signature_keys:
            raise ImportFailure(f"two signatures are called '{key}'")
        self.signature_keys.add(key)
        reader = readers[index]
        sides: list[tuple[tuple[str, int], ...]] = []
        for side, positions in (("inputs", reader.input_at), ("outputs", reader.output_at)):
            entries = []
            for entry in tree[side] or ():
                value = reader.value(entry["tensor_index"])
                if value not in positions:
                    self.note(f"signature '{key}'", f"was left out: '{entry['name']}' is none of the graph's {side}")
                    return
                entries.append((entry["name"] or "", positions[value]))
            sides.append(tuple(entries))
        self.module.signatures.append(Signature(key, index, sides[0], sides[1]))

    def note(self, where: str, message: str) -> None:
        self.module.notes.append(Note(Severity.WARNING, where, message))


def _opcode(tree: Tree) -> tuple[str | int, str, int]:
    """(builtin name, custom code, version); old files hold the code in a byte, new ones in both places."""
    code, deprecated = tree["builtin_code"], tree["deprecated_builtin_code"]
    if code == "ADD" and deprecated:
        code = enum_name("BuiltinOperator", deprecated)
    if isinstance(code, int) and code < 0:
        raise ImportFailure(f"an operator has the code {code}, which cannot be; the file is damaged")
    return code, tree["custom_code"] or "", tree["version"]


class _GraphReader:
    def __init__(self, parent: _ModuleReader, tree: Tree, index: int) -> None:
        self.parent = parent
        self.tree = tree
        self.graph = Graph(tree["name"] or ("main" if index == 0 else f"graph_{index}"))
        self.graph.extra = {"debug_metadata_index": tree["debug_metadata_index"]}
        self.values: list[Value] = []
        self.input_at: dict[Value, int] = {}
        self.output_at: dict[Value, int] = {}

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
        graph.inputs = [self.value(i) for i in self.parent.ints(self.tree["inputs"])]
        self.input_at = _positions(graph.inputs)
        for value in graph.inputs:
            self._drop_data(value, "a graph input")
        for position, tree in enumerate(self.tree["operators"] or ()):
            graph.append(self._read_op(tree, position))
        graph.outputs = [self.value(i) for i in self.parent.ints(self.tree["outputs"])]
        self.output_at = _positions(graph.outputs)
        self._settle_empty_tensors()
        self._tell_apart(graph.inputs, "inputs")
        self._tell_apart(graph.outputs, "outputs")
        live = set(graph.values())
        graph.declared = tuple(self.values)
        graph.idle = tuple(v for v in self.values if v not in live)
        return graph

    def _tell_apart(self, values: Sequence[Value], what: str) -> None:
        """Give inputs or outputs that bear one name names of their own: samples and reports go by them."""
        taken: set[str] = {v.name for v in values}
        seen: dict[str, Value] = {}
        for value in values:
            if seen.setdefault(value.name, value) is value:
                continue
            name = value.name
            number = next(n for n in range(1, len(values) + len(taken)) if f"{name}_{n}" not in taken)
            value.name = f"{name}_{number}"
            taken.add(value.name)
            seen[value.name] = value
            message = f"has two {what} called '{name}'; one is '{value.name}' now"
            self.parent.note(f"graph '{self.graph.name}'", message)

    def _drop_data(self, value: Value, what: str) -> None:
        if value.data is not None:
            self.parent.note(f"tensor '{value.name}'", f"is {what}, so the data the file holds for it was dropped")
            value.data = None

    def _read_tensor(self, tree: Tree, index: int) -> Value:
        name = tree["name"] or f"tensor_{index}"
        dtype = _dtype(tree["type"], name)
        shape = tuple(self.parent.ints(tree["shape"]))
        signature = tuple(self.parent.ints(tree["shape_signature"])) or None
        try:
            quant = self._read_quant(tree["quantization"], shape, name)
            type_ = TensorType(shape, dtype, quant, signature)
        except ValueError as error:
            raise ImportFailure(f"tensor '{name}': {error}") from error
        extra = {k: tree[k] for k in ("has_rank", "variant_tensors", "external_buffer") if tree[k]}
        if quant is None and tree["quantization"] is not None:
            bounds = tuple(tuple(self.parent.floats(tree["quantization"][side])) for side in ("min", "max"))
            extra |= {"float_range": bounds} if any(bounds) else {}
        value = Value(name, type_, is_variable=tree["is_variable"], sparsity=tree["sparsity"], extra=extra)
        raw = self.parent.buffer(tree["buffer"])
        if raw.size:
            value.data = self.parent.constant(tree["buffer"], raw, value)
        if value.is_variable:
            self._drop_data(value, "a variable")
        return value

    def _read_quant(self, tree: Tree | None, shape: tuple[int, ...], name: str) -> QuantParams | None:
        if tree is None:
            return None
        scale = tuple(self.parent.floats(tree["scale"]))
        if not scale:
            return None
        zero_point = tuple(self.parent.ints(tree["zero_point"])) or (0,) * len(scale)
        if len(zero_point) == 1 and len(scale) > 1:
            zero_point *= len(scale)
        axis = tree["quantized_dimension"]
        if len(scale) == 1 and axis == 0:
            axis = None
        elif not 0 <= axis < len(shape) or shape[axis] != len(scale):
            axis = self._repaired_axis(axis, len(scale), shape, name)
        minimum, maximum = tuple(self.parent.floats(tree["min"])), tuple(self.parent.floats(tree["max"]))
        return QuantParams(scale, zero_point, axis, minimum, maximum)

    def _repaired_axis(self, axis: int, scales: int, shape: tuple[int, ...], name: str) -> int | None:
        """The one axis the scales fit; some converters wrote an axis outside the rank, which LiteRT refuses."""
        if scales == 1:
            if not 0 <= axis < max(len(shape), 1):
                message = f"quantization axis {axis} does not fit shape {list(shape)} and was dropped"
                self.parent.note(f"tensor '{name}'", message)
            return None
        fitting = [i for i, d in enumerate(shape) if d == scales]
        if len(fitting) != 1:
            raise ImportFailure(f"tensor '{name}': {scales} scales along axis {axis} do not fit shape {list(shape)}")
        message = f"quantization axis {axis} does not fit shape {list(shape)} and was corrected to {fitting[0]}"
        self.parent.note(f"tensor '{name}'", message)
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
        operands = [self._optional(i) for i in self.parent.ints(tree["inputs"])]
        results = [self.value(i) for i in self.parent.ints(tree["outputs"])]
        opcode, attributes, extra = _attributes(builtin, custom_code, tree, self.parent)
        name = results[0].name if results else f"{opcode}_{position}"
        inner = (self._optional(i) for i in self.parent.ints(tree["intermediates"]))
        intermediates = [v for v in inner if v is not None]
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
            computed = value.producer is not None or value in self.input_at or value.is_variable
            if not computed and value.data is None and value.type.elements == 0 and not value.dtype.is_opaque:
                value.data = np.empty(value.shape, value.dtype.numpy)


def _attributes(
    builtin: str | int, custom_code: str, tree: Tree, reader: _ModuleReader
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Opcode, attributes and carried-along fields of an operator."""
    options = tree["builtin_options"] or tree["builtin_options_2"]
    extra = {k: tree[k] for k in ("mutating_variable_inputs",) if tree[k] is not None}
    if tree["debug_metadata_index"] != -1:
        extra["debug_metadata_index"] = tree["debug_metadata_index"]
    if builtin == "CUSTOM":
        blob = tree["custom_options"]
        return CUSTOM, {
            "custom_code": custom_code,
            "custom_options": b"" if blob is None else reader.copy(blob),
            "custom_options_format": tree["custom_options_format"],
        }, extra  # fmt: skip
    definition = OP_DEFS.by_builtin(str(builtin))
    both = tree["builtin_options"] is not None and tree["builtin_options_2"] is not None
    if definition is None or both or (options is not None and options[0] != definition.options):
        opaque = {"builtin": builtin, "options": tree["builtin_options"], "options_2": tree["builtin_options_2"]}
        return OPAQUE, opaque, extra
    attributes = default_attributes(definition.options)
    if options is not None:
        attributes.update({key: reader.plain(field) for key, field in options[1].items() if field is not None})
    return definition.opcode, attributes, extra


def _dtype(name: str | int, tensor: str) -> DType:
    try:
        return DType(str(name).lower())
    except ValueError:
        raise ImportFailure(f"tensor '{tensor}' has element type {name}, which edgec does not know") from None


def _positions(values: Sequence[Value]) -> dict[Value, int]:
    """The first position of each value."""
    positions: dict[Value, int] = {}
    for position, value in enumerate(values):
        positions.setdefault(value, position)
    return positions
