"""Reads SavedModels."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

from .allowed_ops import refuse_ops
from .input_shapes import Shapes
from .model import Model
from .refusal import Refusal, tensorflow
from .tensor_names import node_name


def load_saved_model(path: Path, folder: Path, shapes: Shapes) -> tuple[Model, list[str]]:
    """The default signature of a SavedModel, or the only one it has."""
    tf = tensorflow()
    proto = _checked_proto(path)
    slots, lists = _drop_optimizer(proto), _fix_batch_of_lists(proto, shapes)
    loaded = tf.saved_model.load(str(_copy_with(proto, path, folder) if slots or lists else path))
    names = sorted(loaded.signatures)
    key = "serving_default" if "serving_default" in names else names[0] if len(names) == 1 else None
    if key is None:
        has = f"it has the signatures {', '.join(names)}" if names else "it has no signature"
        raise Refusal(
            f"{has}; save it with the function to compile as its signature, tf.saved_model.save(model, folder, "
            "signatures={'serving_default': function})"
        )
    signature = loaded.signatures[key]
    specs = signature.structured_input_signature[1]
    inputs = [(n, None if s.shape.rank is None else tuple(s.shape), s.dtype) for n, s in sorted(specs.items())]
    outputs = sorted(signature.structured_outputs)

    def call(*tensors: Any) -> Any:
        found = signature(**{name: tensor for (name, _, _), tensor in zip(inputs, tensors)})
        return [found[name] for name in outputs]

    return Model(call, loaded, inputs), outputs


def _checked_proto(path: Path) -> Any:
    proto = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2").SavedModel()
    root = path.resolve()
    for inner in (path / "saved_model.pb", *path.rglob("*")):
        if not inner.resolve().is_relative_to(root):
            raise Refusal(f"'{inner.relative_to(path)}' is a link that leads out of the model's folder")
    try:
        proto.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:
        raise Refusal("its saved_model.pb is damaged") from error
    for graph in proto.meta_graphs:
        refuse_ops(graph.graph_def)
    return proto


def _drop_optimizer(proto: Any) -> int:
    """Forget an old optimizer's slots, which current TensorFlow cannot load; how many variables had some."""
    slotted = [n for g in proto.meta_graphs for n in g.object_graph_def.nodes if n.slot_variables]
    for node in slotted:
        del node.slot_variables[:]
    return len(slotted)


def _fix_batch_of_lists(proto: Any, shapes: Shapes) -> int:
    """Put the batch size into the lists that recurrent layers keep; how many constants changed.

    Traced with an open batch, a layer says that an entry of its list is [-1, features]. The converter wants to know it,
    and tracing anew with a fixed input does not reach that constant.
    """
    changed = 0
    for graph in proto.meta_graphs:
        inputs = {name: tensor for s in graph.signature_def.values() for name, tensor in s.inputs.items()}
        open_batch = [name for name, t in inputs.items() if t.tensor_shape.dim and t.tensor_shape.dim[0].size < 0]
        batches = {shapes[name][0] for name in open_batch if shapes.get(name)} or {1}
        if open_batch and len(batches) == 1:
            functions = [function.node_def for function in graph.graph_def.library.function]
            changed += sum(_fix_lists(nodes, min(batches)) for nodes in (graph.graph_def.node, *functions))
    return changed


def _fix_lists(nodes: Any, batch: int) -> int:
    """The same for the nodes of one function."""
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for name in node.input:
            readers.setdefault(node_name(name.lstrip("^")), set()).add(node.op)
    changed = 0
    for node in nodes:
        ops = readers.get(node.name, set())
        if node.op != "Const" or not ops or not all(op.startswith("TensorList") for op in ops):
            continue
        sizes = tensorflow().make_ndarray(node.attr["value"].tensor).copy()
        if sizes.ndim == 1 and len(sizes) > 1 and sizes[0] == -1 and (sizes[1:] > 0).all():
            sizes[0] = batch
            node.attr["value"].tensor.CopyFrom(tensorflow().make_tensor_proto(sizes))
            changed += 1
    return changed


def _copy_with(proto: Any, path: Path, folder: Path) -> Path:
    """A copy of a SavedModel with another graph."""
    copy = folder / "saved_model"
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("saved_model.pb", "keras_metadata.pb"))
    (copy / "saved_model.pb").write_bytes(proto.SerializeToString())
    return copy
