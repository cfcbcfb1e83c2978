"""Makes the models of `tiny_models.py` and the shared `.tflite` files available to the tests of this folder."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def tiny_models() -> Any:
    """The module `tiny_models` beside this file, whatever the module path is."""
    path = Path(__file__).with_name("tiny_models.py")
    specification = importlib.util.spec_from_file_location("edgec_tests_tiny_models", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def shared_model(shared_data: Path) -> Callable[[str], bytes]:
    """Read a model of the shared folder by its path below `models`; the test is skipped where it is absent."""

    def read(name: str) -> bytes:
        path = shared_data / "models" / name
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        return path.read_bytes()

    return read
