"""Gives the tests of this folder the module `compare` beside this file, whatever the module path is."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def compare() -> Any:
    """The module `compare`: `check_node`, `check_onnx`, `refusal`, `node_model`, `nodes_model`."""
    path = Path(__file__).with_name("compare.py")
    specification = importlib.util.spec_from_file_location("edgec_tests_onnx_compare", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
