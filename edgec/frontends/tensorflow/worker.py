"""Loads a TensorFlow or Keras model, converts it to a float `.tflite` and runs it; a script for another interpreter.

It imports the standard library, numpy and TensorFlow only, never edgec. Requests come as lines of JSON on standard
input, each is answered by one line on standard output: `{"error": …}` or what was asked for. What TensorFlow itself
prints goes to standard error.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Shapes = dict[str, list[int]]
# Arguments that older Keras versions wrote with the only value they had, and that current layers reject.
WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "DepthwiseConv2D": {"groups": 1},
    "DepthwiseConv1D": {"groups": 1},
    "SeparableConv2D": {"groups": 1},
    "SeparableConv1D": {"groups": 1},
    "Conv2DTranspose": {"groups": 1},
    "Conv1DTranspose": {"groups": 1},
    "LSTM": {"time_major": False, "implementation": None},
    "GRU": {"time_major": False, "implementation": None},
    "SimpleRNN": {"time_major": False},
    "BatchNormalization": {"renorm": False, "virtual_batch_size": None, "fused": None},
    "InputLayer": {"ragged": False},
}
# Ops by which a graph reads or writes files or calls Python: a model has no business with them.
FORBIDDEN_OPS = {
    "ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "PrintV2", "ReaderReadV2",
    "WholeFileReaderV2", "FixedLengthRecordReaderV2", "TextLineReaderV2", "DebugIdentityV2", "DebugIdentityV3",
    "RpcCall", "RpcClient", "RpcServer", "Save", "SaveSlices", "LoadDataset", "SaveDataset",
}  # fmt: skip


class Refusal(Exception):
    """The model or a request is at fault; the message is the rest of a sentence."""


def _tf() -> Any:
    return importlib.import_module("tensorflow")


class Model:
    """A function of tensors with names and fixed shapes: what is converted and what is run."""

    def __init__(self, function: Callable[..., Any], keep: Any, inputs: list[tuple[str, Any, Any]]) -> None:
        """`function` takes the inputs in order; `inputs` are (name, shape with None for unknown, dtype)."""
        self.function = function
        self.keep = keep
        self.inputs = inputs
        self.input_names = [name for name, _, _ in inputs]
        self.output_names: list[str] = []
        self.concrete: Any = None

    def trace(self, shapes: Shapes, output_names: Sequence[str]) -> None:
        """Fix all shapes and trace; raises Refusal where a dimension is not known."""
        tf = _tf()
        specs = [  # the reader of the `.tflite` puts them in order by these numbers
            tf.TensorSpec(_fixed(name, shape, shapes), dtype, f"input_{i:04}")
            for i, (name, shape, dtype) in enumerate(self.inputs)
        ]

        def numbered(*tensors: Any) -> Any:
            return {f"output_{i:04}": tensor for i, tensor in enumerate(tf.nest.flatten(self.function(*tensors)))}

        self.concrete = tf.function(numbered, autograph=False).get_concrete_function(*specs)
        outputs = self.concrete.outputs
        self.output_names = list(output_names)
        if len(self.output_names) != len(outputs):
            self.output_names = [f"output_{i}" for i in range(len(outputs))]

    def convert(self) -> bytes:
        """The float `.tflite`."""
        converter = _tf().lite.TFLiteConverter.from_concrete_functions([_frozen(self.concrete)], self.keep)
        return bytes(converter.convert())

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        """Outputs in order for arrays by input name."""
        tf = _tf()
        arguments = [
            tf.constant(feeds[name], dtype, tensor.shape)
            for (name, _, dtype), tensor in zip(self.inputs, self.concrete.inputs)
        ]
        return [tensor.numpy() for tensor in tf.nest.flatten(self.concrete(*arguments))]


def _frozen(concrete: Any) -> Any:
    """The function with its variables as constants: Keras 3's are left as variables otherwise. State stays state."""
    definition = concrete.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    if any(node.op.startswith("Assign") for node in nodes):
        return concrete
    constants = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    return constants.convert_variables_to_constants_v2(concrete, lower_control_flow=False)


class FrozenGraph(Model):
    """A TF1 graph, cut at the named inputs and outputs; its control flow is older than functions."""

    def __init__(self, path: Path, inputs: list[tuple[str, Any, Any]], function: Callable[..., Any]) -> None:
        super().__init__(function, None, inputs)
        self.path = path

    def convert(self) -> bytes:
        """The float `.tflite`, by the converter for frozen graphs."""
        sizes = {name: list(t.shape) for name, t in zip(self.input_names, self.concrete.inputs)}
        converter = _tf().compat.v1.lite.TFLiteConverter.from_frozen_graph(
            str(self.path), [_node(n) for n in self.input_names], [_node(n) for n in self.output_names],
            {_node(n): s for n, s in sizes.items()},
        )  # fmt: skip
        return bytes(converter.convert())


def _fixed(name: str, shape: Any, shapes: Shapes) -> list[int]:
    if shape is None:
        if name in shapes:
            return shapes[name]
        raise Refusal(f"input '{name}' has no shape; give it one with --shape {name}=SIZE,SIZE")
    sizes = list(shape)
    if name in shapes:
        given = shapes[name]
        if len(given) != len(sizes) or any(s not in (None, g) for s, g in zip(sizes, given)):
            raise Refusal(f"--shape {name}={_sizes(given)} does not fit its shape ({_sizes(sizes)})")
        return given
    unknown = [axis for axis, size in enumerate(sizes) if size is None and axis > 0]
    if unknown:
        example = _sizes([1 if axis == 0 and size is None else size for axis, size in enumerate(sizes)], "N")
        raise Refusal(f"dimension {unknown[0]} of input '{name}' is not fixed; fix it with --shape {name}={example}")
    return [1 if size is None else int(size) for size in sizes]


def _sizes(sizes: Sequence[Any], unknown: str = "?") -> str:
    return ",".join(unknown if size is None else str(size) for size in sizes)


# -- Keras -------------------------------------------------------------------------------------------------------------


def load_keras(path: Path, folder: Path) -> tuple[Model, list[str]]:
    """A `.keras` or `.h5` file; older files are repaired in a copy inside `folder`."""
    keras = importlib.import_module("keras")
    repaired = _repaired_h5(path, folder) if path.suffix.lower() in (".h5", ".hdf5") else _checked_keras(path)
    model = keras.saving.load_model(str(repaired), compile=False, safe_mode=True)
    if not getattr(model, "inputs", None):
        raise Refusal("the model was saved without its inputs' shapes; export it as a SavedModel")

    def call(*tensors: Any) -> Any:
        return _tf().nest.flatten(model(_arranged(model, tensors), training=False))

    inputs = [(t.name.split(":")[0], tuple(t.shape), _tf().as_dtype(t.dtype)) for t in model.inputs]
    return Model(call, model, inputs), [str(n) for n in getattr(model, "output_names", [])]


def _arranged(model: Any, tensors: Sequence[Any]) -> Any:
    """The tensors in the structure that the model is called with."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is not None:
        return importlib.import_module("keras").tree.pack_sequence_as(structure, list(tensors))
    return tensors[0] if len(tensors) == 1 else list(tensors)


def _checked_keras(path: Path) -> Path:
    if not zipfile.is_zipfile(path):
        raise Refusal("it is no .keras file: those are zip archives")
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            raise Refusal("it is no .keras file: it holds no config.json")
        _refuse_code(json.loads(archive.read("config.json")))
    return path


def _repaired_h5(path: Path, folder: Path) -> Path:
    h5py = importlib.import_module("h5py")
    if not h5py.is_hdf5(path):
        raise Refusal("it is no HDF5 file")
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise Refusal("it holds weights only; save the whole model with model.save()")
    config = json.loads(text)
    _refuse_code(config)
    if not sum(_repair(layer) for layer in _layers(config)):
        return path
    copy = folder / "repaired.h5"
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
    return copy


def _layers(config: Any) -> Iterator[dict[str, Any]]:
    """Every {"class_name", "config"} pair in a model's configuration, nested models included."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str) and isinstance(config.get("config"), dict):
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from _layers(part)


def _repair(layer: dict[str, Any]) -> int:
    """Drop the arguments that have no effect and that current Keras rejects; how many there were."""
    known, arguments, dropped = WITHOUT_EFFECT.get(layer["class_name"], {}), layer["config"], 0
    for key, only in known.items():
        if key in arguments and (only is None or arguments[key] == only):
            del arguments[key]
            dropped += 1
    return dropped


def _refuse_code(config: Any) -> None:
    for layer in _layers(config):
        if layer["class_name"] in ("Lambda", "__lambda__"):
            name = layer["config"].get("name", "")
            raise Refusal(
                f"its layer '{name}' is a Lambda, Python code stored in the file, which edgec does not run; "
                "replace it by a layer, or export the model as a SavedModel"
            )


# -- SavedModel --------------------------------------------------------------------------------------------------------


def load_saved_model(path: Path, folder: Path) -> tuple[Model, list[str]]:
    """The default signature of a SavedModel, or the only one it has."""
    tf = _tf()
    loaded = tf.saved_model.load(str(_without_optimizer(path, _checked_proto(path), folder)))
    names = sorted(loaded.signatures)
    key = "serving_default" if "serving_default" in names else names[0] if len(names) == 1 else None
    if key is None:
        raise Refusal(f"it has the signatures {', '.join(names) or '(none)'}, but no 'serving_default'")
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
    try:
        proto.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:
        raise Refusal("its saved_model.pb is damaged") from error
    for graph in proto.meta_graphs:
        _refuse_ops(graph.graph_def)
    return proto


def _without_optimizer(path: Path, proto: Any, folder: Path) -> Path:
    """The model without an old optimizer's slots, which current TensorFlow cannot load; a copy where there are any."""
    slotted = [n for g in proto.meta_graphs for n in g.object_graph_def.nodes if n.slot_variables]
    if not slotted:
        return path
    for node in slotted:
        del node.slot_variables[:]
    copy = folder / "saved_model"
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("saved_model.pb", "keras_metadata.pb"))
    (copy / "saved_model.pb").write_bytes(proto.SerializeToString())
    return copy


def _refuse_ops(graph: Any) -> None:
    nodes = list(graph.node) + [node for function in graph.library.function for node in function.node_def]
    found = sorted({node.op for node in nodes} & FORBIDDEN_OPS)
    if found:
        raise Refusal(f"it reads or writes files or runs Python code ({', '.join(found)}), which edgec does not allow")


# -- frozen graphs -----------------------------------------------------------------------------------------------------


def load_frozen(path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[Model, list[str]]:
    """A TF1 GraphDef; without names, its placeholders and the tensors that nothing reads."""
    tf = _tf()
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except Exception as error:
        raise Refusal("it is no frozen GraphDef; a SavedModel is given by its folder") from error
    if not graph_def.node:
        raise Refusal("it is no frozen GraphDef: it has no nodes; a SavedModel is given by its folder")
    _refuse_ops(graph_def)
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
        replaced = {_port(name): argument for name, argument in zip(inputs, arguments)}
        return tf.import_graph_def(graph_def, replaced, [_port(name) for name in outputs], name="")

    return FrozenGraph(path, described, call), outputs


def _ends(graph_def: Any) -> list[str]:
    read = {_node(name.lstrip("^")) for node in graph_def.node for name in node.input}
    idle = ("Const", "NoOp", "Assert", "Placeholder")
    return [node.name for node in graph_def.node if node.name not in read and node.op not in idle]


def _tensor(graph: Any, name: str, flag: str) -> Any:
    try:
        return graph.get_tensor_by_name(_port(name))
    except (KeyError, ValueError) as error:
        close = [op.name for op in graph.get_operations() if name.split(":")[0].lower() in op.name.lower()]
        known = ", ".join(close[:8] or [op.name for op in graph.get_operations() if op.type != "Const"][:12])
        raise Refusal(f"{flag} names '{name}', which the graph does not have; it has {known}") from error


def _port(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _node(name: str) -> str:
    return name.split(":")[0]


# -- requests ----------------------------------------------------------------------------------------------------------


def _load(request: dict[str, Any], folder: Path) -> Model:
    path, kind = Path(request["path"]), request["kind"]
    if kind != "pb" and (request["inputs"] or request["outputs"]):
        raise Refusal("--inputs and --outputs are for frozen .pb graphs; this file names its own")
    if kind == "saved_model":
        model, outputs = load_saved_model(path, folder)
    elif kind == "pb":
        model, outputs = load_frozen(path, request["inputs"], request["outputs"])
    else:
        model, outputs = load_keras(path, folder)
    stray = sorted(set(request["shapes"]) - set(model.input_names))
    if stray:
        raise Refusal(f"--shape names '{stray[0]}'; its inputs are {', '.join(model.input_names)}")
    model.trace(request["shapes"], outputs)
    return model


def _answer(request: dict[str, Any], model: Model | None, folder: Path) -> tuple[Model, dict[str, Any]]:
    if model is None:
        model = _load(request, folder)
        data = model.convert()
        Path(request["to"]).write_bytes(data)
        return model, {
            "inputs": model.input_names, "outputs": model.output_names, "tensorflow": str(_tf().__version__),
            "sha256": hashlib.sha256(data).hexdigest(),
        }  # fmt: skip
    numpy = importlib.import_module("numpy")
    with numpy.load(request["feeds"], allow_pickle=False) as stored:
        feeds = {name: stored[f"array_{i}"] for i, name in enumerate(request["names"])}
    outputs = model.run(feeds)
    numpy.savez(request["to"], **{f"array_{i}": array for i, array in enumerate(outputs)})
    return model, {"outputs": len(outputs)}


def _said(error: BaseException) -> str:
    """The reason in one line: the ops that TFLite lacks, or the last line of the message that says something."""
    text = str(error)
    ops = sorted(set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", text)))
    if not ops:
        listed = text.partition("Flex ops:")[2] or text.partition("Custom ops:")[2]
        ops = sorted(set(re.findall(r"tf\.(\w+)\(", listed)))
    if ops:
        return (
            f"TFLite has no builtin for its op{'s' * (len(ops) > 1)} {', '.join(ops)}; "
            "cut the graph around them (--inputs and --outputs for a frozen .pb), or replace them"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and set(line.strip()) - set("-=^~ ")]
    useful = [line for line in lines if not line.startswith(("Traceback", "File ", "<unknown>", "Details:"))]
    return f"{type(error).__name__}: {(useful or ['no message'])[0][:300].rstrip('.')}"


def _serve(folder: Path) -> None:
    """Answer requests until standard input ends; `folder` is the asker's, for files that may be left."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what TensorFlow prints shall not mix with the replies
    model: Model | None = None
    for line in sys.stdin:
        try:
            model, reply = _answer(json.loads(line), model, folder)
        except Refusal as refusal:
            reply = {"error": str(refusal)}
        except MemoryError:
            reply = {"error": "the memory did not suffice"}
        except Exception as error:  # TensorFlow's errors have no common base; the reason goes to the asker
            reply = {"error": _said(error)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this script
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    _serve(Path(sys.argv[1]))
