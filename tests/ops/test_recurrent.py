"""Shapes, MACs and refusals of recurrent layers, worked out by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import Role
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS

Make = Callable[..., Op]
Refusal = Callable[..., str]


def zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


def state(*shape: int) -> Value:
    return Value("state", TensorType(shape, DType.FLOAT32), is_variable=True)


def lstm(inputs: int, cells: int, batch: int, outputs: int | None = None) -> list[Any]:
    """Operands 1 to 19; with `outputs`, a projection."""
    out = outputs or cells
    gates = [zeros(cells, inputs) for _ in range(4)] + [zeros(cells, out) for _ in range(4)]
    biases = [zeros(cells) for _ in range(4)]
    projection = zeros(out, cells) if outputs else None
    return [*gates, None, None, None, *biases, projection, None, state(batch, out), state(batch, cells)]


def test_lstm_operands_stand_where_the_kernel_reads_them() -> None:
    names = [operand.name for operand in OP_DEFS["unidirectional_sequence_lstm"].operands]
    assert len(names) == 24
    assert [names[i] for i in (0, 2, 5, 9, 12, 16, 18, 19, 20)] == [
        "input", "input_to_forget", "recurrent_to_input", "cell_to_input", "input_bias", "projection", "output_state",
        "cell_state", "input_layer_norm",
    ]  # fmt: skip
    bidirectional = OP_DEFS["bidirectional_sequence_lstm"].operands
    assert len(bidirectional) == 48
    assert [i for i, operand in enumerate(bidirectional) if operand.role is Role.STATE] == [35, 36, 37, 38]


def test_lstm_shapes_and_macs(make: Make) -> None:
    op = make("unidirectional_sequence_lstm", (2, 7, 3), *lstm(3, 5, 2))
    assert op.result.shape == (2, 7, 5)
    assert OP_DEFS[op.opcode].macs(op) == 14 * (4 * 5 * 3 + 4 * 5 * 5 + 3 * 5)
    projected = make("unidirectional_sequence_lstm", (7, 2, 3), *lstm(3, 5, 2, outputs=4), time_major=True)
    assert projected.result.shape == (7, 2, 4)
    assert OP_DEFS[op.opcode].macs(projected) == 14 * (4 * 5 * 3 + 4 * 5 * 4 + 4 * 5 + 3 * 5)


def test_basic_lstm_has_four_results(make: Make) -> None:
    op = make("lstm", (2, 3), zeros(2, 5), zeros(20, 8), zeros(20), zeros(2, 5), kernel_type="BASIC")
    assert [r.shape for r in op.results] == [(2, 5), (2, 5), (2, 8), (2, 20)]
    assert OP_DEFS["lstm"].macs(op) == 2 * (20 * 8 + 15)


def test_svdf(make: Make) -> None:
    op = make("svdf", (2, 3), zeros(8, 3), zeros(8, 6), zeros(4), state(2, 48), rank=2)
    assert op.result.shape == (2, 4)
    assert OP_DEFS["svdf"].macs(op) == 2 * (8 * 3 + 8 * 6)


def test_bidirectional_results_are_merged_or_two(make: Make) -> None:
    way = (zeros(5, 3), zeros(5, 5), zeros(5), state(2, 5))
    other = (zeros(6, 3), zeros(6, 6), zeros(6), state(2, 6))
    absent = (None, None, None)
    merged = make("bidirectional_sequence_rnn", (2, 4, 3), *way, *other, *absent, merge_outputs=True)
    assert [r.shape for r in merged.results] == [(2, 4, 11)]
    two = make("bidirectional_sequence_rnn", (2, 4, 3), *way, *other, *absent)
    assert [r.shape for r in two.results] == [(2, 4, 5), (2, 4, 6)]
    assert OP_DEFS[two.opcode].macs(two) == 8 * (15 + 25 + 18 + 36)


def test_refusals(refusal: Refusal) -> None:
    sequence = "unidirectional_sequence_lstm"
    assert refusal(sequence, (2, 7, 4), *lstm(3, 5, 2)) == "4 inputs do not fit weights [5, 3]"
    assert refusal(sequence, (3, 7, 3), *lstm(3, 5, 2)) == "state 'state' has shape [2, 5], must be [3, 5]"
    assert refusal(sequence, (2, 7, 3)) == "operand 'input_to_forget' is missing"
    wrong = lstm(3, 5, 2)
    wrong[5] = zeros(5, 4)
    assert refusal(sequence, (2, 7, 3), *wrong) == "recurrent weights [5, 4] must be [5, 5]"
    svdf = ((2, 3), zeros(8, 3), zeros(8, 6), None)
    assert refusal("svdf", *svdf, state(2, 48), rank=3) == "rank 3 does not divide 8 filters"
    assert refusal("svdf", *svdf, state(2, 48)) == "rank 0 does not divide 8 filters"
    assert refusal("svdf", *svdf, state(2, 40), rank=2) == "state 'state' has 80 elements, must have 96"
    assert refusal("rnn", (2, 3), zeros(5, 3), zeros(5, 4), zeros(5), state(2, 5)) == (
        "weights, recurrent weights and bias of [5, 3], [5, 4] and [5] do not fit 3 inputs"
    )
