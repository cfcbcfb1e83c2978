"""A torch network with example inputs into a `Module`, by torch.export, torch's ONNX exporter and `read_onnx`."""

from __future__ import annotations

import atexit
import gc
import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgec.errors import ImportFailure, MissingExtra
from edgec.frontends.onnx import read_onnx
from edgec.ir.graph import Module

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, Sequence[int]]
# The exporter's own optimizer takes longer than all passes of edgec, so it runs only where it writes these away.
NEEDS_OPTIMIZER = {"SplitToSequence", "SequenceAt", "SequenceConstruct", "ConcatFromSequence", "If", "Loop"}
LONGEST_REASON = 240  # characters of torch's own explanation; it goes on for pages

atexit.register(gc.freeze)  # torch leaves cycles behind that take 0.8 s to walk when Python ends


@dataclass(frozen=True)
class TorchImport:
    """A translated network, and what runs it as its author wrote it.

    `network` is called with what `spec` makes of the inputs in the order of `module`'s; `dtypes` are theirs in torch.
    `sha256` and `bytes` are those of the exported ONNX model, which holds every weight.
    """

    module: Module
    network: Any
    spec: Any
    inputs: tuple[str, ...]
    dtypes: tuple[Any, ...]
    sha256: str
    bytes: int


def load_torch(network: torch.nn.Module, example_inputs: Any, name: str | None = None) -> Module:
    """Translate a torch network; tensors keep torch's layout, the layout pass decides later.

    `example_inputs` are one tensor, a sequence of them, or a mapping by argument name; their shapes are what the model
    is compiled for. Raises as `import_network`.
    """
    return import_network(network, example_inputs, name).module


def import_network(network: torch.nn.Module, example_inputs: Any, name: str | None = None) -> TorchImport:
    """Export `network` in inference mode and translate it.

    Raises:
        ImportFailure: the example inputs are no tensors, or torch cannot export the network.
        UnsupportedOp: some ops have no translation.
        MissingExtra: torch or onnxscript is not installed.
    """
    import_torch("Reading a torch network")
    import torch

    name = name or type(network).__name__
    if not isinstance(network, torch.nn.Module):
        raise ImportFailure(f"Reading '{name}': it is a {type(network).__name__}, no torch.nn.Module.")
    args, kwargs = _arguments(example_inputs, name)
    with quiet(), inference(network):
        try:
            program = torch.export.export(network, args, kwargs, strict=False)
        except Exception as error:  # the network's own code runs here
            raise ImportFailure(
                f"Exporting '{name}' with torch.export: {reason_of(error)}; change that part of the network, or export "
                "it to ONNX yourself."
            ) from error
    return translate_program(program, network, name)


def translate_program(program: Any, network: Any, name: str, shapes: Shapes | None = None) -> TorchImport:
    """Translate a `torch.export.ExportedProgram`; `network` is what computes the same eagerly.

    Raises as `import_network`.
    """
    import torch

    with quiet():
        try:
            exported = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False)
            if any(node.op_type in NEEDS_OPTIMIZER for node in exported.model.graph):
                exported.optimize()
            proto = exported.model_proto
        except Exception as error:  # the exporter's errors have no common base
            raise ImportFailure(
                f"Exporting '{name}' with torch's ONNX exporter: {reason_of(error)}; "
                "change that part of the network, or export it to ONNX yourself."
            ) from error
    del exported
    _drop_remarks(proto)
    data = proto.SerializeToString(deterministic=True)
    del proto
    module = read_onnx(data, name, shapes)
    module.source_format = "torch"
    leaves = _input_tensors(program)
    names = tuple(value.name for value in module.main.inputs)
    return TorchImport(
        module, network, program.call_spec.in_spec, names, tuple(leaf.dtype for leaf in leaves),
        hashlib.sha256(data).hexdigest(), len(data),
    )  # fmt: skip


def import_torch(doing: str) -> None:
    """Import torch and its exporter's helper; raises MissingExtra where one is not installed."""
    from importlib.util import find_spec

    missing = [package for package in ("torch", "onnxscript") if find_spec(package) is None]
    if missing:
        raise MissingExtra(
            f"{doing}: {' and '.join(missing)} cannot be imported; install PyTorch with pip install 'edgec[torch]'."
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings and log lines of torch and its exporter to themselves; errors are raised, not logged.

    Garbage is not collected meanwhile: an export makes millions of objects that live to its end (0.4 s of 4 s on
    EfficientNet-Lite0).
    """
    before, collecting = logging.root.manager.disable, gc.isenabled()
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        if collecting:
            gc.enable()


@contextmanager
def inference(network: Any) -> Iterator[None]:
    """Put a module into evaluation mode without gradients, and every part of it back afterwards."""
    import torch

    training = [part for part in network.modules() if part.training]
    try:
        for part in training:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        for part in training:
            part.training = True


def _arguments(example_inputs: Any, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import torch

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    if isinstance(example_inputs, torch.Tensor):
        args = (example_inputs,)
    elif isinstance(example_inputs, Mapping):
        kwargs = {str(key): value for key, value in example_inputs.items()}
    elif isinstance(example_inputs, (tuple, list)):
        args = tuple(example_inputs)
    leaves = torch.utils._pytree.tree_leaves((args, kwargs))
    if not leaves or not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
        raise ImportFailure(
            f"Reading '{name}': its example inputs are {_described(example_inputs)}; give one tensor, a tuple of "
            "tensors, or a mapping of argument names to tensors."
        )
    return args, kwargs


def _described(inputs: Any) -> str:
    if inputs is None:
        return "missing"
    if isinstance(inputs, Mapping):
        inputs = tuple(inputs.values())
    if isinstance(inputs, (tuple, list)):
        return f"a sequence of {', '.join(type(one).__name__ for one in inputs) or 'nothing'}"
    return f"a {type(inputs).__name__}"


def _input_tensors(program: Any) -> list[Any]:
    """The placeholder values of the user's inputs, in the order of the signature."""
    user = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in user]
    return [node.meta["val"] for node in nodes]


def _drop_remarks(proto: Any) -> None:
    """Forget stack traces and paths of the exporting machine: they are long and differ from one to the next."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def reason_of(error: BaseException) -> str:
    """The innermost cause's first line that says something."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text.rstrip(".") if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON].rstrip()} …"
