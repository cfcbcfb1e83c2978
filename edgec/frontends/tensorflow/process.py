"""Processes in another Python: started with a folder of their own, timed, ended, and nothing of them left behind."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from edgec.errors import ImportFailure, MissingExtra

LOG_TAIL_BYTES = 16_384
LONGEST_REASON = 300  # characters
VERSIONS_TIMEOUT_S = 30.0
OLDEST_PYTHON = (3, 9)
PROBE_TIMEOUT_S = 60.0
_PROBE = """
import sys
try:
    from importlib.util import find_spec
    found = find_spec(sys.argv[1]) is not None
except ImportError:
    found = False
print("edgec-probe %d.%d %d" % (sys.version_info[0], sys.version_info[1], found))
"""
_NOISE = ("INFO:", "WARNING:", "W0000", "I0000", "Traceback", "File ", "DEBUG:")


def interpreter(python: str | Path | None, package: str, doing: str, missing: str) -> str:
    """The Python to run: the given one, else this one where it has `package`.

    Raises:
        ImportFailure: the given program is not there, is no Python or one that is too old.
        MissingExtra: this Python, or the given one, has no such package; `missing` says what to do.
    """
    if python is None:
        if find_spec(package) is None:
            raise MissingExtra(f"{doing}: {package} cannot be imported; {missing}.")
        return sys.executable
    found = shutil.which(str(Path(python).expanduser()))
    if found is None:
        raise ImportFailure(f"{doing}: --python names '{python}', which is no program that can be run.")
    _check_interpreter(os.path.abspath(found), package, doing, missing)
    return os.path.abspath(found)


def _check_interpreter(program: str, package: str, doing: str, missing: str) -> None:
    """Ask a program whether it is a Python that can find `package`, without importing that."""
    named = f"{doing}: --python names '{program}', which"
    try:
        answer = _told(program, _PROBE, [package], PROBE_TIMEOUT_S)
    except OSError as error:
        raise ImportFailure(f"{doing}: '{program}' cannot be run: {error.strerror or error}.") from error
    except subprocess.TimeoutExpired as error:
        raise ImportFailure(f"{named} does not answer as a Python does.") from error
    said = re.search(rb"edgec-probe (\d+)\.(\d+) (\d)", answer.stdout)
    if said is None:
        raise ImportFailure(f"{named} does not answer as a Python does; is that environment whole?")
    major, minor, has = (int(part) for part in said.groups())
    if (major, minor) < OLDEST_PYTHON:
        wanted = ".".join(str(part) for part in OLDEST_PYTHON)
        raise ImportFailure(f"{named} is Python {major}.{minor}; name one of {wanted} or newer.")
    if not has:
        raise MissingExtra(f"{named} is a Python without {package}; {missing}.")


def _told(program: str, code: str, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run a line of code in another Python, in an empty folder: `-c` puts the working directory on the module path."""
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        return subprocess.run(
            [program, "-c", code, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s,
            env=environment(program), cwd=folder,
        )  # fmt: skip


class Worker:
    """A process that answers requests, lines of JSON on its standard input, each with one line of JSON.

    It works in a temporary folder, `folder`. Both end with `close`, and with the object itself.
    """

    def __init__(self, command: Sequence[str], *, doing: str) -> None:
        """Start `command` with the folder as its last argument; `doing` starts the message of every failure."""
        self.doing = doing
        self.folder = Path(tempfile.mkdtemp(prefix="edgec-"))
        self._log = self.folder / "log.txt"
        try:
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [*command, str(self.folder)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                    cwd=self.folder, start_new_session=True,
                    env=environment(command[0]) | {"TMPDIR": str(self.folder)},  # its own leavings go with it
                )  # fmt: skip
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ImportFailure(f"{doing}: '{command[0]}' cannot be run: {error.strerror or error}.") from error
        self._close = weakref.finalize(self, _end, self._process, self.folder)
        self._replies: queue.Queue[bytes] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(target=_read_lines, args=(self._process.stdout, self._replies), daemon=True).start()

    def ask(self, request: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """What the process answers.

        Raises:
            ImportFailure: it answers with an error, ends, or does not answer in time; then it is ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: the empty reply below says so
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        try:
            line = self._replies.get(timeout=timeout_s)
        except queue.Empty as error:
            self.close()
            raise ImportFailure(f"{self.doing}: not finished after {timeout_s:g} s; it was ended.") from error
        if not line:
            status, said = self._process.wait(), last_useful_line(self._log)
            self.close()
            raise ImportFailure(f"{self.doing}: {how_it_ended(status, said)}.")
        try:
            reply: dict[str, Any] = json.loads(line)
        except ValueError as error:
            self.close()
            raise ImportFailure(f"{self.doing}: its process answered what is no reply: {line[:80]!r}.") from error
        if "error" in reply:
            raise ImportFailure(f"{self.doing}: {str(reply['error']).rstrip('.')}.")
        return reply

    def close(self) -> None:
        """End the process and remove its folder; a second call does nothing."""
        self._close()


def run_once(command: Sequence[str], folder: Path, *, doing: str, timeout_s: float) -> None:
    """Run a command inside `folder` until it ends.

    Raises:
        ImportFailure: it cannot be run, fails, or takes too long; then it is ended, with what it started.
    """
    log = folder / "log.txt"
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                cwd=folder, env=environment(command[0]), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ImportFailure(f"{doing}: '{command[0]}' cannot be run: {error.strerror or error}.") from error
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ImportFailure(f"{doing}: not finished after {timeout_s:g} s; it was ended.") from error
        finally:
            if process.returncode is None:
                _kill(process)
    if status != 0:
        raise ImportFailure(f"{doing}: {how_it_ended(status, last_useful_line(log))}.")


def package_versions(python: str, packages: Sequence[str]) -> dict[str, str]:
    """Versions of those packages that another Python has; empty where it does not say."""
    code = (
        "import json, sys\n"
        "from importlib import metadata\n"
        "found = {d.metadata['Name']: d.version for d in metadata.distributions()}\n"
        "print(json.dumps({n: found[n] for n in sys.argv[1:] if n in found}))"
    )
    try:
        run = _told(python, code, packages, VERSIONS_TIMEOUT_S)
        run.check_returncode()
        found = json.loads(run.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
    return {str(name): str(version) for name, version in found.items()} if isinstance(found, dict) else {}


def environment(python: str) -> dict[str, str]:
    """The variables for another Python: its own programs first on the path, none of our module path."""
    own = str(Path(python).parent)
    variables = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    return variables | {
        "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": "0",  # sums in the same order on every machine
    }


def last_useful_line(log: Path) -> str:
    """The last line of a log that says something, cut to a sentence's length."""
    with log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES, 0))
        text = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines()]
    useful = [line for line in lines if any(c.isalpha() for c in line) and not line.startswith(_NOISE)]
    return useful[-1][:LONGEST_REASON].rstrip(". ") if useful else ""


def how_it_ended(status: int, said: str) -> str:
    """An exit status in words, with what the process said last."""
    after = f": {said}" if said else ""
    if status >= 0:
        return f"its process ended with status {status}{after}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return f"its process was ended by signal {-status} ({name}){after}"


def _read_lines(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    with contextlib.suppress(ValueError):  # closed while reading
        for line in stream:
            lines.put(line)
    lines.put(b"")


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    _kill(process)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    shutil.rmtree(folder, ignore_errors=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, with everything it started."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
