from pathlib import Path

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.frontends.tflite import load_tflite
from edgec.ir.clone import clone_module
from edgec.ir.parser import parse_module
from edgec.ir.printer import print_module
from edgec.ops import OP_DEFS, verify

TEXT = """
module "net" {
  graph @main(%x: float32[1,4]) {
    $w = constant float32[2,4] [1, 2, 3, 4, 5, 6, 7, 8]
    %y = fully_connected(%x, $w, none) : float32[1,2]
    %z = relu(%y) : float32[1,2]
    return %z, %y
  }
  signature "serving" {"graph": 0, "inputs": [["x", 0]], "outputs": [["y", 0]]}
}
"""


def test_copy_prints_alike_and_changes_alone() -> None:
    module = parse_module(TEXT, OP_DEFS)
    before = print_module(module, OP_DEFS)
    copy = clone_module(module)
    assert print_module(copy, OP_DEFS) == before
    graph = copy.main
    relu = graph.last_op
    assert relu is not None
    graph.replace(relu, [relu.operand(0)])
    graph.inputs[0].name = "renamed"
    copy.signatures.clear()
    verify(copy)
    assert print_module(module, OP_DEFS) == before
    verify(module)


def test_arrays_are_shared_and_values_are_not() -> None:
    module = parse_module(TEXT, OP_DEFS)
    copy = clone_module(module)
    weight, twin = next(module.main.constants()), next(copy.main.constants())
    assert weight is not twin
    assert np.shares_memory(weight.array(), twin.array())


@pytest.mark.parametrize(
    "name", ["mlperf_tiny/vww_96_int8", "micro_wake_word/okay_nabu_v2", "tflm/mnist_trained_lstm", "tflm/person_detect"]
)
def test_copies_of_published_models_serialize_to_the_same_bytes(shared_data: Path, name: str) -> None:
    module = load_tflite(shared_data / "models" / f"{name}.tflite")
    assert serialize(clone_module(module)) == serialize(module)
