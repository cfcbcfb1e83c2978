"""What C++ runtimes write past `sys.stderr`, straight to file descriptor 2."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_STDERR_FD = 2
_ONE_CAPTURE_AT_A_TIME = threading.RLock()  # descriptor 2 belongs to the whole process
_RUN_ON_SENTENCE = re.compile(r"\.(?=[A-Z][a-z]* )")  # LiteRT joins its complaints without a space


@dataclass(slots=True)
class CapturedText:
    """The text written while capturing; complete once the `with` block has ended."""

    text: str = ""


def one_line(text: str, limit: int = 240) -> str:
    """Join the distinct lines of `text` with "; ", cut after `limit` characters, for use inside an error message."""
    sentences = _RUN_ON_SENTENCE.sub("\n", text).splitlines()
    lines = [line for line in dict.fromkeys(sentence.strip().rstrip(".") for sentence in sentences) if line]
    # Start-up notices say nothing about a failure.
    reasons = [line for line in lines if not line.startswith(("INFO:", "WARNING: All log messages"))]
    joined = "; ".join(reasons)
    return joined if len(joined) <= limit else joined[:limit].rstrip() + " …"


@contextmanager
def captured_stderr(captured: CapturedText | None = None) -> Iterator[CapturedText]:
    """Redirect descriptor 2 to a temporary file for the length of the block.

    The text is in `captured` after the block, also when the block raised: give one in where an `except` needs it.
    Where the process has no descriptor 2 (a daemon), nothing is captured.
    """
    captured = CapturedText() if captured is None else captured
    with _ONE_CAPTURE_AT_A_TIME:
        _flush_python_stderr()
        try:
            saved = os.dup(_STDERR_FD)
        except OSError:
            yield captured
            return
        try:
            with tempfile.TemporaryFile() as sink:
                os.dup2(sink.fileno(), _STDERR_FD)
                try:
                    yield captured
                finally:
                    _flush_python_stderr()
                    os.dup2(saved, _STDERR_FD)
                    sink.seek(0)
                    captured.text = sink.read().decode("utf-8", errors="replace")
        finally:
            os.close(saved)


def _flush_python_stderr() -> None:
    if sys.stderr is not None and not sys.stderr.closed:
        sys.stderr.flush()
