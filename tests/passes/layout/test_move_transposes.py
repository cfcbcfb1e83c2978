"""Where transposes go: absorbed, cancelled, folded into weights, or kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.ir.dtype import DType
from edgec.ir.graph import Module
from edgec.ir.parser import parse_module
from edgec.ir.types import QuantParams
from edgec.ops import OP_DEFS
from edgec.passes.base import PassContext
from edgec.passes.layout.move_transposes import MoveTransposes, count_transposes

Check = Callable[..., Any]
Nchw = Callable[[], Any]
LAST = (0, 2, 3, 1)

WRAPPED_RELU = """
graph @main(%x: float32[1,3,4,4]) {
  $last = constant int32[4] [0, 2, 3, 1]
  $first = constant int32[4] [0, 3, 1, 2]
  %t = transpose(%x, $last) : float32[1,4,4,3]
  %r = relu(%t) : float32[1,4,4,3]
  %y = transpose(%r, $first) : float32[1,3,4,4]
  return %y
}
"""


def test_transposes_around_an_elementwise_op_cancel(check_pass: Check) -> None:
    checked = check_pass(WRAPPED_RELU, MoveTransposes())
    assert checked.opcodes == ["relu"]
    assert checked.note == "2 transposes before, 0 after"
    assert not checked.module.input_layout
    assert not checked.module.output_layout


def test_a_graph_without_transposes_stays(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.input("x", 1, 4, 4, 3)
    module = g.module(y=g.b.emit("softmax", [g.relu(x)], beta=1.0))
    ops = list(module.main.ops)
    assert not check_pass(module, MoveTransposes()).changed
    assert list(module.main.ops) == ops


def test_input_and_output_take_channels_last(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    checked = check_pass(g.module(y=g.relu(g.conv(g.input("x", 1, 3, 8, 8), 4))), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "relu"]
    assert checked.module.input_layout == {"x": LAST}
    assert checked.module.output_layout == {"y": LAST}
    assert checked.module.main.inputs[0].shape == (1, 8, 8, 3)


def test_keep_nchw_leaves_the_borders_transposes(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    y = g.relu(g.conv(g.relu(g.conv(g.input("x", 1, 3, 8, 8), 4)), 4))
    checked = check_pass(g.module(y=y), MoveTransposes(keep_nchw=True))
    assert checked.opcodes == ["transpose", "conv_2d", "relu", "conv_2d", "transpose", "relu"]
    assert not checked.module.input_layout
    assert not checked.module.output_layout


def test_a_layout_on_top_of_an_earlier_one(check_pass: Check, nchw: Nchw) -> None:
    """The module's axes already differ from the source's; undoing that leaves no entry."""
    g = nchw()
    module = g.module(y=g.conv(g.input("x", 1, 3, 8, 8), 4))
    module.input_layout["x"] = (0, 3, 1, 2)
    module.output_layout["y"] = (0, 3, 1, 2)
    checked = check_pass(module, MoveTransposes())
    assert checked.module.input_layout == {}
    assert checked.module.output_layout == {}


def test_an_input_of_one_channel_stands_channels_last(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    checked = check_pass(g.module(y=g.relu(g.conv(g.input("x", 1, 1, 8, 8), 4))), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "relu"]
    assert checked.module.input_layout == {"x": LAST}


def test_an_input_of_rank_two_keeps_its_axes(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.input("x", 5, 6)
    checked = check_pass(g.module(y=g.b.emit("softmax", [g.transpose(x, [1, 0])], beta=1.0)), MoveTransposes())
    assert checked.opcodes == ["transpose", "softmax"]
    assert not checked.changed


def test_residual_and_concat_branches(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    a = g.conv(g.input("x", 1, 3, 8, 8), 8)
    b = g.b.emit("add", [g.conv(g.relu(a), 8), a])
    c = g.b.emit("concatenation", [g.max_pool(b), g.conv(g.max_pool(b), 5)], axis=1)
    checked = check_pass(g.module(y=g.conv(c, 4)), MoveTransposes())
    assert count_transposes(checked.module) == 0
    assert checked.op("concatenation").attributes["axis"] == 3
    assert "reshape" not in checked.opcodes


def test_constants_broadcast_along_the_channels(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.conv(g.input("x", 1, 3, 8, 8), 4)
    x = g.b.emit("mul", [x, g.noise(4, 1, 1)])
    x = g.b.emit("add", [g.noise(1, 4, 1, 1), x])
    x = g.b.emit("sub", [x, g.noise(8, 1)])
    x = g.b.emit("prelu", [x, g.noise(4, 1, 1)])
    checked = check_pass(g.module(y=g.conv(x, 2)), MoveTransposes())
    assert count_transposes(checked.module) == 0
    assert checked.op("mul").operand(1).shape == (4,)
    assert checked.op("add").operand(0).shape == (4,)
    assert checked.op("sub").operand(1).shape == (8, 1, 1)
    assert checked.op("prelu").operand(1).shape == (1, 1, 4)


def test_squeeze_and_excitation_needs_no_reshape(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.conv(g.input("x", 2, 3, 8, 8), 8)
    gate = g.b.emit("mean", [x, g.b.ints([2, 3])], keep_dims=True)
    gate = g.b.emit("logistic", [g.conv(g.relu(g.conv(gate, 2, kernel=1)), 8, kernel=1)])
    checked = check_pass(g.module(y=g.conv(g.b.emit("mul", [x, gate]), 4)), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "mean", "conv_2d", "relu", "conv_2d", "logistic", "mul", "conv_2d"]


def test_flatten_goes_into_the_columns_of_the_weights(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.relu(g.conv(g.input("x", 2, 3, 6, 6), 4))
    weight = g.noise(5, 4 * 36)
    flat = g.reshape(x, 2, 4 * 36)
    y = g.b.emit("fully_connected", [g.relu(flat), weight, g.noise(5)])
    z = g.b.emit("fully_connected", [flat, weight, None])
    checked = check_pass(g.module(y=y, z=z), MoveTransposes())
    assert count_transposes(checked.module) == 0
    kept = weight.array().reshape(5, 4, 36).transpose(0, 2, 1).reshape(5, -1)
    for op in checked.module.main.ops:
        if op.opcode == "fully_connected":
            np.testing.assert_array_equal(op.operand(1).array(), kept)


def test_rows_of_the_weights_before_an_image(check_pass: Check, nchw: Nchw) -> None:
    """A generator: fully connected, then an image of its units."""
    g = nchw()
    x = g.reshape(g.relu(g.dense(g.input("x", 2, 5), 4 * 36)), 2, 4, 6, 6)
    checked = check_pass(g.module(y=g.conv(x, 3)), MoveTransposes())
    assert checked.opcodes == ["fully_connected", "relu", "reshape", "conv_2d"]


def test_flatten_that_is_an_output_keeps_one_transpose(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    checked = check_pass(g.module(y=g.reshape(g.conv(g.input("x", 1, 3, 6, 6), 4), 1, 144)), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "transpose", "reshape"]


def test_transposes_that_move_only_axes_of_size_one_are_reshapes(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.transpose(g.relu(g.input("x", 1, 7, 1, 1)), [0, 2, 3, 1])
    checked = check_pass(g.module(y=g.b.emit("softmax", [x], beta=1.0)), MoveTransposes())
    assert count_transposes(checked.module) == 0


def test_ops_along_axes_follow(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    b = g.b
    x = g.conv(g.input("x", 1, 3, 8, 8), 6)
    x = b.emit("pad", [x, b.ints([[0, 0], [1, 1], [0, 2], [0, 0]])])
    x = b.emit("mirror_pad", [x, b.ints([[0, 0], [0, 0], [1, 1], [0, 0]])], mode="REFLECT")
    x = b.emit("padv2", [x, b.ints([[0, 0], [0, 0], [0, 0], [1, 0]]), b.constant(np.float32(2.0))])
    x = b.emit("slice", [x, b.ints([0, 1, 0, 2]), b.ints([1, 6, 12, 5])])
    x = b.emit("strided_slice", [x, b.ints([0, 0, -9, 0]), b.ints([0, 6, 0, 5]), b.ints([1, 2, 1, 1])],
               begin_mask=1, end_mask=1 | 4)  # fmt: skip
    x = b.emit("tile", [x, b.ints([1, 2, 1, 1])])
    x = b.emit("reverse_v2", [x, b.ints([2])])
    x = b.emit("gather", [x, b.ints([4, 0, 1, 5])], axis=1)
    first, second = b.emit_op("split", [b.constant(np.array(1, np.int32)), x], num_splits=2).results
    x = b.emit("concatenation", [second, first, second], axis=2)
    x = b.emit("cumsum", [x, b.constant(np.array(3, np.int32))])
    checked = check_pass(g.module(y=g.conv(x, 4)), MoveTransposes())
    assert count_transposes(checked.module) == 0
    assert "reshape" not in checked.opcodes


@pytest.mark.parametrize("keep_dims", [False, True])
@pytest.mark.parametrize("opcode", ["mean", "sum", "reduce_max", "reduce_min", "reduce_prod"])
def test_reductions_follow(check_pass: Check, nchw: Nchw, opcode: str, keep_dims: bool) -> None:
    g = nchw()
    x = g.b.emit(opcode, [g.conv(g.input("x", 2, 3, 4, 4), 6), g.b.ints([-1, 2])], keep_dims=keep_dims)
    checked = check_pass(g.module(y=x), MoveTransposes())
    assert count_transposes(checked.module) == 0
    assert checked.op(opcode).operand(1).array().tolist() == [1, 2]


def test_arg_max_over_channels(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.b.emit("arg_max", [g.conv(g.input("x", 1, 3, 8, 8), 6), g.b.ints([1])], output_type="INT64")
    checked = check_pass(g.module(y=x), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "arg_max"]
    assert checked.op("arg_max").operand(1).array().tolist() == [3]


def test_softmax_between_transposes_of_height_and_width(check_pass: Check, nchw: Nchw) -> None:
    """[N,C,H,W] -> [N,W,H,C], softmax, and back: the last axis stays last."""
    g = nchw()
    x = g.transpose(g.conv(g.input("x", 1, 3, 8, 6), 5), [0, 3, 2, 1])
    x = g.transpose(g.b.emit("softmax", [x], beta=1.0), [0, 3, 2, 1])
    checked = check_pass(g.module(y=x), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "softmax"]


def test_detection_head(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.relu(g.conv(g.input("x", 1, 3, 8, 8), 6))
    parts = [g.reshape(g.transpose(g.conv(y, 8), LAST), 1, -(-(y.shape[2] ** 2) * 2), 4) for y in (x, g.max_pool(x))]
    checked = check_pass(g.module(boxes=g.b.emit("concatenation", parts, axis=1)), MoveTransposes())
    assert count_transposes(checked.module) == 0
    assert not checked.module.output_layout


def test_channel_shuffle_folds_into_dense_convolutions(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.relu(g.conv(g.input("x", 1, 3, 8, 8), 12, groups=1))
    x = g.max_pool(g.depthwise(g.shuffle(x, 3)))
    checked = check_pass(g.module(y=g.conv(x, 4)), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "relu", "depthwise_conv_2d", "max_pool_2d", "conv_2d"]


def test_channel_shuffle_between_grouped_convolutions_is_a_gather(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.conv(g.input("x", 1, 6, 8, 8), 12, kernel=1, groups=3)
    x = g.conv(g.relu(g.shuffle(x, 3)), 6, kernel=1, groups=3)
    checked = check_pass(g.module(y=x), MoveTransposes())
    assert checked.opcodes.count("gather") == 1
    assert count_transposes(checked.module) == 0
    assert "reshape" not in checked.opcodes
    gather = checked.op("gather")
    assert gather.attributes["axis"] == 3
    assert gather.operand(1).array().tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]


def test_channel_shuffle_that_splits_off_a_half(check_pass: Check, nchw: Nchw) -> None:
    """ShuffleNetV2 as exported: [C/2, 2, HW] -> transpose -> [2, N, C/2, H, W] -> two gathers along the first axis."""
    g = nchw()
    x = g.conv(g.input("x", 1, 3, 6, 6), 8)
    y = g.transpose(g.reshape(x, 4, 2, 36), [1, 0, 2])
    y = g.reshape(y, 2, 1, 4, 6, 6)
    kept, rest = (g.b.emit("gather", [y, g.b.constant(np.array(i, np.int32))], axis=0) for i in (0, 1))
    x = g.b.emit("concatenation", [kept, g.conv(rest, 4)], axis=1)
    checked = check_pass(g.module(y=g.conv(x, 4)), MoveTransposes())
    assert count_transposes(checked.module) == 0


def test_scaled_dot_product_keeps_its_head_transposes(check_pass: Check, nchw: Nchw) -> None:
    """Splitting heads moves data, once for each; the swap of the keys' last two axes costs no transpose of its own."""
    g = nchw()
    x = g.input("x", 2, 8, 12)
    heads = [g.transpose(g.reshape(g.b.emit("mul", [x, g.noise(12)]), 2, 8, 3, 4), [0, 2, 1, 3]) for _ in range(3)]
    scores = g.b.emit("batch_matmul", [heads[0], g.transpose(heads[1], [0, 1, 3, 2])])
    y = g.b.emit("batch_matmul", [g.b.emit("softmax", [scores], beta=1.0), heads[2]])
    y = g.reshape(g.transpose(y, [0, 2, 1, 3]), 2, 8, 12)
    checked = check_pass(g.module(y=g.dense(y, 5)), MoveTransposes())
    assert count_transposes(checked.module) == 4
    assert not checked.module.input_layout


def test_a_swap_of_the_last_axes_goes_into_the_product(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    a, b = (g.b.emit("softmax", [g.input(name, 2, 5, 6)], beta=1.0) for name in "ab")
    right = g.b.emit("batch_matmul", [a, g.transpose(b, [0, 2, 1])])
    checked = check_pass(g.module(y=right), MoveTransposes())
    assert checked.op("batch_matmul").attributes["adj_y"]
    assert checked.opcodes == ["softmax", "softmax", "batch_matmul"]


def test_no_left_matrix_is_made_transposed(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    a, b = (g.b.emit("softmax", [g.input(name, 2, 5, 6)], beta=1.0) for name in "ab")
    checked = check_pass(g.module(y=g.b.emit("batch_matmul", [g.transpose(a, [0, 2, 1]), b])), MoveTransposes())
    assert not checked.changed


def test_stacked_branches_and_their_sum(check_pass: Check, nchw: Nchw) -> None:
    """A selective kernel: branches stacked along a new axis, weighted and summed; that axis stays in front."""
    g = nchw()
    x = g.input("x", 2, 3, 6, 5)
    branches = [g.b.emit("abs", [g.conv(x, 4)]) for _ in range(2)]
    stacked = g.b.emit("concatenation", [g.reshape(y, 2, 1, 4, 6, 5) for y in branches], axis=1)
    total = g.b.emit("sum", [g.b.emit("mul", [stacked, g.noise(2, 4, 1, 1)]), g.b.ints([1])])
    checked = check_pass(g.module(y=g.conv(total, 2)), MoveTransposes())
    assert count_transposes(checked.module) == 0


def test_sequences_of_rank_three(check_pass: Check, nchw: Nchw) -> None:
    """A 1-D convolution as the front end writes it: NCL -> NLC -> [N,1,L,C] and back."""
    g = nchw()
    x = g.input("x", 1, 3, 16)
    for _ in range(2):
        y = g.reshape(g.transpose(x, [0, 2, 1]), 1, 1, 16, x.shape[1])
        y = g.b.emit("conv_2d", [y, g.noise(4, 1, 3, x.shape[1]), g.noise(4)], padding="SAME", stride_h=1, stride_w=1)
        x = g.b.emit("add", [g.transpose(g.reshape(y, 1, 16, 4), [0, 2, 1]), g.noise(4, 1)])
    checked = check_pass(g.module(y=x), MoveTransposes())
    assert count_transposes(checked.module) == 0
    assert checked.module.input_layout == {"x": (0, 2, 1)}
    assert checked.opcodes == ["reshape", "conv_2d", "add", "conv_2d", "add", "reshape"]


def test_an_input_that_is_needed_both_ways(check_pass: Check, nchw: Nchw) -> None:
    """Neither side of a disagreement has the order that costs nothing: channels last, the shuffle in the weights."""
    g = nchw()
    x = g.input("x", 1, 4, 6, 6)
    y = g.b.emit("add", [g.conv(g.shuffle(x, 2), 4), g.conv(x, 4)])
    checked = check_pass(g.module(y=y), MoveTransposes())
    assert checked.opcodes == ["conv_2d", "conv_2d", "add"]


def test_volumes_of_rank_five(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.transpose(g.input("x", 1, 2, 4, 6, 6), [0, 2, 3, 4, 1])
    x = g.b.emit("conv_3d", [x, g.noise(3, 3, 3, 2, 4), g.noise(4)], padding="SAME", stride_d=1, stride_h=1, stride_w=1)
    checked = check_pass(g.module(y=g.relu(g.transpose(x, [0, 4, 1, 2, 3]))), MoveTransposes())
    assert checked.opcodes == ["conv_3d", "relu"]
    assert checked.module.input_layout == {"x": (0, 2, 3, 4, 1)}


def test_a_value_and_its_transpose_meet(check_pass: Check, nchw: Nchw) -> None:
    """No order suits both: one transpose of the cheaper kind stays."""
    g = nchw()
    x = g.relu(g.input("x", 6, 6))
    checked = check_pass(g.module(y=g.b.emit("add", [x, g.transpose(g.relu(x), [1, 0])])), MoveTransposes())
    assert count_transposes(checked.module) == 1


def test_a_transpose_moves_to_where_less_is_to_be_moved(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.b.emit("softmax", [g.input("x", 4, 6, 10)], beta=1.0)
    y = g.b.emit("reduce_max", [g.relu(g.transpose(x, [1, 0, 2])), g.b.ints([2])], keep_dims=False)
    checked = check_pass(g.module(y=g.b.emit("softmax", [y], beta=1.0)), MoveTransposes())
    assert checked.opcodes == ["softmax", "relu", "reduce_max", "transpose", "softmax"]


def test_a_dynamic_shape_is_left_alone(nchw: Nchw) -> None:
    text = """
    graph @main(%x: float32[1,3,4,4] signature [-1, 3, 4, 4]) {
      $last = constant int32[4] [0, 2, 3, 1]
      %t = transpose(%x, $last) : float32[1,4,4,3] signature [-1, 4, 4, 3]
      %r = relu(%t) : float32[1,4,4,3] signature [-1, 4, 4, 3]
      return %r
    }
    """
    module = parse_module(text, OP_DEFS)
    assert not MoveTransposes().run(module, PassContext()).changed


def test_int8_values_keep_their_scales(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    quant, weights = QuantParams.per_tensor(0.05, 3), QuantParams((0.01, 0.02, 0.03, 0.04), (0,) * 4, 0)
    y = g.input("x", 1, 4, 6, 6, dtype=DType.INT8, quant=quant)
    weight = g.b.constant(g.rng.integers(-127, 128, (4, 3, 3, 4)), DType.INT8, quant=weights)
    bias = g.b.constant(np.arange(4) * 9, DType.INT32,
                        quant=QuantParams(tuple(0.05 * s for s in weights.scale), (0,) * 4, 0))  # fmt: skip
    for _ in range(2):
        y = g.b.emit("conv_2d", [g.transpose(y, LAST), weight, bias], padding="SAME", stride_h=1, stride_w=1,
                     quant=quant)  # fmt: skip
        y = g.shuffle(g.transpose(y, [0, 3, 1, 2]), 2)
    y = g.b.emit("reshape", [y, g.b.ints([1, 144])], new_shape=(1, 144), quant=quant)
    table = g.b.constant(g.rng.integers(-127, 128, (5, 144)), DType.INT8, quant=QuantParams.per_tensor(0.02))
    y = g.b.emit("fully_connected", [y, table, None], quant=QuantParams.per_tensor(0.5, -1))
    checked = check_pass(g.module(y=y), MoveTransposes())
    assert count_transposes(checked.module) == 0
    assert "gather" not in checked.opcodes
    convs = [op for op in checked.module.main.ops if op.opcode == "conv_2d"]
    assert all(op.result.quant == quant for op in convs)
    assert any(op.operand(1).quant.scale == (0.01, 0.03, 0.02, 0.04) for op in convs) or any(
        not np.array_equal(op.operand(1).array(), weight.array()) for op in convs
    )


def test_dequantized_weights_are_permuted_with_their_scales(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    scales = QuantParams((0.01, 0.02, 0.03, 0.04), (0,) * 4, 0)
    oihw = g.b.constant(g.rng.integers(-127, 128, (4, 3, 3, 3)), DType.INT8, quant=scales)
    weight = g.transpose(g.b.emit("dequantize", [oihw]), [0, 2, 3, 1])
    y = g.b.emit("conv_2d", [g.transpose(g.input("x", 1, 3, 6, 6), LAST), weight, g.noise(4)], padding="SAME",
                 stride_h=1, stride_w=1)  # fmt: skip
    checked = check_pass(g.module(y=g.transpose(y, [0, 3, 1, 2])), MoveTransposes())
    assert checked.opcodes == ["dequantize", "conv_2d"]
    assert checked.op("dequantize").operand(0).shape == (4, 3, 3, 3)
    assert checked.op("dequantize").operand(0).quant == scales


def test_two_outputs_of_one_tensor_keep_their_names(check_pass: Check, nchw: Nchw) -> None:
    g = nchw()
    x = g.relu(g.input("x", 2, 3, 4))
    checked = check_pass(g.module(a=g.transpose(g.transpose(x, [2, 0, 1]), [1, 2, 0]), b=x), MoveTransposes())
    assert count_transposes(checked.module) == 0


def test_other_graphs_keep_their_borders(nchw: Nchw) -> None:
    g, inner = nchw(), nchw()
    module: Module = g.module(y=g.relu(g.input("x", 1, 3, 4, 4)))
    module.graphs.append(inner.module(z=inner.conv(inner.relu(inner.conv(inner.input("w", 1, 3, 4, 4), 3)), 3)).main)
    assert MoveTransposes().run(module, PassContext()).changed
    assert count_transposes(module) == 2
    assert module.graphs[1].inputs[0].shape == (1, 3, 4, 4)
    assert not module.input_layout
