"""Walks an ONNX model's nodes in order and translates each, folding what is constant on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgec.errors import ImportFailure, UnsupportedOp
from edgec.frontends.onnx import families
from edgec.frontends.onnx.control_flow import CONTROL_FLOW
from edgec.frontends.onnx.declared_shapes import declared_shapes
from edgec.frontends.onnx.element_types import CONVERTED, as_float32, computed_type, conversion_notes
from edgec.frontends.onnx.fold import fold_node
from edgec.frontends.onnx.gelu import recognize_gelu
from edgec.frontends.onnx.model_file import OnnxModel, load_model, read_model, tensor_data
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.node_schema import schema_complaint
from edgec.frontends.onnx.schema_functions import with_functions_inlined
from edgec.frontends.onnx.shapes import input_types
from edgec.frontends.onnx.translation import Translation
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ops import build, verify

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

LAYOUT_OPS = {"transpose", "reshape"}
MIN_OPSET, MAX_OPSET = 1, 25
ONNX_DOMAINS = ("", "ai.onnx")
MAX_INLINED = 20_000
GRAPH = 5  # AttributeProto.GRAPH
Shapes = Mapping[str, Sequence[int]]


def load_onnx(path: Path, shapes: Shapes | None = None) -> Module:
    """Translate an ONNX file; tensors keep ONNX's layout, the layout pass decides later.

    `shapes` fixes the shapes of inputs by name.

    Raises:
        ImportFailure: the file is damaged, or an input has an unknown dimension.
        UnsupportedOp: some nodes have no translation; the message lists all of them.
    """
    return _translate(load_model(path), shapes or {})


def read_onnx(data: bytes, name: str = "model", shapes: Shapes | None = None) -> Module:
    """Translate the bytes of a self-contained ONNX model; raises as `load_onnx`."""
    return _translate(read_model(data, name), shapes or {})


def _translate(model: OnnxModel, shapes: Shapes) -> Module:
    if not MIN_OPSET <= model.opset <= MAX_OPSET:
        raise ImportFailure(
            f"Reading '{model.name}': it uses opset {model.opset}; edgec reads {MIN_OPSET} to {MAX_OPSET}."
        )
    proto = with_functions_inlined(model.proto, model.opset, families.TRANSLATIONS, model.name)
    if proto is not model.proto:
        model = model.with_proto(proto)
    module = Module([Graph("main")], name=Path(model.name).stem, source_format="onnx")
    _GraphTranslator(model, module, shapes).run()
    verify(module)
    return module


class _GraphTranslator:
    def __init__(self, model: OnnxModel, module: Module, shapes: Shapes) -> None:
        self.model = model
        self.module = module
        self.graph = module.main
        self.context = Translation(build(self.graph))
        self.values: dict[str, Value] = {}
        self.unknown: set[str] = set()  # outputs of refused nodes: what depends on them is not reported again
        self.refused: list[str] = []
        self.inlined = 0  # nodes of subgraphs, each as often as it was translated
        self.types = input_types(model, shapes)
        self.declared = declared_shapes(model.graph)

    def run(self) -> None:
        for name, type_ in self.types.items():
            if type_.dtype in CONVERTED:
                self.context.converted.add(type_.dtype)
            self.values[name] = self.graph.add_input(name, replace(type_, dtype=computed_type(type_.dtype)))
        remaining = self._count_uses()
        for proto in self.model.graph.node:
            self._node(proto)
            self._release(proto, remaining)
        if self.refused:
            listed = "; ".join(self.refused)
            count = len(self.refused)
            raise UnsupportedOp(f"Reading '{self.model.name}': {count} nodes cannot be translated: {listed}.")
        self._outputs()
        recognize_gelu(self.graph, self.context.error_functions)
        self.module.extra["source_dtypes"] = tuple(sorted(dtype.value for dtype in self.context.converted))
        self.module.notes += conversion_notes(self.context, self.model.name)

    def _count_uses(self) -> dict[str, int]:
        uses: dict[str, int] = {}
        for proto in self.model.graph.node:
            for name in _names_used(proto):
                uses[name] = uses.get(name, 0) + 1
        for output in self.model.graph.output:
            uses[output.name] = uses.get(output.name, 0) + 1
        return uses

    def _release(self, proto: NodeProto, remaining: dict[str, int]) -> None:
        """Forget constants that no later node uses, so that unpacked weights do not pile up."""
        for name in proto.input:
            remaining[name] = remaining.get(name, 0) - 1
            if remaining[name] <= 0 and name in self.values and self.values[name].is_constant:
                del self.values[name]

    def _node(self, proto: NodeProto) -> None:
        depends_on_refused = not self.unknown.isdisjoint(proto.input)
        reason = self._missing_translation(proto) if depends_on_refused else self._translate_node(proto)
        if reason is not None:
            domain = "" if proto.domain in ONNX_DOMAINS else f"{proto.domain}."
            self.refused.append(f"'{_node_name(proto)}' ({domain}{proto.op_type}): {reason}")
        if reason is not None or depends_on_refused:
            self.unknown.update(proto.output)

    def _missing_translation(self, proto: NodeProto) -> str | None:
        known = proto.op_type in families.TRANSLATIONS or proto.op_type in CONTROL_FLOW
        known = known and proto.domain in ONNX_DOMAINS
        return None if known else "there is no translation"

    def _translate_node(self, proto: NodeProto) -> str | None:
        """Fold or translate a node; returns the reason where that cannot be done."""
        missing = self._missing_translation(proto)
        complaint = schema_complaint(proto, self.model.opset) if proto.domain in ONNX_DOMAINS else missing
        if complaint is not None:
            return missing or complaint
        node = Node(proto, [self._operand(name, proto) for name in proto.input], self.model.opset)
        node.declared = [self.declared.get(name) for name in proto.output]
        self.context.builder.source = f"{self.model.name}: {node.name}"
        try:
            folded = fold_node(proto, node, self.model)
            if folded is not None:
                for name, array in zip([o for o in node.outputs if o], folded):
                    self.values[name] = self._constant(name, array)
                return None
            if missing is not None:
                return missing
            last = self.graph.last_op
            if node.op_type in CONTROL_FLOW:
                self._bind(node, CONTROL_FLOW[node.op_type](node, self.context, self._walk))
                return None
            result = families.TRANSLATIONS[node.op_type](node, self.context)
        except (Refusal, ValueError) as error:
            return str(error)
        except (ArithmeticError, LookupError, MemoryError) as error:  # sizes and indices that no real model has
            return f"it is malformed ({type(error).__name__}: {error})"
        results = [result] if isinstance(result, Value) else list(result)
        self._name_ops(node, results, last)
        self._bind(node, results)
        return None

    def _walk(self, graph: GraphProto, bound: Mapping[str, Value]) -> list[Value]:
        """Translate a subgraph's nodes into this graph; names of the graphs around it are visible there."""
        self.inlined += len(graph.node)
        if self.inlined > MAX_INLINED:
            raise Refusal(f"its subgraphs unroll to more than {MAX_INLINED} nodes")
        self.values.update(bound)
        for tensor in graph.initializer:
            self.values[tensor.name] = self._constant(tensor.name, tensor_data(tensor, self.model.name))
        self.declared.update(declared_shapes(graph))
        for proto in graph.node:
            self._node(proto)
        missing = [output.name for output in graph.output if output.name not in self.values]
        if missing:
            raise Refusal(f"its subgraph does not give '{missing[0]}'")
        return [self.values[output.name] for output in graph.output]

    def _operand(self, name: str, proto: NodeProto) -> Value | None:
        if not name:
            return None
        if name not in self.values:
            array = self.model.initializer(name)
            if array is None:
                raise ImportFailure(
                    f"Reading '{self.model.name}': node '{_node_name(proto)}' uses '{name}', which nothing defines."
                )
            self.values[name] = self._constant(name, array)
        return self.values[name]

    def _constant(self, name: str, array: np.ndarray) -> Value:
        try:
            return self.graph.constant(array, name)
        except ValueError as error:
            raise ImportFailure(f"Reading '{self.model.name}': constant '{name}': {error}.") from error

    def _bind(self, node: Node, results: Sequence[Value]) -> None:
        self.values.update({name: value for name, value in zip(node.outputs, results) if name})

    def _name_ops(self, node: Node, results: Sequence[Value], last: Op | None) -> None:
        """Give the node's output name to the op that does its work: layout changes around it come and go."""
        if len(results) > 1:
            for name, value in zip(node.outputs, results):
                if name and value.producer is not None:
                    value.name = name
        op = self.graph.last_op
        while op is not last and op is not None:
            if op.opcode not in LAYOUT_OPS and node.outputs[0]:
                op.name = node.outputs[0]
                if len(op.results) == 1:
                    op.result.name = op.name
                return
            op = op.previous

    def _name_output(self, value: Value, name: str) -> None:
        """Outputs carry the source's names; an inner value that has the name already gives it up."""
        if value.name == name or value.producer is None:
            return
        op: Op | None = value.producer
        while op is not None and op.source == value.producer.source:
            for result in op.results:
                if result.name == name:
                    result.name = op.name = f"{name}/inner"
            op = op.previous
        value.name = value.producer.name = name

    def _outputs(self) -> None:
        outputs = []
        for proto in self.model.graph.output:
            value = self.values.get(proto.name)
            if value is None:
                array = self.model.initializer(proto.name)
                if array is None:
                    raise ImportFailure(f"Reading '{self.model.name}': nothing defines the output '{proto.name}'.")
                value = self._constant(proto.name, array)
            value = as_float32(self.context, value)
            self._name_output(value, proto.name)
            outputs.append(value)
        self.graph.outputs = outputs
        names = [proto.name for proto in self.model.graph.output]
        self.module.signatures.append(
            Signature(
                "serving_default", 0,
                tuple((v.name, i) for i, v in enumerate(self.graph.inputs)),
                tuple((name, i) for i, name in enumerate(names)),
            )
        )  # fmt: skip


def _names_used(proto: NodeProto) -> Iterator[str]:
    """The values a node uses, those its subgraphs capture included."""
    yield from proto.input
    for attribute in proto.attribute:
        for graph in [attribute.g] if attribute.type == GRAPH else attribute.graphs:
            for inner in graph.node:
                yield from _names_used(inner)
            yield from (output.name for output in graph.output)


def _node_name(proto: NodeProto) -> str:
    return str(proto.name or (proto.output[0] if proto.output else proto.op_type))
