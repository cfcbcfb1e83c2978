"""Runs `.tflite` bytes in TFLM, as microcontrollers do.

Uses the wheel `tflite-micro` (extra `mcu`): real TFLM with its reference kernels, built for a 64-bit host. On a 32-bit
Cortex-M the head is the same and the tail 3 to 6 % of the total smaller, so arena figures err on the safe side; kernels
of CMSIS-NN may need additional scratch.
"""

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, metadata
from typing import Any

import numpy as np

from edgec.errors import MissingExtra, RuntimeFailure
from edgec.runtime.captured_stderr import CapturedText, captured_stderr, one_line
from edgec.runtime.litert import RuntimeVersion
from edgec.runtime.tensor_info import Array, TensorInfo, checked_inputs, tensor_info

ARENA_STEP_BYTES = 16  # TFLM aligns the arena and every buffer in it to this
LARGEST_ARENA_BYTES = 1 << 30  # the wheel takes the size as a 32-bit int and crashes beyond
AMPLE_ARENA_BYTES = 64 << 20  # reserved, not touched: costs nothing until used
_ALLOCATION_LINE = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclass(frozen=True, slots=True)
class ArenaAllocation:
    """What TFLM reports after a run: head is planned activations and scratch, tail is persistent structures."""

    total_bytes: int
    head_bytes: int
    tail_bytes: int


def tflm_version() -> RuntimeVersion:
    """Return the version of the installed `tflite-micro` wheel.

    Raises:
        MissingExtra: it is not installed.
    """
    _runtime_module()
    return RuntimeVersion("tflite-micro", metadata.version("tflite-micro"))


@lru_cache(maxsize=1)
def _runtime_module() -> Any:
    try:
        return import_module("tflite_micro.python.tflite_micro.runtime")
    except ImportError as error:
        raise MissingExtra(
            "running a model as a microcontroller does needs TFLM, and tflite-micro is not installed: "
            "pip install 'edgec[mcu]' (Linux on x86-64)"
        ) from error


def parse_allocations(text: str) -> ArenaAllocation:
    """Read total, head and tail from what TFLM's `print_allocations` writes.

    Raises:
        RuntimeFailure: one of the three lines is missing.
    """
    found = {kind: int(size) for kind, size in _ALLOCATION_LINE.findall(text)}
    missing = [kind for kind in ("total", "head", "tail") if kind not in found]
    if missing:
        raise RuntimeFailure(f"reading TFLM's allocation report: no line for {', '.join(missing)} in {text[:120]!r}")
    return ArenaAllocation(found["total"], found["head"], found["tail"])


class TFLMSession:
    """One `.tflite` model, loaded and allocated in TFLM with an arena of the given size.

    TFLM does not verify the file: a malformed one can crash this process. For files from outside use
    `edgec.runtime.isolated`.

    Raises:
        MissingExtra: tflite-micro is not installed.
        RuntimeFailure: TFLM refuses the model or the arena is too small; the message carries TFLM's reason.
    """

    threads = 1
    kernels = "reference"

    def __init__(self, model: bytes, arena_bytes: int, *, keep_intermediates: bool = False) -> None:
        self._model = model  # TFLM reads weights in place
        self._keep_intermediates = keep_intermediates
        self.arena_bytes = arena_bytes
        self.runtime = tflm_version()
        _check_loadable(model, arena_bytes)
        self._interpreter = self._loaded_interpreter()
        self._inputs = self._probe(self._interpreter.get_input_details)
        self._outputs = self._probe(self._interpreter.get_output_details)

    @property
    def input_details(self) -> tuple[TensorInfo, ...]:
        """Inputs in the order of the main subgraph; TFLM knows no names, `index` is the position."""
        return self._inputs

    @property
    def output_details(self) -> tuple[TensorInfo, ...]:
        """Outputs in the order of the main subgraph; TFLM knows no names, `index` is the position."""
        return self._outputs

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run once and return copies of all outputs; state is kept from run to run.

        Raises:
            RuntimeFailure: an input does not fit the model, or a kernel fails.
        """
        self.prepare(inputs)
        self.invoke()
        return [np.array(self._interpreter.get_output(position)) for position in range(len(self._outputs))]

    def intermediates(self, inputs: Sequence[Array], tensor_indices: Sequence[int]) -> list[Array]:
        """Run once and return copies of inner tensors of the main subgraph.

        Raises:
            RuntimeFailure: the session was made without `keep_intermediates`, there is no such tensor, or as for `run`.
        """
        if not self._keep_intermediates:
            raise RuntimeFailure(
                "reading inner tensors of a TFLM session: the arena reuses their memory; "
                "make the session with keep_intermediates=True"
            )
        main_graph = _runtime_module().schema_fb.Model.GetRootAsModel(self._model, 0).Subgraphs(0)
        count = main_graph.TensorsLength()
        absent = [index for index in tensor_indices if not 0 <= index < count]  # TFLM would crash
        if absent:
            raise RuntimeFailure(f"reading inner tensors of a TFLM session: there are {count}, asked for was {absent}")
        self.run(inputs)
        return [np.array(self._interpreter.GetTensor(index, 0)["tensor_data"]) for index in tensor_indices]

    def prepare(self, inputs: Sequence[Array]) -> None:
        """Check the inputs and copy them in; `invoke` then runs on them."""
        for position, array in enumerate(checked_inputs(self._inputs, inputs, str(self.runtime))):
            try:
                self._interpreter.set_input(array, position)
            except (ValueError, RuntimeError) as error:
                raise self._failure(f"copying input {position} failed", error, "") from error

    def invoke(self) -> None:
        """Run once on the inputs that were copied in last; catching TFLM's complaints costs about 15 µs of it."""
        captured = CapturedText()
        try:
            with captured_stderr(captured):
                self._interpreter.invoke()
        except RuntimeError as error:
            raise self._failure("the model failed while running", error, captured.text) from error

    def reset_variables(self) -> None:
        """Put all state (variable tensors and resource variables) back to what it is after loading."""
        self._interpreter.reset()

    def allocations(self) -> ArenaAllocation:
        """Return how TFLM has divided the arena.

        Raises:
            RuntimeFailure: the session keeps intermediates, for which TFLM records nothing.
        """
        if self._keep_intermediates:
            raise RuntimeFailure("reading TFLM's allocation report: there is none where intermediates are kept")
        with captured_stderr() as captured:
            self._interpreter.print_allocations()
        return parse_allocations(captured.text)

    def _loaded_interpreter(self) -> Any:
        runtime = _runtime_module()
        config = runtime.InterpreterConfig
        chosen = config.kPreserveAllTensors if self._keep_intermediates else config.kAllocationRecording
        captured = CapturedText()
        try:
            with captured_stderr(captured):
                # The keyword is misspelt in the wheel.
                return runtime.Interpreter.from_bytes(
                    self._model, arena_size=self.arena_bytes, intrepreter_config=chosen
                )
        except Exception as error:  # the wheel unpacks the file in Python first: a malformed one raises anything there
            found = f"it does not load with an arena of {self.arena_bytes:,} bytes"
            raise self._failure(found, error, captured.text) from error

    def _probe(self, details_of: Callable[[int], dict[str, Any]]) -> tuple[TensorInfo, ...]:
        """Ask for tensor 0, 1, 2 … until TFLM says there is none: the wheel has no count."""
        infos: list[TensorInfo] = []
        with captured_stderr():  # it complains about the one too many
            while True:
                try:
                    infos.append(tensor_info(details_of(len(infos)), index=len(infos)))
                except IndexError:
                    return tuple(infos)

    def _failure(self, found: str, error: Exception, noise: str) -> RuntimeFailure:
        reason = one_line(noise) or one_line(str(error)) or type(error).__name__
        return RuntimeFailure(f"running a model of {len(self._model)} bytes in {self.runtime}: {found}: {reason}")


def _check_loadable(model: bytes, arena_bytes: int) -> None:
    """Refuse what TFLM would crash on without a look: it trusts the file."""
    if len(model) < 8 or model[4:8] != b"TFL3" or struct.unpack_from("<I", model)[0] >= len(model):
        raise RuntimeFailure(f"loading a model of {len(model)} bytes in TFLM: it is not a .tflite file")
    if not ARENA_STEP_BYTES <= arena_bytes <= LARGEST_ARENA_BYTES:
        raise RuntimeFailure(
            f"loading a model in TFLM: the arena must have {ARENA_STEP_BYTES} to {LARGEST_ARENA_BYTES:,} bytes, "
            f"{arena_bytes:,} were asked for"
        )
