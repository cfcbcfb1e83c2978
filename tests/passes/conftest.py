"""Gives the tests of passes the helper beside this file, whatever the module path is."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def check_pass() -> Callable[..., Any]:
    """`check_pass(module_or_text, pass_)` of check_pass.py."""
    path = Path(__file__).with_name("check_pass.py")
    name = "edgec_tests_check_pass"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    function: Callable[..., Any] = module.check_pass
    return function
