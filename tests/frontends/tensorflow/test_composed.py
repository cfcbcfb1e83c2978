"""Ops of TensorFlow that its converter leaves to others are composed of TFLite's, and agree with TensorFlow."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edgec.driver import CompileOptions, compile_model

pytestmark = pytest.mark.tensorflow
Written = Callable[[str], Path]
EXPECTED = {
    "volumes.keras": {"max_pool_2d": 2, "average_pool_2d": 2, "conv_3d": 3, "space_to_batch_nd": 0},
    "images.keras": {"batch_matmul": 8},
    "transposed.keras": {"transpose_conv": 1},
    "numbers.keras": {"one_hot": 2, "reduce_max": 1},
    "argmax.keras": {"arg_max": 1, "bitcast": 0, "select_v2": 0},
    "elements.keras": {"exp": 1, "bitcast": 1},
    "mixed_float16.keras": {"conv_2d": 1, "fully_connected": 1, "cast": 0},
    "mixed_bfloat16.keras": {"conv_2d": 1, "fully_connected": 1, "cast": 0},
    "float64.keras": {"conv_2d": 1, "fully_connected": 1, "cast": 0},
    "bicubic.pb": {"batch_matmul": 2},
    "beside": {"tanh": 1, "custom": 0},
    "steps.pb": {"conv_2d": 1},
    "bits.pb": {"bitwise_xor": 7},
    "halves.pb": {"while": 1, "cast": 0},
    "integers.keras": {"fully_connected": 2},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_composed_agrees_with_tensorflow(written: Written, tf_python: str, name: str) -> None:
    options = CompileOptions(device="rpi4", scheme="fp32", python=tf_python)
    result = compile_model(written("composed") / name, options)
    check = result.report.checks.float_vs_source
    assert check is not None, result.report.checks.notes
    assert check.passed
    counts = Counter(op.opcode for op in result.module.main.ops)
    assert {opcode: counts[opcode] for opcode in EXPECTED[name]} == EXPECTED[name], counts
