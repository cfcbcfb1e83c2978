"""Runs `.tflite` bytes in LiteRT: ai-edge-litert, else tflite-runtime, else tensorflow.lite."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgec.errors import RuntimeFailure
from edgec.runtime.captured_stderr import CapturedText, captured_stderr, one_line
from edgec.runtime.tensor_info import Array, TensorInfo, checked_inputs, tensor_info

# Distribution, module with the interpreter. The order is the order of preference.
_CANDIDATES = (
    ("ai-edge-litert", "ai_edge_litert.interpreter"),
    ("tflite-runtime", "tflite_runtime.interpreter"),
    ("tensorflow", "tensorflow"),
)


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    """Name of the installed distribution that runs the model, and its version."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class _Runtime:
    version: RuntimeVersion
    interpreter: Any  # class Interpreter
    resolvers: Any  # enum OpResolverType


def runtime_version() -> RuntimeVersion:
    """Say which LiteRT distribution runs `.tflite` files here.

    Raises:
        RuntimeFailure: none of the three is installed.
    """
    return _runtime().version


@lru_cache(maxsize=1)
def _runtime() -> _Runtime:
    refusals = []
    for distribution, module_name in _CANDIDATES:
        try:
            with captured_stderr():  # TensorFlow announces its CPU features
                module = import_module(module_name)
        except ImportError as error:
            refusals.append(f"{distribution}: {error}")
            continue
        version = RuntimeVersion(distribution, metadata.version(distribution))
        if distribution == "tensorflow":
            return _Runtime(version, module.lite.Interpreter, module.lite.experimental.OpResolverType)
        return _Runtime(version, module.Interpreter, module.OpResolverType)
    raise RuntimeFailure(
        "looking for a runtime for .tflite files: none could be imported "
        f"({one_line('; '.join(refusals))}); install ai-edge-litert"
    )


class LiteRTSession:
    """One `.tflite` model, loaded and allocated in LiteRT.

    Kernels: XNNPACK where it takes the op, as users run it (`xnnpack=True`); LiteRT's own optimized kernels
    (`xnnpack=False`); or its reference kernels (`reference_kernels=True`, which excludes XNNPACK). A crash of the
    runtime ends this process: for files from outside use `edgec.runtime.isolated`.

    Raises:
        RuntimeFailure: the runtime refuses the model; the message carries the runtime's own reason.
    """

    def __init__(
        self,
        model: bytes | str | os.PathLike[str],
        *,
        threads: int = 1,
        xnnpack: bool = True,
        reference_kernels: bool = False,
        keep_intermediates: bool = False,
    ) -> None:
        self._model = model if isinstance(model, bytes) else Path(model)
        self._keep_intermediates = keep_intermediates
        self.threads = threads
        self.kernels = "reference" if reference_kernels else "xnnpack" if xnnpack else "builtin"
        self.runtime = runtime_version()
        self._interpreter = self._loaded_interpreter()
        self._read_details()

    @property
    def input_details(self) -> tuple[TensorInfo, ...]:
        """Inputs in the order of the main subgraph, with their present shapes."""
        return self._inputs

    @property
    def output_details(self) -> tuple[TensorInfo, ...]:
        """Outputs in the order of the main subgraph; a tensor that is returned twice appears twice."""
        return self._outputs

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run once and return copies of the outputs, in the order of the subgraph.

        An input whose shape differs from the present one is resized where its signature has a free dimension.

        Raises:
            RuntimeFailure: an input does not fit the model, or a kernel fails.
        """
        self.prepare(inputs)
        self.invoke()
        return [self._value(info.index) for info in self._outputs]

    def run_named(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once with inputs by tensor name and return the outputs by tensor name.

        Raises:
            RuntimeFailure: a name is unknown, missing or borne by two inputs, or as for `run`.
        """
        names = [info.name for info in self._inputs]
        if len(set(names)) != len(names) or set(names) != set(inputs):
            raise RuntimeFailure(
                f"running a model in {self.runtime}: its inputs are {names}, given were {list(inputs)}"
            )
        outputs = self.run([inputs[name] for name in names])
        return {info.name: value for info, value in zip(self._outputs, outputs)}

    def intermediates(self, inputs: Sequence[Array], tensor_indices: Sequence[int]) -> list[Array]:
        """Run once and return copies of inner tensors of the main subgraph.

        Raises:
            RuntimeFailure: the session was made without `keep_intermediates`, a tensor has no value, or as for `run`.
        """
        if not self._keep_intermediates:
            raise RuntimeFailure(
                "reading inner tensors of a LiteRT session: the runtime reuses their memory; "
                "make the session with keep_intermediates=True"
            )
        self.prepare(inputs)
        self.invoke()
        return [self._value(index) for index in tensor_indices]

    def prepare(self, inputs: Sequence[Array]) -> None:
        """Check the inputs, resize where needed, and copy them in; `invoke` then runs on them."""
        arrays = checked_inputs(self._inputs, inputs, str(self.runtime))
        self._resize(arrays)
        for info, array in zip(self._inputs, arrays):
            if array.size == 0:
                continue  # the runtime gives an empty tensor no memory to copy to
            try:
                self._interpreter.set_tensor(info.index, array)
            except (ValueError, RuntimeError) as error:
                raise self._failure(f"copying input '{info.name}' failed", error) from error

    def invoke(self) -> None:
        """Run once on the inputs that were copied in last."""
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise self._failure("the model failed while running", error) from error

    def reset_variables(self) -> None:
        """Put all state back to what it is after loading: variable tensors and resource variables."""
        # The runtime's own reset clears variable tensors but leaves resource variables (VAR_HANDLE) as they are;
        # loading anew does both, in 1 to 6 ms for the models of MLPerf Tiny and MobileNetV2.
        shapes = [info.shape for info in self._inputs]
        self._interpreter = self._loaded_interpreter()
        self._read_details()
        self._resize([np.empty(shape, info.dtype) for shape, info in zip(shapes, self._inputs)])

    def _loaded_interpreter(self) -> Any:
        if self._model == b"":
            raise RuntimeFailure(f"loading a model in {self.runtime}: it has no bytes")
        source = {"model_content": self._model} if isinstance(self._model, bytes) else {"model_path": str(self._model)}
        captured = CapturedText()
        try:
            with captured_stderr(captured), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # keeping tensors and tf.lite.Interpreter each warn about themselves
                interpreter = _runtime().interpreter(
                    **source,
                    num_threads=self.threads,
                    experimental_op_resolver_type=self._resolver(),
                    experimental_preserve_all_tensors=self._keep_intermediates,
                )
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise self._failure("the runtime refuses it", error, captured.text) from error
        return interpreter

    def _resolver(self) -> Any:
        resolvers = _runtime().resolvers
        if self.kernels == "reference":
            return resolvers.BUILTIN_REF
        return resolvers.AUTO if self.kernels == "xnnpack" else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES

    def _read_details(self) -> None:
        try:
            self._inputs = tuple(tensor_info(details) for details in self._interpreter.get_input_details())
            self._outputs = self._interpreter_outputs()
        except (ValueError, TypeError) as error:
            raise self._failure("an input or output has a type that numpy cannot hold", error) from error

    def _interpreter_outputs(self) -> tuple[TensorInfo, ...]:
        return tuple(tensor_info(details) for details in self._interpreter.get_output_details())

    def _resize(self, arrays: Sequence[Array]) -> None:
        differing = [(info, array) for info, array in zip(self._inputs, arrays) if info.shape != array.shape]
        if not differing:
            return
        captured = CapturedText()
        try:
            with captured_stderr(captured):
                for info, array in differing:
                    self._interpreter.resize_tensor_input(info.index, array.shape, strict=True)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            shapes = [list(array.shape) for array in arrays]
            raise self._failure(f"it cannot be resized to inputs of shapes {shapes}", error, captured.text) from error
        self._read_details()

    def _value(self, index: int) -> Array:
        try:
            value: Array = self._interpreter.get_tensor(index)
        except (ValueError, RuntimeError) as error:
            empty = self._empty_tensor(index)
            if empty is None:
                raise self._failure(f"tensor {index} has no value after the run", error) from error
            return empty
        return value

    def _empty_tensor(self, index: int) -> Array | None:
        """Return tensor `index` if it has no elements: the runtime gives it no memory that could be read."""
        for details in self._interpreter.get_tensor_details():
            if details["index"] == index and 0 in details["shape"]:
                return np.empty(details["shape"], details["dtype"])
        return None

    def _failure(self, found: str, error: Exception, noise: str = "") -> RuntimeFailure:
        model = f"a model of {len(self._model)} bytes" if isinstance(self._model, bytes) else f"'{self._model}'"
        doing = f"running {model} in {self.runtime} ({self.kernels} kernels)"
        reason = one_line(f"{error}\n{noise}") or type(error).__name__
        return RuntimeFailure(f"{doing}: {found}: {reason}")
