"""Runs an ONNX source model in onnxruntime, the judge of what edgec's translation must compute."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgec.errors import MissingExtra, RuntimeFailure
from edgec.runtime.captured_stderr import CapturedText, captured_stderr, one_line
from edgec.runtime.litert import RuntimeVersion
from edgec.runtime.tensor_info import Array

_SEVERITY_ERROR = 3
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
# QDQ pairs around an op would become its integer kernel, and 4-bit weights behind DequantizeLinear MatMulNBits, which
# rounds its activations to 8 bits (0.8 % of the range seen on a ViT, where the ONNX text rounds nothing).
_QDQ_AS_WRITTEN = "session.disable_quant_qdq"
_SAME_NODE_NAMES = "two nodes with same node name"  # names mean nothing to what a model computes
_NUMPY_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


@dataclass(frozen=True, slots=True)
class SourceTensorInfo:
    """One input or output of an ONNX model; a dimension is a size, a name, or None where it is free.

    `dtype` is None for what numpy cannot hold (bfloat16, sequences, maps); `onnx_type` names it.
    """

    name: str
    shape: tuple[int | str | None, ...]
    dtype: np.dtype[Any] | None
    onnx_type: str


class OnnxSession:
    """One ONNX model, loaded in onnxruntime on the CPU.

    QuantizeLinear and DequantizeLinear are computed as ONNX defines them, not fused into kernels of integers.
    Give a path where the model keeps weights in external files: bytes have no folder to look in. With `lean`, kernels
    keep no copies of weights in an order of their own: a few runs of a large model do not pay for them.

    Raises:
        RuntimeFailure: onnxruntime refuses the model, its IR version or an opset being too new included.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, model: bytes | str | os.PathLike[str], *, threads: int = 1, lean: bool = False) -> None:
        self._model = model if isinstance(model, bytes) else Path(model)
        self._threads, self._lean = threads, lean
        self._tapped: tuple[tuple[str, ...], Any] = ((), None)  # the last names asked for, and their session
        try:
            with captured_stderr():  # onnxruntime looks for GPUs and says so
                import onnxruntime
        except ImportError as error:
            raise MissingExtra(
                f"Running {self._named()}: onnxruntime cannot be imported; install it with pip install onnxruntime."
            ) from error
        self._onnxruntime = onnxruntime
        self.runtime = RuntimeVersion("onnxruntime", onnxruntime.__version__)
        self._session = self._loaded(self._model if isinstance(self._model, bytes) else str(self._model))
        self.inputs = tuple(_source_info(info) for info in self._session.get_inputs())
        self.outputs = tuple(_source_info(info) for info in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run once on inputs by name and return all outputs in the model's order.

        Raises:
            RuntimeFailure: a name is unknown or missing, an array has the wrong dtype or shape, or an op fails.
        """
        return self._run(self._session, None, inputs)

    def run_with_intermediates(
        self, inputs: Mapping[str, Array], names: Sequence[str]
    ) -> tuple[list[Array], dict[str, Array]]:
        """Run once and return the outputs and, by name, the inner values asked for.

        The names are added to the outputs of a copy of the model, which is kept for the next call. A name may also
        be an input, an initializer or an output.

        Raises:
            RuntimeFailure: the model's main graph has no such value, or as for `run`.
        """
        own = [info.name for info in self.outputs]
        added = tuple(dict.fromkeys(name for name in names if name not in own and name not in inputs))
        if self._tapped[0] != added:
            self._tapped = (added, self._loaded(self._model_returning(added)))
        values = self._run(self._tapped[1] or self._session, [*own, *added], inputs)
        by_name = {**inputs, **dict(zip([*own, *added], values))}
        return values[: len(own)], {name: by_name[name] for name in names}

    def _loaded(self, model: bytes | str) -> Any:
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _SEVERITY_ERROR
        options.add_session_config_entry(_QDQ_AS_WRITTEN, "1")
        if self._lean:
            options.add_session_config_entry("session.disable_prepacking", "1")
            options.enable_cpu_mem_arena = False
        if isinstance(model, bytes) and isinstance(self._model, Path):  # a copy with other outputs: same weights
            options.add_session_config_entry(_WEIGHTS_FOLDER, str(self._model.parent.resolve()))
        captured = CapturedText()
        try:
            with captured_stderr(captured):
                return self._onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's error classes have no common base but this
            if _SAME_NODE_NAMES in str(error):
                return self._loaded(_without_node_names(model))
            raise self._failure(_load_refusal(str(error)), error, captured.text) from error

    def _run(self, session: Any, names: Sequence[str] | None, inputs: Mapping[str, Array]) -> list[Array]:
        self._check_inputs(inputs)
        captured = CapturedText()
        try:
            with captured_stderr(captured):
                outputs: list[Array] = session.run(names, dict(inputs))
        except Exception as error:  # as above
            raise self._failure("it failed while running", error, captured.text) from error
        return outputs

    def _check_inputs(self, inputs: Mapping[str, Array]) -> None:
        wanted = [info.name for info in self.inputs]
        if set(wanted) != set(inputs):
            raise RuntimeFailure(f"running {self._named()}: its inputs are {wanted}, given were {list(inputs)}")
        for info in self.inputs:
            given = np.asarray(inputs[info.name])
            where = f"running {self._named()}: input '{info.name}'"
            if info.dtype is not None and given.dtype != info.dtype and info.dtype.kind != "O":
                raise RuntimeFailure(f"{where} takes {info.dtype}, {given.dtype} was given")
            sizes_fit = all(not isinstance(want, int) or want == got for want, got in zip(info.shape, given.shape))
            if len(info.shape) != given.ndim or not sizes_fit:
                raise RuntimeFailure(f"{where} takes shape {list(info.shape)}, {list(given.shape)} was given")

    def _model_returning(self, names: Sequence[str]) -> bytes:
        """Serialize the model with further graph outputs; external weights stay where they are."""
        import onnx

        if isinstance(self._model, bytes):
            model = onnx.load_from_string(self._model)
        else:
            model = onnx.load(str(self._model), load_external_data=False)
        known = {name for node in model.graph.node for name in node.output if name}
        known.update(initializer.name for initializer in model.graph.initializer)
        unknown = [name for name in names if name not in known]
        if unknown:
            raise RuntimeFailure(
                f"reading inner values of {self._named()}: its main graph has no value named {unknown}"
            )
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        serialized: bytes = model.SerializeToString()
        return serialized

    def _named(self) -> str:
        return f"an ONNX model of {len(self._model)} bytes" if isinstance(self._model, bytes) else f"'{self._model}'"

    def _failure(self, found: str, error: Exception, noise: str) -> RuntimeFailure:
        reason = one_line(str(error)) or one_line(noise)
        return RuntimeFailure(f"running {self._named()} in {self.runtime}: {found}: {reason}")


def _without_node_names(model: bytes | str) -> bytes:
    """The model with nameless nodes; external weights stay where they are."""
    import onnx

    loaded = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model, load_external_data=False)
    graphs = [loaded.graph]
    while graphs:
        for node in graphs.pop().node:
            node.ClearField("name")
            for attribute in node.attribute:
                graphs += [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs
    serialized: bytes = loaded.SerializeToString()
    return serialized


def _load_refusal(text: str) -> str:
    """Say what is wrong with a model that onnxruntime does not load, and what would do."""
    newest_ir = re.search(r"max supported IR version: (\d+)", text)
    if newest_ir:
        return f"its IR version is too new, save it with IR version {newest_ir[1]} or lower"
    newest_opset = re.search(r"Current official support for domain (\S+) is till opset (\d+)", text)
    if newest_opset:
        domain = newest_opset[1].strip(".,")
        return f"its opset is too new, export it with opset {newest_opset[2]} or lower of domain {domain}"
    return "the runtime refuses it"


def _source_info(info: Any) -> SourceTensorInfo:
    dtype = _NUMPY_TYPES.get(info.type)
    return SourceTensorInfo(
        name=info.name,
        shape=tuple(info.shape),
        dtype=None if dtype is None else np.dtype(dtype),
        onnx_type=info.type,
    )
