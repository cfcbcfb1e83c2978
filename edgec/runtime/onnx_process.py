"""An ONNX model in onnxruntime in a process of its own, which starts while this one works.

Hostile models crash onnxruntime (an STFT of an absurd frame length, seen with 1.32): there that is a sentence, not the
end of edgec. Both sides write frames, 8 bytes of length and the content: a frame of JSON, and one of arrays (`.npz`).
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgec.errors import EdgecError, RuntimeFailure
from edgec.runtime.isolated import PACKAGE_ROOT, child_environment, how_it_ended, last_text, raised_error
from edgec.runtime.onnx_source import OnnxSession, SourceTensorInfo
from edgec.runtime.tensor_info import Array

TIMEOUT_S = 600.0
_LENGTH_BYTES = 8
_Borders = tuple[list[SourceTensorInfo], list[SourceTensorInfo]]


class OnnxProcess:
    """One ONNX file, loaded in another process; making the object starts that, the first use waits for it.

    A process that has crashed is started anew by the next use. It ends with the object.
    """

    def __init__(self, path: Path, *, lean: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        self._path, self._lean, self._timeout_s = path.absolute(), lean, timeout_s
        self._process, self._stderr, self._close = self._started()
        self._greeted = False
        self._borders: _Borders = ([], [])

    @property
    def inputs(self) -> list[SourceTensorInfo]:
        """The model's inputs; raises as `run` does."""
        return self._known_borders()[0]

    @property
    def outputs(self) -> list[SourceTensorInfo]:
        """The model's outputs; raises as `run` does."""
        return self._known_borders()[1]

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run once on inputs by name and return all outputs in the model's order.

        Raises:
            RuntimeFailure: onnxruntime refuses the model or the inputs, fails, crashes, or takes longer than allowed.
            MissingExtra: onnxruntime is not installed.
        """
        self._known_borders()
        self._write([json.dumps({"names": list(inputs)}).encode(), _packed(list(inputs.values()))])
        self._answer()
        return _unpacked(self._frame())

    def _known_borders(self) -> _Borders:
        if self._greeted and self._process.poll() is not None:
            self._close()
            self._process, self._stderr, self._close = self._started()
            self._greeted = False
        if not self._greeted:
            self._greeted = True
            try:
                found = self._answer()
            except EdgecError:
                self._close()  # the next use asks a new process
                raise
            self._borders = ([_info(one) for one in found["inputs"]], [_info(one) for one in found["outputs"]])
        return self._borders

    def _started(self) -> tuple[subprocess.Popen[bytes], IO[bytes], weakref.finalize[..., Any]]:
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when the process is
        process = subprocess.Popen(
            [sys.executable, "-m", "edgec.runtime.onnx_process", str(self._path), "lean" if self._lean else "plain"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=child_environment(),
            cwd=PACKAGE_ROOT,  # `-m` puts it first on the module path: no folder that others write to
            start_new_session=True,
        )  # fmt: skip
        return process, stderr, weakref.finalize(self, _end, process, stderr)

    def _write(self, frames: Sequence[bytes]) -> None:
        assert self._process.stdin is not None
        try:
            for frame in frames:
                _write_frame(self._process.stdin, frame)
        except OSError:  # it has ended: reading the answer says how
            return

    def _answer(self) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._frame())
        if "error" in reply:
            raise raised_error(reply)
        return reply

    def _frame(self) -> bytes:
        assert self._process.stdout is not None
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(self._timeout_s, end)
        timer.daemon = True
        timer.start()
        try:
            frame = _read_frame(self._process.stdout)
        finally:
            timer.cancel()
        if frame is not None:
            return frame
        doing = f"running '{self._path}' in onnxruntime"
        status = self._process.wait()
        if late.is_set():
            raise RuntimeFailure(f"{doing}: not finished after {self._timeout_s:g} s; it was ended")
        raise RuntimeFailure(f"{doing}: {how_it_ended(status, last_text(self._stderr))}")


def _end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, stderr):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what it did not read any more
                continue


def _info(stored: Mapping[str, Any]) -> SourceTensorInfo:
    dtype = None if stored["dtype"] is None else np.dtype(stored["dtype"])
    return SourceTensorInfo(stored["name"], tuple(stored["shape"]), dtype, stored["onnx_type"])


def _stored(info: SourceTensorInfo) -> dict[str, Any]:
    dtype = None if info.dtype is None else info.dtype.str
    return {"name": info.name, "shape": list(info.shape), "dtype": dtype, "onnx_type": info.onnx_type}


def _packed(arrays: Sequence[Array]) -> bytes:
    if any(np.asarray(array).dtype.hasobject for array in arrays):
        raise RuntimeFailure("passing arrays between processes: text cannot be passed")
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{str(number): array for number, array in enumerate(arrays)})
    return buffer.getvalue()


def _unpacked(data: bytes) -> list[Array]:
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return [stored[str(number)] for number in range(len(stored.files))]


def _write_frame(stream: IO[bytes], content: bytes) -> None:
    stream.write(len(content).to_bytes(_LENGTH_BYTES, "little"))
    stream.write(content)
    stream.flush()


def _read_frame(stream: IO[bytes]) -> bytes | None:
    """The next frame, None where the other side has ended."""
    length = stream.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return None
    content = stream.read(int.from_bytes(length, "little"))
    return content if len(content) == int.from_bytes(length, "little") else None


# -- in the other process --------------------------------------------------------------------------------------------


def _serve(path: Path, *, lean: bool) -> None:
    """Load the model, say what it takes and gives, and answer each request until there are no more."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not come between the frames
    try:
        session = OnnxSession(path, lean=lean)
    except EdgecError as error:
        _write_frame(replies, _error(error))
        return
    borders = {"inputs": [_stored(i) for i in session.inputs], "outputs": [_stored(o) for o in session.outputs]}
    _write_frame(replies, json.dumps(borders).encode())
    while (request := _read_frame(sys.stdin.buffer)) is not None:
        arrays = _read_frame(sys.stdin.buffer)
        if arrays is None:
            return
        try:
            results = _packed(session.run(dict(zip(json.loads(request)["names"], _unpacked(arrays)))))
        except EdgecError as error:
            _write_frame(replies, _error(error))
            continue
        _write_frame(replies, b"{}")
        _write_frame(replies, results)


def _error(error: EdgecError) -> bytes:
    return json.dumps({"error": type(error).__name__, "message": str(error)}).encode()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), lean=sys.argv[2] == "lean")
