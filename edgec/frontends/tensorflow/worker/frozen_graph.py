"""Reads TF1's frozen graphs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import tensor_arrays as arrays
from .allowed_ops import refuse_ops
from .composition import composed_after
from .model import Model, converted
from .reduced_precision import in_float32, works_in_other_floats
from .refusal import Refusal, tensorflow
from .tensor_names import node_name, port


class FrozenGraph(Model):
    """A TF1 graph, cut at the named inputs and outputs; its control flow is older than functions."""

    def __init__(
        self, path: Path, graph_def: Any, inputs: list[tuple[str, Any, Any]], function: Callable[..., Any]
    ) -> None:
        super().__init__(function, None, inputs)
        self.path, self.graph_def = path, graph_def

    def convert(self, folder: Path) -> bytes:
        """The float `.tflite`, by the converter for frozen graphs; it knows lists, not the arrays of TF1's loops."""
        graph_def = self.graph_def
        if arrays.has_arrays(graph_def):
            try:
                graph_def = arrays.without_arrays(graph_def, self._known_shapes())
            except arrays.Unfit as unfit:
                raise Refusal(str(unfit)) from unfit
        self.other_floats = works_in_other_floats(self.concrete.graph)
        if self.other_floats:
            graph_def = in_float32(graph_def)
        try:
            return self._converted(graph_def, folder)
        except Exception as error:  # the converter's errors have no common base
            changed = composed_after(error, self._with_known_inputs(graph_def))
            if changed is None:
                raise
            return self._converted(changed, folder)

    def _converted(self, graph_def: Any, folder: Path) -> bytes:
        path = self.path
        if graph_def is not self.graph_def:
            path = folder / "rewritten.pb"
            path.write_bytes(graph_def.SerializeToString())
        sizes = {name: list(t.shape) for name, t in zip(self.input_names, self.concrete.inputs)}
        converter = tensorflow().compat.v1.lite.TFLiteConverter.from_frozen_graph(
            str(path), [node_name(n) for n in self.input_names], [node_name(n) for n in self.output_names],
            {node_name(n): s for n, s in sizes.items()},
        )  # fmt: skip
        return converted(converter)

    def _with_known_inputs(self, graph_def: Any) -> Any:
        """The graph, whose shapes follow from those of the inputs; each input is a placeholder of its shape."""
        tf = tensorflow()
        result = type(graph_def)()
        result.CopyFrom(graph_def)
        nodes = {node.name: node for node in result.node}
        for name, tensor in zip(self.input_names, self.concrete.inputs):
            node = nodes[node_name(name)]
            if name.split(":")[1:] in ([], ["0"]):
                del node.input[:]
                dtype = node.attr["dtype"].type or tensor.dtype.as_datatype_enum
                for key in list(node.attr):
                    del node.attr[key]
                node.op = "Placeholder"
                node.attr["dtype"].type = dtype
                node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(result, name="")
        return graph

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        """Outputs in order for arrays by input name, in a session: a function knows no loops of TF1."""
        tf = tensorflow()
        arguments = [tf.constant(feeds[name].astype(dtype.as_numpy_dtype)) for name, _, dtype in self.inputs]
        ports = [port(name) for name in self.output_names]
        return self._by_xla_where_refused(arguments, lambda: list(self._computed(ports, feeds)))

    def _computed(self, tensors: list[str], feeds: dict[str, Any]) -> Any:
        tf = tensorflow()
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(self.graph_def, name="")
        dtypes = {name: dtype.as_numpy_dtype for name, _, dtype in self.inputs}
        given = {port(name): array.astype(dtypes[name]) for name, array in feeds.items()}
        with tf.compat.v1.Session(graph=graph) as session:
            return session.run(tensors, given)

    def _known_shapes(self) -> dict[str, list[int] | None]:
        """What is known of the tensors' shapes, -1 for an open dimension, by their names in the graph.

        What a loop writes has no shape before it runs, so the graph runs once on zeros to see what was gathered.
        """
        tensors = [tensor for op in self.concrete.graph.get_operations() for tensor in op.outputs]
        shapes = {t.name: None if t.shape.rank is None else [-1 if n is None else n for n in t.shape] for t in tensors}
        numpy = importlib.import_module("numpy")
        zeros = {name: numpy.zeros(t.shape) for name, t in zip(self.input_names, self.concrete.inputs)}
        for name in (f"{node.name}:0" for node in self.graph_def.node if node.op == "TensorArrayGatherV3"):
            if shapes.get(name) is None or -1 in (shapes[name] or ()):
                try:
                    shapes[name] = list(self._computed([name], zeros)[0].shape)
                except tensorflow().errors.OpError:  # it needs more than the named inputs: it is not known, then
                    continue
        return shapes


def load_frozen(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[Model, list[str]]:
    """A TF1 GraphDef; without names, its placeholders and the tensors that nothing reads."""
    tf = tensorflow()
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except Exception as error:
        raise Refusal("it is no frozen GraphDef; a SavedModel is given by its folder") from error
    if not graph_def.node:
        raise Refusal("it is no frozen GraphDef: it has no nodes; a SavedModel is given by its folder")
    refuse_ops(graph_def)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    inputs = list(inputs) or [n.name for n in graph_def.node if n.op in ("Placeholder", "PlaceholderWithDefault")]
    outputs = list(outputs) or _ends(graph_def)
    tensors = [_tensor(graph, name, "--inputs") for name in inputs]
    for name in outputs:
        _tensor(graph, name, "--outputs")
    described = [(n, None if t.shape.rank is None else tuple(t.shape), t.dtype) for n, t in zip(inputs, tensors)]

    def call(*arguments: Any) -> Any:
        replaced = {port(name): argument for name, argument in zip(inputs, arguments)}
        return tf.import_graph_def(graph_def, replaced, [port(name) for name in outputs], name="")

    return FrozenGraph(path, graph_def, described, call), outputs


def _ends(graph_def: Any) -> list[str]:
    read = {node_name(name.lstrip("^")) for node in graph_def.node for name in node.input}
    idle = ("Const", "NoOp", "Assert", "Placeholder", "Exit")  # a counter leaves its loop, too
    return [node.name for node in graph_def.node if node.name not in read and node.op not in idle]


def _tensor(graph: Any, name: str, flag: str) -> Any:
    try:
        return graph.get_tensor_by_name(port(name))
    except (KeyError, ValueError) as error:
        close = [op.name for op in graph.get_operations() if name.split(":")[0].lower() in op.name.lower()]
        known = ", ".join(close[:8] or [op.name for op in graph.get_operations() if op.type != "Const"][:12])
        raise Refusal(f"{flag} names '{name}', which the graph does not have; it has {known}") from error
