"""Walks an ONNX model's nodes in order and translates each, folding what is constant on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgec.errors import ImportFailure, UnsupportedOp
from edgec.frontends.onnx import families, sequences
from edgec.frontends.onnx.contrib import is_contrib
from edgec.frontends.onnx.control_flow import CONTROL_FLOW
from edgec.frontends.onnx.declared_shapes import declared_shapes
from edgec.frontends.onnx.dynamic_quantization import ROUNDS, in_real_numbers
from edgec.frontends.onnx.element_types import CONVERTED, as_float32, computed_type, conversion_notes
from edgec.frontends.onnx.fold import fold_node
from edgec.frontends.onnx.model_file import OnnxModel, load_model, read_model, tensor_data
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.node_order import in_order, names_used, names_used_in
from edgec.frontends.onnx.node_schema import schema_complaint
from edgec.frontends.onnx.refusals import RefusedNode, refusal_list, refusal_sentence
from edgec.frontends.onnx.refused_ops import REFUSED
from edgec.frontends.onnx.schema_functions import with_functions_inlined
from edgec.frontends.onnx.sequences import TAKES_SEQUENCES, is_sequence
from edgec.frontends.onnx.shapes import input_types
from edgec.frontends.onnx.single_definitions import verify_single_definitions
from edgec.frontends.onnx.subgraph import Subgraph
from edgec.frontends.onnx.translation import Translation
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.mapped import release_pages
from edgec.ir.open_size import has_open_size
from edgec.ops import build, verify

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

LAYOUT_OPS = {"transpose", "reshape"}
MIN_OPSET, MAX_OPSET = 1, 25
ONNX_DOMAINS = ("", "ai.onnx")
MAX_INLINED = 20_000
NO_TRANSLATION = "there is no translation"
FOR_ONE_MACHINE = ("com.microsoft.nchwc", "com.ms.internal.nhwc")
REWRITTEN = (
    "onnxruntime rewrote the model for the machine it ran on; give the model as it was before, or save it with "
    "ORT_ENABLE_EXTENDED or less"
)
SUBGRAPH_OPS = {**CONTROL_FLOW, **sequences.SUBGRAPH_OPS}
Shapes = Mapping[str, Sequence[int]]


def load_onnx(
    path: Path, shapes: Shapes | None = None, trace: dict[str, Value] | None = None, *, unroll: bool = False
) -> Module:
    """Translate an ONNX file; tensors keep ONNX's layout, the layout pass decides later.

    `shapes` fixes the shapes of inputs by name. `trace` is filled with what became of each of the source's values by
    name, for finding the node whose translation departs. `unroll` writes out recurrent layers and loops of a known
    number of steps although TFLite has one op for them, for targets where only int8 runs: the fused LSTM keeps its
    state in float, and graphs that a `while` calls are not quantized.

    Raises:
        ImportFailure: the file is damaged, or an input has an unknown dimension.
        UnsupportedOp: some nodes have no translation; the message lists all of them.
    """
    return _translate(load_model(path), shapes or {}, trace, unroll)


def read_onnx(
    data: bytes, name: str = "model", shapes: Shapes | None = None, trace: dict[str, Value] | None = None, *,
    unroll: bool = False,
) -> Module:  # fmt: skip
    """Translate the bytes of a self-contained ONNX model; the rest is as for `load_onnx`."""
    return _translate(read_model(data, name), shapes or {}, trace, unroll)


def _translate(model: OnnxModel, shapes: Shapes, trace: dict[str, Value] | None, unroll: bool) -> Module:
    if not MIN_OPSET <= model.opset <= MAX_OPSET:
        raise ImportFailure(
            f"Reading '{model.name}': it uses opset {model.opset}; edgec reads {MIN_OPSET} to {MAX_OPSET}: export it "
            f"with opset {MAX_OPSET} or lower, or convert it by onnx.version_converter."
        )
    verify_single_definitions(model.graph, model.name)
    known = families.TRANSLATIONS.keys() | REFUSED.keys() | SUBGRAPH_OPS.keys()
    proto = with_functions_inlined(model.proto, model.opset, known, model.name)
    if proto is not model.proto:
        model = model.with_proto(proto)
    module = Module([Graph("main")], name=Path(model.name).stem, source_format="onnx")
    _GraphTranslator(model, module, shapes, trace, unroll).run()
    verify(module)
    release_pages(module)
    return module


class _InnerRefusal(Refusal):
    """A node of a subgraph was refused, which the list of refused nodes says already."""


class _GraphTranslator:
    def __init__(
        self, model: OnnxModel, module: Module, shapes: Shapes, trace: dict[str, Value] | None, unroll: bool
    ) -> None:
        self.model = model
        self.module = module
        self.graph = module.main
        self.context = Translation(build(self.graph), module.graphs, unroll=unroll)
        self.values: dict[str, Value] = {}
        self.unknown: set[str] = set()  # outputs of refused nodes: what depends on them is not reported again
        self.refused: list[RefusedNode] = []
        self.used: frozenset[str] = frozenset()  # names that some node or the model's user reads
        self.in_reals: frozenset[str] = frozenset()  # codes of dynamic quantization that stay real numbers
        self.inlined = 0  # nodes of subgraphs, each as often as it was translated
        self.sizes_vary = has_open_size(shapes)
        found = input_types(model, shapes)
        self.types = found.types
        module.notes += found.notes
        module.extra |= {"input_dims": found.dims, "shape_axes": found.shape_axes}
        self.declared = declared_shapes(model.graph)
        self.trace = trace

    def run(self) -> None:
        for name, type_ in self.types.items():
            if type_.dtype in CONVERTED:
                self.context.converted.add(type_.dtype)
            value = self.graph.add_input(name, replace(type_, dtype=computed_type(type_.dtype)))
            self._bind([name], [value])
        remaining = self._count_uses()
        self.used = frozenset(remaining)
        nodes = self.model.graph.node
        elsewhere = frozenset(o.name for o in self.model.graph.output) | _used_by_subgraphs(nodes)
        self.in_reals = in_real_numbers(nodes, elsewhere)
        for proto in in_order(self.model.graph.node):
            self._node(proto)
            self._release(proto, remaining)
        if self.refused:
            raise UnsupportedOp(refusal_sentence(self.model.name, self.refused))
        self._outputs()
        self.context.finish()
        self.module.extra["source_dtypes"] = tuple(sorted(dtype.value for dtype in self.context.converted))
        if self.context.rounds_at_run_time:
            self.module.extra[ROUNDS] = True
        self.module.notes += conversion_notes(self.context, self.model.name)

    def _count_uses(self) -> dict[str, int]:
        uses: dict[str, int] = {}
        for proto in self.model.graph.node:
            for name in names_used(proto):
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
        try:
            reason = self._missing_translation(proto) if depends_on_refused else self._translate_node(proto)
        except _InnerRefusal:
            reason, depends_on_refused = None, True
        if reason is not None:
            domain = "" if proto.domain in ONNX_DOMAINS else f"{proto.domain}."
            self.refused.append(RefusedNode(_node_name(proto), f"{domain}{proto.op_type}", reason))
        if reason is not None or depends_on_refused:
            self.unknown.update(proto.output)

    def _missing_translation(self, proto: NodeProto) -> str | None:
        own = proto.domain in ONNX_DOMAINS
        if families.translation(proto) is not None or (own and proto.op_type in SUBGRAPH_OPS):
            return None
        if proto.domain in FOR_ONE_MACHINE:
            return REWRITTEN
        return REFUSED.get(proto.op_type, NO_TRANSLATION) if own else NO_TRANSLATION

    def _translate_node(self, proto: NodeProto) -> str | None:
        """Fold or translate a node; returns the reason where that cannot be done."""
        missing = self._missing_translation(proto)
        complaint = missing
        if not is_contrib(proto) and proto.domain in ONNX_DOMAINS:
            complaint = schema_complaint(proto, self.model.opset)
        if complaint is not None:
            return missing or complaint
        node = Node(proto, [self._operand(name, proto) for name in proto.input], self.model.opset)
        node.declared = [self.declared.get(name) for name in proto.output]
        node.sizes_vary = self.sizes_vary
        node.in_real_numbers = bool(proto.output) and proto.output[0] in self.in_reals
        node.read = {i for i, name in enumerate(proto.output) if name in self.used}
        self.context.builder.source = f"{self.model.name}: {node.name}"
        try:
            foldable = proto.domain in ONNX_DOMAINS and not self._takes_sequence(node)
            folded = fold_node(proto, node, self.model, translated=missing is None) if foldable else None
            if folded is not None:
                allowance = self.context.allowance
                names = [name for name in node.outputs if name]
                for array in folded:
                    (allowance.add if node.op_type == "Constant" else allowance.take)(array)
                self._bind(names, [self._constant(name, array) for name, array in zip(names, folded)])
                return None
            if missing is not None:
                return missing
            last = self.graph.last_op
            if node.op_type in SUBGRAPH_OPS and proto.domain in ONNX_DOMAINS:
                self._bind(node.outputs, SUBGRAPH_OPS[node.op_type](node, self.context, self))
                return None
            translate = families.translation(proto)
            assert translate is not None
            result = translate(node, self.context)
        except _InnerRefusal:
            raise
        except (Refusal, ValueError) as error:
            return str(error)
        except (ArithmeticError, LookupError, MemoryError) as error:  # sizes and indices that no real model has
            return f"it is malformed ({type(error).__name__}: {error})"
        results = [result] if isinstance(result, Value) else list(result)
        self._name_ops(node, results, last)
        self._bind(node.outputs, results)
        return None

    def _takes_sequence(self, node: Node) -> bool:
        if not any(is_sequence(self.context, value) for value in node.inputs):
            return False
        if node.op_type not in TAKES_SEQUENCES and node.op_type not in sequences.TRANSLATIONS:
            raise Refusal("one of its inputs is a sequence of tensors")
        return True

    def walk_apart(self, inner: Subgraph, graph: GraphProto, bound: Mapping[str, Value]) -> list[Value]:
        """Translate a subgraph's nodes into a graph of its own, which captures what it uses of the graphs around it."""
        outer = self.graph, self.context, self.values, self.trace
        refused, unknown = len(self.refused), set(self.unknown)
        free = [name for name in dict.fromkeys(names_used_in(graph)) if name in self.values and name not in bound]
        inside = {name: inner.capture(self.values[name]) for name in free}
        self.graph, self.context, self.values, self.trace = inner.graph, inner.context, inside, None
        try:
            results = self.walk(graph, bound)
        except Refusal:
            if len(self.refused) == refused:
                raise
            results = []
        finally:
            self.graph, self.context, self.values, self.trace = outer
            self.unknown = unknown
            reasons = self.refused[refused:]
            del self.refused[refused:]
        if reasons:
            raise Refusal(f"in its subgraph {refusal_list(reasons)}")
        return results

    def walk(self, graph: GraphProto, bound: Mapping[str, Value]) -> list[Value]:
        """Translate a subgraph's nodes into this graph; names of the graphs around it are visible there."""
        self.inlined += len(graph.node)
        if self.inlined > MAX_INLINED:
            raise Refusal(f"its subgraphs unroll to more than {MAX_INLINED} nodes")
        self.values.update(bound)
        for tensor in graph.initializer:
            self.values[tensor.name] = self._stored(tensor.name, tensor_data(tensor, self.model.name))
        self.declared.update(declared_shapes(graph))
        for proto in in_order(graph.node):
            self._node(proto)
        for output in graph.output:
            stored = None if output.name in self.values else self.model.initializer(output.name)
            if stored is not None:
                self.values[output.name] = self._stored(output.name, stored)
        missing = [output.name for output in graph.output if output.name not in self.values]
        if not self.unknown.isdisjoint(missing):
            raise _InnerRefusal
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
            self.values[name] = self._stored(name, array)
        return self.values[name]

    def _stored(self, name: str, array: np.ndarray) -> Value:
        self.context.allowance.add(array)
        return self._constant(name, array)

    def _constant(self, name: str, array: np.ndarray) -> Value:
        try:
            return self.graph.constant(array, name)
        except ValueError as error:
            raise ImportFailure(f"Reading '{self.model.name}': constant '{name}': {error}.") from error

    def _bind(self, names: Sequence[str], results: Sequence[Value]) -> None:
        bound = {name: value for name, value in zip(names, results) if name}
        self.values.update(bound)
        if self.trace is not None:
            self.trace.update(bound)

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
            if is_sequence(self.context, value) or proto.type.WhichOneof("value") not in (None, "tensor_type"):
                raise ImportFailure(
                    f"Reading '{self.model.name}': output '{proto.name}' is no tensor; edgec gives tensors only."
                )
            if value is None:
                array = self.model.initializer(proto.name)
                if array is None:
                    raise ImportFailure(f"Reading '{self.model.name}': nothing defines the output '{proto.name}'.")
                value = self._constant(proto.name, array)
            value = as_float32(self.context, value)
            self._name_output(value, proto.name)
            outputs.append(value)
        self.graph.outputs = outputs
        names = _told_apart([proto.name for proto in self.model.graph.output])
        self.module.signatures.append(
            Signature(
                "serving_default", 0,
                tuple((v.name, i) for i, v in enumerate(self.graph.inputs)),
                tuple((name, i) for i, name in enumerate(names)),
            )
        )  # fmt: skip


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names of outputs, those that repeat an earlier one with a number behind: a signature holds each name once."""
    found: list[str] = []
    for name in names:
        unique, number = name, 0
        while unique in found or (number and unique in names):
            number += 1
            unique = f"{name}_{number}"
        found.append(unique)
    return found


def _used_by_subgraphs(nodes: Iterable[NodeProto]) -> frozenset[str]:
    holders = [node for node in nodes if any(a.HasField("g") or a.graphs for a in node.attribute)]
    return frozenset(name for node in holders for name in names_used(node))


def _node_name(proto: NodeProto) -> str:
    return str(proto.name or (proto.output[0] if proto.output else proto.op_type))
