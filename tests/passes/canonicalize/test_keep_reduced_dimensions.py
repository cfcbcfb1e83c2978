"""A reduction keeps the dimensions that a reshape behind it brings back, as TensorFlow's converter writes a gate's."""

import pytest
from passes.check_pass import Checked, check_pass

from edgec.ir.dtype import DType
from edgec.ir.graph import Module
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.passes.canonicalize.canonicalize_reshape import CanonicalizeReshape


def reduced(
    opcode: str, shape: tuple[int, ...], axes: tuple[int, ...] = (1, -2), dtype: DType = DType.FLOAT32, *,
    read_twice: bool = False,
) -> Checked:  # fmt: skip
    """x[2,4,4,3] is reduced and brought to `shape`."""
    module = Module()
    b, graph = build(module.main), module.main
    x = graph.add_input("x", TensorType((2, 4, 4, 3), dtype))
    small = b.emit(opcode, [x, b.ints(axes)], name="small")
    graph.outputs = [b.emit("reshape", [small, b.ints(shape)], new_shape=shape)]
    if read_twice:
        graph.outputs = [*graph.outputs, b.emit("neg", [small])]
    return check_pass(module, CanonicalizeReshape())


@pytest.mark.parametrize("opcode", ["mean", "sum", "reduce_prod", "reduce_max", "reduce_min"])
def test_a_reduction_keeps_what_a_reshape_brings_back(opcode: str) -> None:
    checked = reduced(opcode, (2, 1, 1, 3))
    assert checked.opcodes == [opcode]
    assert checked.op(opcode).attributes["keep_dims"]
    assert checked.op(opcode).result.shape == (2, 1, 1, 3)


def test_a_single_axis_in_the_middle() -> None:
    assert reduced("mean", (2, 4, 1, 3), (2,)).opcodes == ["mean"]


@pytest.mark.parametrize("shape", [(1, 2, 1, 3), (2, 1, 3, 1), (2, 1, 3), (6,)])
def test_other_shapes_are_left_to_the_reshape(shape: tuple[int, ...]) -> None:
    checked = reduced("mean", shape)
    assert checked.opcodes == ["mean", "reshape"]
    assert not checked.changed


def test_integers_and_other_readers_are_left_alone() -> None:
    assert not reduced("sum", (2, 1, 1, 3), dtype=DType.INT32).changed
    assert not reduced("mean", (2, 1, 1, 3), read_twice=True).changed
