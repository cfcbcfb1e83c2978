"""Options and fixtures for all tests.

`pytest --update-golden` rewrites the golden files; review the difference before committing it.
"""

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parents[1]
SHOWN_DIFF_LINES = 80

settings.register_profile("edgec", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("edgec")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compare a text with `golden/<test name><suffix>` beside the test file: `golden(text, ".html")`."""
    stem = re.sub(r"[^\w.-]+", "_", request.node.name).strip("_")

    def compare(text: str, suffix: str = ".txt") -> None:
        path = request.path.parent / "golden" / f"{stem}{suffix}"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
            return
        if not path.is_file():
            pytest.fail(f"{path} does not exist; run pytest --update-golden and review it", pytrace=False)
        expected = path.read_bytes().decode("utf-8")
        if text == expected:
            return
        names = (f"golden/{path.name}", "now")
        diff = list(difflib.unified_diff(expected.splitlines(), text.splitlines(), *names, lineterm=""))
        shown = "\n".join(line[:300] for line in diff[:SHOWN_DIFF_LINES]) or "only line ends differ"
        pytest.fail(f"{shown}\n(run pytest --update-golden if the change is intended)", pytrace=False)

    return compare


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real models and labelled data; tests that need it are skipped where it is absent."""
    given = os.environ.get("EDGEC_SHARED_DATA")
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the shared models and data are not at {folder} (set EDGEC_SHARED_DATA)")
    return folder
