import os
import sys

import pytest

from edgec.runtime.captured_stderr import CapturedText, captured_stderr, one_line


def test_descriptor_and_python_text_are_captured(capfd: pytest.CaptureFixture[str]) -> None:
    with captured_stderr() as captured:
        os.write(2, b"from C\n")
        print("from Python", file=sys.stderr)  # noqa: T201
    os.write(2, b"after\n")
    assert "from C" in captured.text
    assert capfd.readouterr().err.endswith("after\n")


def test_text_is_there_after_an_error() -> None:
    def fail(captured: CapturedText) -> None:
        with captured_stderr(captured):
            os.write(2, b"reason\n")
            raise KeyError

    captured = CapturedText()
    with pytest.raises(KeyError):
        fail(captured)
    assert captured.text == "reason\n"


def test_captures_nest() -> None:
    with captured_stderr() as outer:
        os.write(2, b"one ")
        with captured_stderr() as inner:
            os.write(2, b"two")
        os.write(2, b"three")
    assert (outer.text, inner.text) == ("one three", "two")


def test_one_line_drops_repetition_and_notices_and_cuts() -> None:
    assert one_line("INFO: hello\nbad.\n\n  bad.\nworse") == "bad; worse"
    assert one_line("range. Was 3.Tensor 1 is bad.Tensor 1 is bad.") == "range. Was 3; Tensor 1 is bad"
    assert one_line("x" * 300, limit=10) == "x" * 10 + " …"
