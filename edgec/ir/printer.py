"""The text form of a module, one op a line.

    module "digits" {
      graph @main(%x: float32[1,8,8,1]) {
        $w = constant float32[4,3,3,1] "base64 of the bytes"
        %y = conv_2d(%x, $w, none) {padding = "SAME", stride_h = 1, stride_w = 1} : float32[1,8,8,4] from "/conv1/Conv"
        return %y
      }
    }

Attributes equal to the schema's defaults are left out. Graphs, signatures and metadata are printed whole, so parsing
gives the same module back, save for what only a `.tflite` file carries: the `extra` fields, the order of its tensors
and those that nothing uses. With `elide_above`, larger constants are shown by a digest, for reading only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import numpy as np

from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import OpRegistry
from edgec.ir.text_values import to_json
from edgec.ir.types import QuantParams, TensorType
from edgec.schema.defaults import default_attributes

PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
INLINE_ELEMENTS = 8  # constants up to this size are printed as numbers


def print_module(module: Module, op_defs: OpRegistry, *, elide_above: int | None = None) -> str:
    """The text form of a whole module; constants of more than `elide_above` elements are shown by a digest."""
    lines = [f"module {_quote(module.name)} {{"]
    if module.description:
        lines.append(f"  description {_quote(module.description)}")
    for graph in module.graphs:
        lines += [f"  {line}" for line in _GraphPrinter(graph, op_defs, elide_above).lines()]
    for s in module.signatures:
        entries = {"graph": s.graph_index, "inputs": to_json(s.inputs), "outputs": to_json(s.outputs)}
        lines.append(f"  signature {_quote(s.key)} {json.dumps(entries)}")
    for name, data in module.metadata.items():
        lines.append(f"  metadata {_quote(name)} {json.dumps(to_json(data))}")
    return "\n".join([*lines, "}", ""])


def print_graph(graph: Graph, op_defs: OpRegistry, *, elide_above: int | None = None) -> str:
    """The text form of one graph."""
    return "\n".join([*_GraphPrinter(graph, op_defs, elide_above).lines(), ""])


class _GraphPrinter:
    def __init__(self, graph: Graph, op_defs: OpRegistry, elide_above: int | None) -> None:
        self.graph = graph
        self.op_defs = op_defs
        self.elide_above = elide_above
        self.ids: dict[Value, str] = {}
        self.taken: dict[str, int] = {}

    def lines(self) -> list[str]:
        graph = self.graph
        inputs = ", ".join(f"{self._id(v)}: {_type(v.type)}" for v in graph.inputs)
        name = graph.name if PLAIN_NAME.fullmatch(graph.name) else _quote(graph.name)
        lines = [f"graph @{name}({inputs}) {{"]
        for op in graph.ops:
            lines += self._leaves(op.operands)
            lines += self._leaves(op.intermediates)
            lines.append(f"  {self._op(op)}")
        lines += self._leaves(graph.outputs)
        lines.append(f"  return {', '.join(self._id(v) for v in graph.outputs)}".rstrip())
        return [*lines, "}"]

    def _leaves(self, values: Iterable[Value | None]) -> list[str]:
        """Lines that declare constants, variables and intermediates at their first use."""
        lines = []
        for value in values:
            if value is None or value in self.ids or value.producer is not None:
                continue
            lines.append(f"  {self._leaf(value)}")
        return lines

    def _leaf(self, value: Value) -> str:
        if value.is_constant:
            return f"{self._id(value)} = constant {_type(value.type)} {self._data(value)}"
        word = "variable" if value.is_variable else "tensor"
        return f"{self._id(value)} = {word} {_type(value.type)}"

    def _data(self, value: Value) -> str:
        data = value.array()
        if value.sparsity is not None:
            return f"sparse {json.dumps([to_json(value.sparsity), to_json(data)])}"
        if self.elide_above is not None and data.size > self.elide_above:
            return f"elided {_quote(blake2b(np.ascontiguousarray(data).data, digest_size=8).hexdigest())}"
        if value.dtype.is_opaque:
            return json.dumps(to_json(data))
        if data.size <= INLINE_ELEMENTS and data.dtype.kind != "c" and not np.isnan(data).any():
            return json.dumps(to_json(data.reshape(-1).tolist()))
        return json.dumps(to_json(data)["$array"][2])  # the bytes: NaNs keep their bits

    def _op(self, op: Op) -> str:
        results = ", ".join(self._id(v) for v in op.results)
        operands = ", ".join("none" if v is None else self._id(v) for v in op.operands)
        text = f"{results} = " if results else ""
        text += f"{op.opcode}({operands})"
        attributes = self._attributes(op)
        if attributes:
            text += f" {{{', '.join(f'{k} = {json.dumps(to_json(v))}' for k, v in attributes.items())}}}"
        if op.results:
            text += f" : {', '.join(_type(v.type) for v in op.results)}"
        if op.intermediates:
            text += f" intermediates({', '.join(self._id(v) for v in op.intermediates)})"
        if op.version is not None:
            text += f" version {op.version}"
        if op.name and (not op.results or op.name != op.results[0].name):
            text += f" name {_quote(op.name)}"
        if op.source:
            text += f" from {_quote(op.source)}"
        return text

    def _attributes(self, op: Op) -> dict[str, Any]:
        definition = self.op_defs.get(op.opcode)
        defaults = default_attributes(definition.options) if definition else {}
        return {k: v for k, v in op.attributes.items() if k not in defaults or defaults[k] != v}

    def _id(self, value: Value) -> str:
        if value not in self.ids:
            count = self.taken.get(value.name, 0) + 1
            self.taken[value.name] = count
            name = value.name if PLAIN_NAME.fullmatch(value.name) else _quote(value.name)
            sigil = "$" if value.is_constant else "%"
            self.ids[value] = f"{sigil}{name}" + (f"#{count}" if count > 1 else "")
        return self.ids[value]


def _type(type_: TensorType) -> str:
    text = str(type_)
    if type_.signature is not None:
        text += f" signature {json.dumps(list(type_.signature))}"
    if type_.quant is not None:
        text += f" quant {json.dumps(_quant(type_.quant))}"
    return text


def _quant(quant: QuantParams) -> dict[str, Any]:
    tree: dict[str, Any] = {"scale": list(quant.scale), "zero_point": list(quant.zero_point)}
    if quant.axis is None:
        tree = {"scale": quant.scale[0], "zero_point": quant.zero_point[0]}
    elif len(set(quant.zero_point)) == 1:
        tree["zero_point"] = quant.zero_point[0]
    if quant.axis is not None:
        tree["axis"] = quant.axis
    if quant.minimum or quant.maximum:
        tree["range"] = to_json([list(quant.minimum), list(quant.maximum)])
    return tree


def _quote(text: str) -> str:
    return json.dumps(text)
