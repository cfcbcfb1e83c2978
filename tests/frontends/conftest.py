"""What the tests of the front ends share: the interpreters of frameworks that live in environments of their own."""

import os

import pytest


@pytest.fixture(scope="session")
def tf_python() -> str:
    """The interpreter that has TensorFlow."""
    given = os.environ.get("EDGEC_TF_PYTHON")
    if not given:
        pytest.skip("EDGEC_TF_PYTHON names no Python with TensorFlow")
    return given


@pytest.fixture(scope="session")
def onnx2tf_python() -> str:
    """The interpreter that has onnx2tf."""
    given = os.environ.get("EDGEC_ONNX2TF_PYTHON")
    if not given:
        pytest.skip("EDGEC_ONNX2TF_PYTHON names no Python with onnx2tf")
    return given
