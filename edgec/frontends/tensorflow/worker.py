"""Loads a TensorFlow or Keras model, converts it to a float `.tflite` and runs it; a script for another interpreter.

It imports the standard library, numpy and TensorFlow only, never edgec. Requests come as lines of JSON on standard
input, each is answered by one line on standard output: `{"error": …}` or what was asked for. What TensorFlow itself
prints goes to standard error.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
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
OLDEST_TENSORFLOW = (2, 16)  # the first with Keras 3
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
# What Keras writes as of the module `builtins`; it would import any other module that a file names.
PLAIN_TYPES = {"function", "dict", "list", "tuple", "str", "int", "float", "bool", "NoneType"}
MOST_UNPACKED = 20  # times the size of a .keras file, whose weights are hardly smaller when they are packed
SMALL_BYTES = 64 << 20
# Ops by which a graph reads or writes files or calls Python: a model has no business with them. (The ones by which
# TensorFlow stores and restores the variables, MergeV2Checkpoints among them, are in every SavedModel.)
FORBIDDEN_OPS = {
    "ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "PrintV2", "ReaderReadV2",
    "WholeFileReader", "WholeFileReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "TextLineReader",
    "TextLineReaderV2", "TFRecordReader", "TFRecordReaderV2", "LMDBReader", "IdentityReader", "IdentityReaderV2",
    "ReaderRead", "ReaderReadUpTo", "ReaderReadUpToV2", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3",
    "RpcCall", "RpcClient", "RpcServer", "Save", "SaveSlices", "LoadDataset", "LoadDatasetV2", "SaveDataset",
    "SaveDatasetV2", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2", "TextLineDataset",
    "TFRecordDataset", "TFRecordDatasetV2", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "SqlDataset",
    "CSVDataset", "CSVDatasetV2", "ExperimentalCSVDataset", "ExperimentalSqlDataset", "LMDBDataset",
    "ExperimentalLMDBDataset", "SnapshotDataset", "SnapshotDatasetV2", "CacheDataset", "CacheDatasetV2",
    "CreateSummaryFileWriter", "CreateSummaryDbWriter",
}  # fmt: skip
# How lines of TensorFlow's messages begin that say where, not why.
WITHOUT_REASON = ("Traceback", "File ", "<unknown>", "Details:", "Graph execution error", "Detected at node")


class Refusal(Exception):
    """The model or a request is at fault; the message is the rest of a sentence."""


def _tf() -> Any:
    return importlib.import_module("tensorflow")


def _check_version() -> None:
    """Refuse a TensorFlow that is too old for Keras 3, or that is not whole."""
    try:
        version = str(_tf().__version__)
    except Exception as error:  # a broken installation fails in its own ways
        raise Refusal(f"importing tensorflow failed: {_said(error)}") from error
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_TENSORFLOW:
        wanted = ".".join(str(part) for part in OLDEST_TENSORFLOW)
        raise Refusal(f"TensorFlow {version} is too old; name a Python with {wanted} or newer by --python")


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
        batch = _given_batch(self.inputs, shapes)
        specs = [  # the reader of the `.tflite` puts them in order by these numbers
            tf.TensorSpec(_fixed(name, shape, shapes, batch), dtype, f"input_{i:04}")
            for i, (name, shape, dtype) in enumerate(self.inputs)
        ]

        def numbered(*tensors: Any) -> Any:
            return {f"output_{i:04}": tensor for i, tensor in enumerate(tf.nest.flatten(self.function(*tensors)))}

        self.concrete = tf.function(numbered, autograph=False).get_concrete_function(*specs)
        outputs = self.concrete.outputs
        self.output_names = list(output_names)
        if len(self.output_names) != len(outputs):
            self.output_names = [f"output_{i}" for i in range(len(outputs))]

    def convert(self, folder: Path) -> bytes:
        """The float `.tflite`; a model with state goes through a SavedModel in `folder`, which sets its first state."""
        tf = _tf()
        if not _writes_state(self.concrete):
            return _converted(tf.lite.TFLiteConverter.from_concrete_functions([_frozen(self.concrete)], self.keep))
        module = tf.Module()
        module.model, module.variables_used = self.keep, list(self.concrete.variables)
        tf.saved_model.save(module, str(folder / "stateful"), signatures=self.concrete)
        return _converted(tf.lite.TFLiteConverter.from_saved_model(str(folder / "stateful")))

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        """Outputs in order for arrays by input name; other shapes than those traced are traced anew."""
        tf = _tf()
        shapes = {name: list(feeds[name].shape) for name in self.input_names}
        if any(shapes[name] != list(t.shape) for name, t in zip(self.input_names, self.concrete.inputs)):
            self.trace(shapes, self.output_names)
        arguments = [
            tf.constant(feeds[name], dtype, tensor.shape)
            for (name, _, dtype), tensor in zip(self.inputs, self.concrete.inputs)
        ]
        return self._by_xla_where_refused(
            arguments, lambda: [tensor.numpy() for tensor in tf.nest.flatten(self.concrete(*arguments))]
        )

    def _by_xla_where_refused(self, arguments: list[Any], computed: Callable[[], list[Any]]) -> list[Any]:
        """What `computed` gives; where a kernel refuses, as most of the CPU's do channels first, XLA computes it.

        A model with state is not run twice. Raises the kernel's error where XLA cannot do it either.
        """
        tf = _tf()
        try:
            return computed()
        except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError) as refused:
            if _writes_state(self.concrete):
                raise
            compiled = tf.function(lambda *tensors: self.concrete(*tensors), jit_compile=True, autograph=False)
            try:
                return [tensor.numpy() for tensor in tf.nest.flatten(compiled(*arguments))]
            except (tf.errors.OpError, TypeError, ValueError):
                raise refused from None


def _converted(converter: Any) -> bytes:
    """What the converter writes, a list's entry that a loop sets as DYNAMIC_UPDATE_SLICE: by default it is a
    concatenation of two slices whose sizes are open. Versions without that switch ignore it."""
    converter._experimental_enable_dynamic_update_slice = True
    return bytes(converter.convert())


def _writes_state(concrete: Any) -> bool:
    definition = concrete.graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    return any(node.op.startswith("Assign") for node in nodes)


def _frozen(concrete: Any) -> Any:
    """The function with its variables as constants: Keras 3's are left as variables otherwise."""
    constants = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    return constants.convert_variables_to_constants_v2(concrete, lower_control_flow=False)


class FrozenGraph(Model):
    """A TF1 graph, cut at the named inputs and outputs; its control flow is older than functions."""

    def __init__(
        self, path: Path, graph_def: Any, inputs: list[tuple[str, Any, Any]], function: Callable[..., Any]
    ) -> None:
        super().__init__(function, None, inputs)
        self.path, self.graph_def = path, graph_def

    def convert(self, folder: Path) -> bytes:
        """The float `.tflite`, by the converter for frozen graphs; it knows lists, not the arrays of TF1's loops."""
        arrays = _script_beside("tensor_arrays")
        path = self.path
        if arrays.has_arrays(self.graph_def):
            path = folder / "without_arrays.pb"
            try:
                path.write_bytes(arrays.without_arrays(self.graph_def, self._known_shapes()).SerializeToString())
            except arrays.Unfit as unfit:
                raise Refusal(str(unfit)) from unfit
        sizes = {name: list(t.shape) for name, t in zip(self.input_names, self.concrete.inputs)}
        converter = _tf().compat.v1.lite.TFLiteConverter.from_frozen_graph(
            str(path), [_node(n) for n in self.input_names], [_node(n) for n in self.output_names],
            {_node(n): s for n, s in sizes.items()},
        )  # fmt: skip
        return _converted(converter)

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        """Outputs in order for arrays by input name, in a session: a function knows no loops of TF1."""
        tf = _tf()
        arguments = [tf.constant(feeds[name].astype(dtype.as_numpy_dtype)) for name, _, dtype in self.inputs]
        ports = [_port(name) for name in self.output_names]
        return self._by_xla_where_refused(arguments, lambda: list(self._computed(ports, feeds)))

    def _computed(self, tensors: list[str], feeds: dict[str, Any]) -> Any:
        tf = _tf()
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(self.graph_def, name="")
        dtypes = {name: dtype.as_numpy_dtype for name, _, dtype in self.inputs}
        given = {_port(name): array.astype(dtypes[name]) for name, array in feeds.items()}
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
                except _tf().errors.OpError:  # it needs more than the named inputs: it is not known, then
                    continue
        return shapes


def _script_beside(name: str) -> Any:
    """Another script of this folder, which is on no search path here."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _given_batch(inputs: Sequence[tuple[str, Any, Any]], shapes: Shapes) -> int:
    """The batch: what --shape gives an open first dimension, else 1."""
    open_ = [name for name, shape, _ in inputs if shape and next(iter(shape)) is None]
    given = [shapes[name][0] for name in open_ if shapes.get(name)]
    return given[0] if given else 1


def _fixed(name: str, shape: Any, shapes: Shapes, batch: int = 1) -> list[int]:
    if shape is None:
        if name in shapes:
            return shapes[name]
        raise Refusal(f"input '{name}' has no shape; give it one with --shape {name}=SIZE,SIZE")
    sizes = list(shape)
    if name in shapes:
        given = shapes[name]
        if len(given) != len(sizes):
            raise Refusal(f"input '{name}' has {len(sizes)} dimensions ({_sizes(sizes)}), --shape gives {len(given)}")
        for axis, (size, wanted) in enumerate(zip(sizes, given)):
            if size not in (None, wanted):
                raise Refusal(f"dimension {axis} of input '{name}' is {size}, --shape gives {wanted}")
        return given
    unknown = [axis for axis, size in enumerate(sizes) if size is None and axis > 0]
    if unknown:
        example = _sizes([batch if axis == 0 and size is None else size for axis, size in enumerate(sizes)], "N")
        raise Refusal(f"dimension {unknown[0]} of input '{name}' is not fixed; fix it with --shape {name}={example}")
    return [batch if size is None else int(size) for size in sizes]


def _sizes(sizes: Sequence[Any], unknown: str = "?") -> str:
    return ",".join(unknown if size is None else str(size) for size in sizes)


# -- Keras -------------------------------------------------------------------------------------------------------------


def load_keras(path: Path, folder: Path) -> tuple[Model, list[str]]:
    """A `.keras` or `.h5` file; older files are repaired in a copy inside `folder`."""
    keras = importlib.import_module("keras")
    repaired = _repaired_h5(path, folder) if path.suffix.lower() in (".h5", ".hdf5") else _checked_keras(path)
    try:
        model = keras.saving.load_model(str(repaired), compile=False, safe_mode=True)
    except (TypeError, ValueError) as error:
        unknown = re.search(r"(?:Unknown \w+|Could not locate \w+):? '([^']+)'", str(error))
        raise (_custom(unknown[1]) if unknown else error) from error
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
        unpacked = sum(info.file_size for info in archive.infolist())
        if unpacked > MOST_UNPACKED * path.stat().st_size + SMALL_BYTES:
            raise Refusal(f"it unpacks to {unpacked} bytes, far more than weights ever do")
        _refuse_code(json.loads(archive.read("config.json")))
        for info in archive.infolist():
            if info.filename.endswith(".h5"):
                with archive.open(info) as member:
                    _refuse_outside(member)
    return path


def _refuse_outside(file: Any) -> None:
    """Refuse an HDF5 file, a path or an open one, whose weights lie in other files."""
    h5py = importlib.import_module("h5py")
    with h5py.File(file, "r") as opened:
        parts = [opened]
        opened.visititems(lambda _, part: parts.append(part))
        for part in parts:
            if isinstance(part, h5py.Dataset):
                outside = bool(part.external) or part.is_virtual
            else:
                outside = any(isinstance(part.get(name, getlink=True), h5py.ExternalLink) for name in part)
            if outside:
                raise Refusal(f"its part '{part.name}' lies in another file, which edgec does not read; save it whole")


def _repaired_h5(path: Path, folder: Path) -> Path:
    h5py = importlib.import_module("h5py")
    if not h5py.is_hdf5(path):
        raise Refusal("it is no HDF5 file")
    _refuse_outside(path)
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


def _refuse_code(config: Any, layer: str = "") -> None:
    """Refuse Python code stored in the file, and classes whose code is not in it, anywhere in a configuration."""
    if isinstance(config, list):
        for part in config:
            _refuse_code(part, layer)
    if not isinstance(config, dict):
        return
    inner = config.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        layer = inner["name"]
    if config.get("class_name") in ("Lambda", "__lambda__") or _is_byte_code(config):
        raise Refusal(
            f"its layer '{layer}' is or holds a lambda, Python code stored in the file, which edgec does not run; "
            "replace it by a layer, or export the model as a SavedModel"
        )
    if isinstance(config.get("vocabulary"), str):
        raise Refusal(
            f"its layer '{layer}' reads its words from a file, which edgec does not do; save them in the layer"
        )
    module, name = str(config.get("module", "keras")), str(config.get("class_name"))
    if module.split(".")[0] != "keras" and not (module == "builtins" and name in PLAIN_TYPES):
        raise _custom(name)
    for key, value in config.items():
        if key != "compile_config":  # how it was trained is not read
            _refuse_code(value, layer)


def _is_byte_code(config: dict[str, Any]) -> bool:
    """True for the form in which Keras stores a function as marshalled byte code, its defaults and its closure."""
    value = config.get("value")
    return set(config) == {"value"} and isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def _custom(name: str) -> Refusal:
    return Refusal(
        f"it uses '{name}', which is not Keras's own and whose code is not in the file; export the model as a "
        "SavedModel, with model.export(), where that code is at hand"
    )


# -- SavedModel --------------------------------------------------------------------------------------------------------


def load_saved_model(path: Path, folder: Path, shapes: Shapes) -> tuple[Model, list[str]]:
    """The default signature of a SavedModel, or the only one it has."""
    tf = _tf()
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
        _refuse_ops(graph.graph_def)
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
            readers.setdefault(_node(name.lstrip("^")), set()).add(node.op)
    changed = 0
    for node in nodes:
        ops = readers.get(node.name, set())
        if node.op != "Const" or not ops or not all(op.startswith("TensorList") for op in ops):
            continue
        sizes = _tf().make_ndarray(node.attr["value"].tensor).copy()
        if sizes.ndim == 1 and len(sizes) > 1 and sizes[0] == -1 and (sizes[1:] > 0).all():
            sizes[0] = batch
            node.attr["value"].tensor.CopyFrom(_tf().make_tensor_proto(sizes))
            changed += 1
    return changed


def _copy_with(proto: Any, path: Path, folder: Path) -> Path:
    """A copy of a SavedModel with another graph."""
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

    return FrozenGraph(path, graph_def, described, call), outputs


def _ends(graph_def: Any) -> list[str]:
    read = {_node(name.lstrip("^")) for node in graph_def.node for name in node.input}
    idle = ("Const", "NoOp", "Assert", "Placeholder", "Exit")  # a counter leaves its loop, too
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
    _check_version()
    path, kind = Path(request["path"]), request["kind"]
    if kind != "pb" and (request["inputs"] or request["outputs"]):
        raise Refusal("--inputs and --outputs are for frozen .pb graphs; this file names its own")
    if kind == "saved_model":
        model, outputs = load_saved_model(path, folder, request["shapes"])
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
        data = model.convert(folder)
        Path(request["to"]).write_bytes(data)
        return model, {
            "inputs": model.input_names, "outputs": model.output_names, "tensorflow": str(_tf().__version__),
            "dims": [None if shape is None else list(shape) for _, shape, _ in model.inputs],
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
    useful = [line for line in lines if not line.startswith(WITHOUT_REASON)]
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
