"""A torch network with example inputs into a `Module`, by torch.export, torch's ONNX exporter and `read_onnx`."""

from __future__ import annotations

import atexit
import builtins
import gc
import hashlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.errors import ImportFailure, MissingExtra
from edgec.frontends.onnx import read_onnx
from edgec.frontends.torch.decompositions import decomposed
from edgec.frontends.torch.example_shapes import with_shapes
from edgec.frontends.torch.state import remembered_buffers
from edgec.frontends.torch.tracing import reason_of, traced
from edgec.ir.graph import Module

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, Sequence[int]]
# The exporter's own optimizer takes longer than all passes of edgec, so it runs only where it writes these away.
NEEDS_OPTIMIZER = {"SplitToSequence", "SequenceAt", "SequenceConstruct", "ConcatFromSequence", "If", "Loop"}
CONSTANTS = (bool, int, float, str, type(None))  # arguments that are fixed at their example

atexit.register(gc.freeze)  # torch leaves cycles behind that take 0.8 s to walk when Python ends


@dataclass(frozen=True)
class TorchImport:
    """A translated network, and what runs it as its author wrote it.

    `network` is called with what `spec` makes of `leaves`, the example arguments, once the tensors among them are
    replaced by the inputs in the order of `module`'s; `dtypes` are theirs in torch.
    `sha256` and `bytes` are those of the exported ONNX model, which holds every weight; `exported` makes it once more.
    `unroll` is as it was asked for. `examples` are the example inputs by name as arrays, where the program has them.
    """

    module: Module
    network: Any
    spec: Any
    inputs: tuple[str, ...]
    dtypes: tuple[Any, ...]
    leaves: tuple[Any, ...]
    sha256: str
    bytes: int
    exported: Callable[[], builtins.bytes]
    unroll: bool = False
    examples: Mapping[str, Any] = field(default_factory=dict)

    def at_sizes(self, exported: builtins.bytes, shapes: Shapes) -> Module:
        """The network translated once more at other sizes of its dynamic dimensions, from the exported ONNX model."""
        module = read_onnx(exported, self.module.name, shapes, unroll=self.unroll)
        module.source_format = self.module.source_format
        module.signatures = list(self.module.signatures)
        return module


def load_torch(network: torch.nn.Module, example_inputs: Any, name: str | None = None) -> Module:
    """Translate a torch network; tensors keep torch's layout, the layout pass decides later.

    `example_inputs` are one tensor, a sequence of them, or a mapping by argument name; their shapes are what the model
    is compiled for. Raises as `import_network`.
    """
    return import_network(network, example_inputs, name).module


def import_network(
    network: torch.nn.Module, example_inputs: Any, name: str | None = None, shapes: Shapes | None = None, *,
    unroll: bool = False,
) -> TorchImport:  # fmt: skip
    """Export `network` in inference mode and translate it.

    `shapes` gives arguments other shapes than their examples have; an `OpenSize` among them is exported as dynamic.
    `unroll` is that of `edgec.frontends.onnx.load_onnx`.

    Raises:
        ImportFailure: the example inputs are no tensors, or torch cannot export the network.
        UnsupportedOp: some ops have no translation.
        MissingExtra: torch or onnxscript is not installed.
    """
    import_torch("Reading a torch network")
    import torch

    name = name or type(network).__name__
    if not isinstance(network, torch.nn.Module):
        raise ImportFailure(f"Reading '{name}': {_no_network(network)}")
    if isinstance(network, torch.jit.ScriptModule):
        raise ImportFailure(f"Reading '{name}': it is TorchScript; give the torch.nn.Module that it was made from.")
    args, kwargs = _arguments(example_inputs, name)
    dynamic = None
    if shapes:
        args, kwargs, dynamic = with_shapes(network, args, kwargs, shapes, f"Reading '{name}'")
    with quiet(), inference(network):
        program = traced(network, args, kwargs, dynamic, name)
    return translate_program(program, network, name, shapes, unroll=unroll)


def translate_program(
    program: Any, network: Any, name: str, shapes: Shapes | None = None, *, unroll: bool = False
) -> TorchImport:
    """Translate a `torch.export.ExportedProgram`; `network` is what computes the same eagerly.

    Raises as `import_network`.
    """
    _check_state(program, name)
    _drop_constant_outputs(program, name)
    data = _exported(program, name)
    module = read_onnx(data, name, shapes, unroll=unroll)
    module.source_format = "torch"
    _name_outputs(module, program)
    leaves = _arguments_of(program)
    names = tuple(value.name for value in module.main.inputs)
    return TorchImport(
        module, network, program.call_spec.in_spec, names, tuple(leaf.dtype for leaf in leaves if _is_tensor(leaf)),
        leaves,
        hashlib.sha256(data).hexdigest(), len(data), partial(_exported, program, name), unroll,
        dict(zip(names, _example_arrays(program))),
    )  # fmt: skip


def _exported(program: Any, name: str) -> bytes:
    """The ONNX model that torch's exporter makes of a program; raises ImportFailure and MissingExtra."""
    import torch

    with quiet(), torch.no_grad():
        try:
            exported = torch.onnx.export(decomposed(program), dynamo=True, verbose=False, optimize=False)
            if any(node.op_type in NEEDS_OPTIMIZER for node in exported.model.graph):
                exported.optimize()
            proto = exported.model_proto
        except Exception as error:  # the exporter's errors have no common base
            if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("onnxscript"):
                raise MissingExtra(
                    f"Exporting '{name}' with torch's ONNX exporter: the installed onnxscript is too old for torch "
                    f"{torch.__version__} ({error}); install a newer one with pip install --upgrade onnxscript."
                ) from error
            raise ImportFailure(
                f"Exporting '{name}' with torch's ONNX exporter: {reason_of(error)}; "
                "change that part of the network, or export it to ONNX yourself."
            ) from error
    del exported
    _drop_remarks(proto)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _name_outputs(module: Module, program: Any) -> None:
    """Call the outputs as the network's own mapping does, where it returns one; positions keep the exporter's names."""
    from torch.utils import _pytree as pytree

    spec, signature = program.call_spec.out_spec, module.signatures[0]
    leaves = program.graph.output_node().args[0][-spec.num_leaves :] if spec.num_leaves else ()
    paths = [path for path, _ in pytree.tree_flatten_with_path(pytree.tree_unflatten(range(spec.num_leaves), spec))[0]]
    paths = [path for path, leaf in zip(paths, leaves) if leaf is not None]
    if len(paths) != len(signature.outputs):
        return
    names = [
        name if all(isinstance(key, pytree.SequenceKey) for key in path) else _path_name(path)
        for path, (name, _) in zip(paths, signature.outputs)
    ]
    if len(set(names)) < len(names):
        return
    module.signatures[0] = replace(signature, outputs=tuple((name, i) for i, name in enumerate(names)))
    taken = {value.name for value in module.main.values()}
    for name, value in zip(names, module.main.outputs):
        if value.producer is not None and module.main.outputs.count(value) == 1 and name not in taken:
            value.name = name


def _path_name(path: Sequence[Any]) -> str:
    """Keys, attributes and positions on the way to an output, joined by underscores."""
    steps = (getattr(key, "key", getattr(key, "name", getattr(key, "idx", ""))) for key in path)
    return "_".join(str(step) for step in steps)


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


def _no_network(found: Any) -> str:
    if isinstance(found, type):
        return f"it is the class '{found.__name__}' itself, no torch.nn.Module; give an instance of it."
    kind = f"it is a {type(found).__name__}, no torch.nn.Module"
    if isinstance(found, Mapping):
        return f"{kind}; weights alone are no network: build it, and give it the weights by load_state_dict."
    return f"{kind}; call it in the forward of one." if callable(found) else f"{kind}."


def _arguments(example_inputs: Any, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import torch

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    example_inputs = torch.utils._pytree.tree_map_only(np.ndarray, torch.from_numpy, example_inputs)
    if isinstance(example_inputs, torch.Tensor):
        args = (example_inputs,)
    elif isinstance(example_inputs, Mapping):
        kwargs = {str(key): value for key, value in example_inputs.items()}
    elif isinstance(example_inputs, (tuple, list)):
        args = tuple(example_inputs)
    leaves = torch.utils._pytree.tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    if not tensors or not all(isinstance(leaf, (torch.Tensor, *CONSTANTS)) for leaf in leaves):
        raise ImportFailure(
            f"Reading '{name}': its example inputs are {_described(example_inputs)}; give one tensor, a tuple of "
            "tensors, or a mapping of argument names to tensors; numbers, texts and None among them stay as given."
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


def _arguments_of(program: Any) -> tuple[Any, ...]:
    """The leaves of the program's arguments, tensors as examples of their shape and type, anything else as it is."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    user = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    return tuple(nodes[arg.name].meta["val"] if type(arg).__name__ == "TensorArgument" else arg.value for arg in user)


def _example_arrays(program: Any) -> list[Any]:
    """The example inputs that were exported with a program, none where it has none."""
    from torch.utils import _pytree as pytree

    tensors = [leaf for leaf in pytree.tree_leaves(program.example_inputs) if _is_tensor(leaf)]
    return [tensor.detach().cpu().resolve_conj().resolve_neg().numpy() for tensor in tensors]


def _is_tensor(leaf: Any) -> bool:
    import torch

    return isinstance(leaf, torch.Tensor)


def _drop_constant_outputs(program: Any, name: str) -> None:
    """Numbers and texts among the outputs are no tensors: the exporter leaves None out, and fails on all else.

    Raises ImportFailure where a number is computed.
    """
    output = program.graph.output_node()
    leaves = tuple(leaf if hasattr(leaf, "op") else None for leaf in output.args[0])
    if not all(leaf is None or _is_tensor(leaf.meta.get("val")) for leaf in leaves):
        raise ImportFailure(
            f"Reading '{name}': the network returns numbers that it reads from a tensor or a shape; return tensors."
        )
    output.args = (leaves,)


def _check_state(program: Any, name: str) -> None:
    """Raises ImportFailure for a network that remembers something from one run to the next."""
    with quiet():
        remembered = remembered_buffers(program)
    if remembered:
        raise ImportFailure(
            f"Reading '{name}': a run of the network changes its buffer '{remembered[0]}', and the next run reads it "
            f"({len(remembered)} such in all); torch's exporter drops that, so pass such a state as an input and "
            "return it as an output, and call eval() before torch.export where it belongs to a normalization."
        )


def _drop_remarks(proto: Any) -> None:
    """Forget stack traces and paths of the exporting machine: they are long and differ from one to the next."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
