"""Runs a function of edgec in a child process, so that a crash of a runtime is one sentence and not the end.

Request and reply are files in a temporary directory: JSON for values, `.npz` without pickles for arrays.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

import edgec.errors
from edgec.errors import EdgecError, RuntimeFailure
from edgec.runtime.captured_stderr import one_line
from edgec.runtime.tensor_info import Array

DEFAULT_MEMORY_LIMIT_BYTES = 4 << 30
PACKAGE_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class IsolatedReply:
    """What the function in the child returned: values that JSON can hold, and arrays."""

    values: dict[str, Any]
    arrays: list[Array]


def run_isolated(
    runtime: Literal["litert", "tflm"],
    model: bytes,
    inputs: Sequence[Array],
    *,
    timeout_s: float = 60.0,
    memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES,
    **options: Any,
) -> list[Array]:
    """Load `model` in a child process, run it once on `inputs`, and return its outputs.

    `options` go to `LiteRTSession` (threads, xnnpack, reference_kernels) or `TFLMSession` (arena_bytes). No inputs
    means `sample_inputs` of the model.

    Raises:
        RuntimeFailure: the runtime refuses the model, crashes, needs more memory than allowed or more time.
    """
    reply = call_isolated(
        f"edgec.runtime.isolated:run_{runtime}",
        model,
        inputs,
        options=options,
        doing=f"running a model of {len(model)} bytes in {'LiteRT' if runtime == 'litert' else 'TFLM'}",
        timeout_s=timeout_s,
        memory_limit_bytes=memory_limit_bytes,
    )
    return reply.arrays


def run_litert(
    model: bytes, inputs: Sequence[Array], *, all_kernels: bool = False, **options: Any
) -> tuple[dict[str, Any], list[Array]]:
    """Run a model once in LiteRT, in this process; the child's side of `run_isolated("litert", …)`.

    With `all_kernels` it runs in LiteRT's own kernels first, which crash on models that XNNPACK takes.
    """
    from edgec.runtime.litert import LiteRTSession
    from edgec.runtime.sample_inputs import sample_inputs

    if all_kernels:
        own = LiteRTSession(model, **{**options, "xnnpack": False})
        own.run(inputs or sample_inputs(own.input_details))
    session = LiteRTSession(model, **options)
    return {"runtime": str(session.runtime)}, session.run(inputs or sample_inputs(session.input_details))


def run_tflm(
    model: bytes, inputs: Sequence[Array], arena_bytes: int | None = None, **options: Any
) -> tuple[dict[str, Any], list[Array]]:
    """Run a model once in TFLM, in this process; the child's side of `run_isolated("tflm", …)`."""
    from edgec.runtime.sample_inputs import sample_inputs
    from edgec.runtime.tflm import AMPLE_ARENA_BYTES, TFLMSession

    session = TFLMSession(model, AMPLE_ARENA_BYTES if arena_bytes is None else arena_bytes, **options)
    return {"runtime": str(session.runtime)}, session.run(inputs or sample_inputs(session.input_details))


def call_isolated(
    function: str,
    model: bytes,
    arrays: Sequence[Array] = (),
    *,
    options: Mapping[str, Any] | None = None,
    doing: str,
    timeout_s: float = 60.0,
    memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES,
) -> IsolatedReply:
    """Call `function(model, arrays, **options)` in a child process and return what it returns.

    `function` is named "edgec.module:function" and returns a dictionary for JSON and a list of arrays. The memory
    limit holds for the child's address space, where the system knows such limits. `doing` starts the message of a
    failure.

    Raises:
        EdgecError: what the function raised, with its class and message.
        RuntimeFailure: the child crashed, ran out of time, or failed in another way.
    """
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        directory = Path(folder)
        request = {"function": function, "options": dict(options or {}), "memory_limit_bytes": memory_limit_bytes}
        (directory / "request.json").write_text(json.dumps(request))
        (directory / "model.tflite").write_bytes(model)
        _write_arrays(directory / "inputs.npz", arrays)
        status, noise = _run_child(directory, doing, timeout_s)
        reply_file = directory / "reply.json"
        if status != 0 or not reply_file.exists():
            raise RuntimeFailure(f"{doing}: {how_it_ended(status, noise)}")
        reply = json.loads(reply_file.read_text())
        if "error" in reply:
            raise raised_error(reply)
        return IsolatedReply(reply["values"], _read_arrays(directory / "outputs.npz"))


def child_environment() -> dict[str, str]:
    """The variables of a child process of this Python that runs edgec's own code."""
    environment = dict(os.environ)
    paths = [str(PACKAGE_ROOT), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    environment["OPENBLAS_NUM_THREADS"] = "1"  # numpy's threads would only cost start-up time and address space
    return environment


def _run_child(directory: Path, doing: str, timeout_s: float) -> tuple[int, str]:
    with (
        (directory / "stderr.txt").open("w+b") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "edgec.runtime.isolated", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # its end tells at once that the child has ended; waiting with a timeout polls
            stderr=stderr,
            env=child_environment(),
            cwd=directory,  # `-m` puts the working directory first on the module path
            start_new_session=True,  # so that ending it ends its forks too
        ) as child,
    ):
        try:
            child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise RuntimeFailure(f"{doing}: not finished after {timeout_s:g} s; allow more time") from error
        finally:
            if child.returncode is None:
                _end_with_its_forks(child)
        return child.returncode, last_text(stderr)


def last_text(file: IO[bytes], size: int = 4096) -> str:
    """The end of what a process wrote to its standard error."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - size, 0))
    return file.read().decode("utf-8", errors="replace")


def _end_with_its_forks(child: "subprocess.Popen[bytes]") -> None:
    if hasattr(os, "killpg"):
        os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def how_it_ended(status: int, noise: str) -> str:
    """An exit status in words, with what the process said last."""
    tail = "\n".join(noise.strip().splitlines()[-3:])
    said = one_line(tail)
    if status >= 0:
        return f"the runtime's process ended with status {status}" + (f": {said}" if said else "")
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return f"the runtime crashed with signal {-status} ({name})" + (f": {said}" if said else "")


def raised_error(reply: Mapping[str, Any]) -> EdgecError:
    """The error a child process tells of: `error` is its class in `edgec.errors`, `message` what it said."""
    found = getattr(edgec.errors, str(reply["error"]), None)
    kind = found if isinstance(found, type) and issubclass(found, EdgecError) else RuntimeFailure
    return kind(reply["message"])


def _write_arrays(path: Path, arrays: Sequence[Array]) -> None:
    for position, array in enumerate(arrays):
        if np.asarray(array).dtype.hasobject:
            raise RuntimeFailure(f"passing arrays between processes: array {position} holds Python objects")
    np.savez(path, allow_pickle=False, **{f"array_{position}": array for position, array in enumerate(arrays)})


def _read_arrays(path: Path) -> list[Array]:
    with np.load(path, allow_pickle=False) as stored:
        return [stored[f"array_{position}"] for position in range(len(stored.files))]


def _limit_memory(limit_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is expected here; no core file
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ValueError, OSError):  # macOS refuses to limit the address space; the time limit still holds
        return


def _serve(directory: Path) -> None:
    """Answer one request; the child's whole life."""
    request = json.loads((directory / "request.json").read_text())
    module_name, function_name = request["function"].split(":")
    _limit_memory(request["memory_limit_bytes"])
    function = getattr(import_module(module_name), function_name)
    model = (directory / "model.tflite").read_bytes()
    reply: dict[str, Any]
    try:
        values, arrays = function(model, _read_arrays(directory / "inputs.npz"), **request["options"])
        _write_arrays(directory / "outputs.npz", arrays)
        reply = {"values": values}
    except EdgecError as error:
        reply = {"error": type(error).__name__, "message": str(error)}
    (directory / "reply.json").write_text(json.dumps(reply))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
