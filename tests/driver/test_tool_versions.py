"""A report states the versions of the programs of other environments that took part."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgec.driver.foreign import TOOL_VERSIONS
from edgec.driver.source import SourceModel, versions
from edgec.frontends.tensorflow.process import package_versions
from edgec.ir.graph import Module


def test_another_python_tells_the_versions_it_has() -> None:
    assert package_versions(sys.executable, ("numpy", "no-such-package")) == {"numpy": np.__version__}


@pytest.mark.parametrize("code", ["exit 3", "echo no json", "echo '[1]'"])
def test_a_python_that_tells_nothing_is_no_failure(tmp_path: Path, code: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    assert package_versions(str(program), ("numpy",)) == {}
    assert package_versions(str(tmp_path / "absent"), ("numpy",)) == {}


def test_the_report_has_them_beside_our_own() -> None:
    module = Module(extra={TOOL_VERSIONS: {"onnx2tf": "2.6.9"}})
    source = SourceModel(Path("net.onnx"), "onnx", "", 0, module)
    found = versions(source.tool_versions)
    assert found["onnx2tf"] == "2.6.9"
    assert found["numpy"] == np.__version__
