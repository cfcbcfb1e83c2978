"""Writes a `Module` as a `.tflite` FlatBuffer: same module, same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

from edgec.errors import ExportFailure
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.mapped import release_pages
from edgec.ir.packing import pack
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS
from edgec.schema.fields import enum_value
from edgec.schema.tables import ENUMS
from edgec.schema.writer import write_model

SCHEMA_VERSION = 3
FIRST_CODE_ABOVE_BYTE = ENUMS["BuiltinOperator"]["PLACEHOLDER_FOR_GREATER_OP_CODES"]

Tree = dict[str, Any]


def serialize(module: Module, like: bytes | None = None) -> bytes:
    """The module as the bytes of a `.tflite` file; constant buffers stand on 16-byte boundaries.

    Where the bytes are those of `like`, an artifact in memory, that object is given back instead of a second one.

    Raises:
        ExportFailure: something in the module has no place in the format.
    """
    written = _ModuleWriter(module).write(like)
    release_pages(module)
    return written


class _ModuleWriter:
    def __init__(self, module: Module) -> None:
        self.module = module
        self.buffers: list[Tree] = [{"data": None}]  # buffer 0 is empty by convention
        self.buffer_of: dict[tuple[int, bytes], int] = {}
        self.buffer_of_array: dict[tuple[int, int], int] = {}  # by array and bits an element takes in the file
        self.codes: list[Tree] = []
        self.code_of: dict[tuple[str, str, int], int] = {}

    def write(self, like: bytes | None) -> bytes:
        module = self.module
        writers = [_GraphWriter(self, graph) for graph in module.graphs]
        subgraphs = [writer.write() for writer in writers]
        metadata = [{"name": name, "buffer": self._add_buffer(data)} for name, data in module.metadata.items()]
        signatures = [
            {
                "inputs": _tensor_map(s.inputs, writers[s.graph_index], module.graphs[s.graph_index].inputs),
                "outputs": _tensor_map(s.outputs, writers[s.graph_index], module.graphs[s.graph_index].outputs),
                "signature_key": s.key,
                "subgraph_index": s.graph_index,
            }
            for s in module.signatures
        ]
        return write_model(
            {
                "version": SCHEMA_VERSION,
                "operator_codes": self.codes,
                "subgraphs": subgraphs,
                "description": module.description or "edgec",
                "buffers": self.buffers,
                "metadata": metadata or None,
                "signature_defs": signatures or None,
                "external_buffer_groups": module.extra.get("external_buffer_groups"),
                "external_buffers": module.extra.get("external_buffers"),
            },
            like=like,
        )

    def constant_buffer(self, value: Value) -> int:
        """The buffer that holds a constant; equal bytes are stored once."""
        data = value.array()
        key = (id(data), 8 if value.sparsity is not None else value.dtype.bits)
        if key not in self.buffer_of_array:
            raw = pack(data, value.dtype) if 0 < key[1] < 8 else _as_bytes(data)
            self.buffer_of_array[key] = self._shared_buffer(raw)
        return self.buffer_of_array[key]

    def _shared_buffer(self, raw: np.ndarray) -> int:
        if not raw.size:
            return self._add_buffer(raw)
        key = (raw.size, blake2b(raw.data, digest_size=16).digest())
        if key not in self.buffer_of:
            self.buffer_of[key] = self._add_buffer(raw)
        return self.buffer_of[key]

    def _add_buffer(self, data: bytes | np.ndarray | None) -> int:
        raw = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        self.buffers.append({"data": raw if raw is not None and raw.size else None})
        return len(self.buffers) - 1

    def variable_buffer(self) -> int:
        """A fresh empty buffer, as converters give every variable."""
        return self._add_buffer(None)

    def code(self, builtin: str | int, custom_code: str, version: int) -> int:
        key = (str(builtin), custom_code, version)
        if key not in self.code_of:
            try:
                number = enum_value("BuiltinOperator", builtin)
            except KeyError as error:
                raise ExportFailure(f"Writing an opaque op: TFLite has no builtin '{builtin}'.") from error
            self.code_of[key] = len(self.codes)
            self.codes.append(
                {
                    "deprecated_builtin_code": min(number, FIRST_CODE_ABOVE_BYTE),
                    "custom_code": custom_code or None,
                    "version": version,
                    "builtin_code": number,
                }
            )
        return self.code_of[key]


def _as_bytes(data: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8)


def _tensor_map(entries: Iterable[tuple[str, int]], writer: _GraphWriter, values: tuple[Value, ...]) -> list[Tree]:
    return [{"name": name, "tensor_index": writer.index_of[values[position]]} for name, position in entries]


class _GraphWriter:
    def __init__(self, parent: _ModuleWriter, graph: Graph) -> None:
        self.parent = parent
        self.graph = graph
        self.index_of: dict[Value, int] = {value: i for i, value in enumerate(_tensor_order(graph))}

    def write(self) -> Tree:
        graph = self.graph
        return {
            "tensors": [self._tensor(value) for value in self.index_of],
            "inputs": self._indices(graph.inputs),
            "outputs": self._indices(graph.outputs),
            "operators": [self._operator(op) for op in graph.ops],
            "name": graph.name,
            "debug_metadata_index": graph.extra.get("debug_metadata_index", -1),
        }

    def _indices(self, values: Iterable[Value | None]) -> np.ndarray:
        return np.array([-1 if v is None else self.index_of[v] for v in values], np.int32)

    def _tensor(self, value: Value) -> Tree:
        type_ = value.type
        buffer = 0
        if value.is_variable:
            buffer = self.parent.variable_buffer()
        elif value.data is not None:
            buffer = self.parent.constant_buffer(value)
        signature = None if type_.signature is None else np.array(type_.signature, np.int32)
        return {
            "shape": np.array(type_.shape, np.int32),
            "type": value.dtype.name,
            "buffer": buffer,
            "name": value.name,
            "quantization": self._quantization(value),
            "is_variable": value.is_variable,
            "sparsity": value.sparsity,
            "shape_signature": signature,
            "has_rank": value.extra.get("has_rank", False),
            "variant_tensors": value.extra.get("variant_tensors"),
            "external_buffer": value.extra.get("external_buffer", 0),
        }

    def _quantization(self, value: Value) -> Tree | None:
        quant, details = value.quant, value.extra.get("quant_details")
        lows, highs = value.extra.get("float_range", ((), ()))
        if quant is None and details is None and not lows and not highs:
            return None
        tree: Tree = {"min": _float_vector(lows), "max": _float_vector(highs)}
        if quant is not None:
            tree = {
                "min": _float_vector(quant.minimum),
                "max": _float_vector(quant.maximum),
                "scale": _float_vector(quant.scale),
                "zero_point": np.array(quant.zero_point, np.int64),
                "quantized_dimension": quant.axis or 0,
            }
        if details is not None:
            fields = dict(details["fields"])
            for key in ("scales", "zero_points"):
                if details.get(key) is not None:
                    fields[key] = self.index_of[details[key]]
            tree["details"] = (details["kind"], fields)
        return tree

    def _operator(self, op: Op) -> Tree:
        tree: Tree = {
            "inputs": self._indices(op.operands),
            "outputs": self._indices(op.results),
            "intermediates": self._indices(op.intermediates) if op.intermediates else None,
            "mutating_variable_inputs": op.extra.get("mutating_variable_inputs"),
            "debug_metadata_index": op.extra.get("debug_metadata_index", -1),
        }
        if op.opcode == CUSTOM:
            a = op.attributes
            tree["opcode_index"] = self.parent.code("CUSTOM", a["custom_code"], op.version or 1)
            tree["custom_options"] = np.frombuffer(a["custom_options"], np.uint8) if a["custom_options"] else None
            tree["custom_options_format"] = a["custom_options_format"]
            return tree
        if op.opcode == OPAQUE:
            tree["opcode_index"] = self.parent.code(op.attributes["builtin"], "", op.version or 1)
            tree["builtin_options"] = op.attributes["options"]
            tree["builtin_options_2"] = op.attributes["options_2"]
            return tree
        return tree | self._builtin(op)

    def _builtin(self, op: Op) -> Tree:
        definition = OP_DEFS.get(op.opcode)
        if definition is None:
            raise ExportFailure(f"Writing {op.describe()}: TFLite has no op '{op.opcode}'.")
        tree: Tree = {"opcode_index": self.parent.code(definition.builtin, "", definition.write_version(op))}
        if definition.options is not None:
            union = "builtin_options" if definition.options in ENUMS["BuiltinOptions"] else "builtin_options_2"
            tree[union] = (definition.options, {k: _vector(v) for k, v in op.attributes.items()})
        return tree


def _float_vector(values: tuple[float, ...]) -> np.ndarray | None:
    return np.array(values, np.float32) if values else None


def _vector(value: Any) -> Any:
    return (np.array(value) if value else None) if isinstance(value, tuple) else value


def _tensor_order(graph: Graph) -> list[Value]:
    """The tensors to write: the source file's in its order, idle ones included, then new ones as they are met."""
    live = dict.fromkeys(_referenced(graph))
    kept = set(graph.idle)
    ordered = [value for value in graph.declared if value in live or value in kept]
    known = set(ordered)
    return ordered + [value for value in live if value not in known]


def _referenced(graph: Graph) -> Iterable[Value]:
    for value in graph.values():
        yield value
        details = value.extra.get("quant_details") or {}
        yield from (details[key] for key in ("scales", "zero_points") if details.get(key) is not None)
