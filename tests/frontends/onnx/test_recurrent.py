import time
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgec.backends.tflite import serialize
from edgec.frontends.onnx import read_onnx
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tflm import TFLMSession

Array = np.ndarray
RNG = np.random.default_rng(0)
STEPS, BATCH, INPUTS, HIDDEN = 4, 3, 5, 6
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def real(*shape: int) -> Array:
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


def operands(kind: str, directions: int, *, lengths: Array | None = None) -> list[Array | None]:
    rows = GATES[kind] * HIDDEN
    found: list[Array | None] = [
        real(STEPS, BATCH, INPUTS), real(directions, rows, INPUTS), real(directions, rows, HIDDEN),
        real(directions, 2 * rows), lengths, real(directions, BATCH, HIDDEN),
    ]  # fmt: skip
    return [*found, real(directions, BATCH, HIDDEN)] if kind == "LSTM" else found


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("constants", [(), (1, 2, 3)])
def test_directions(compare: Any, kind: str, direction: str, constants: tuple[int, ...]) -> None:
    inputs = operands(kind, 2 if direction == "bidirectional" else 1)
    outputs = 3 if kind == "LSTM" else 2
    compare.check_node(
        kind, inputs, constants=constants, outputs=outputs, opset=14, direction=direction, hidden_size=HIDDEN
    )


WITHOUT_STATES = (0, 1, 2, 3)


def plain_lstm(
    compare: Any,
    direction: str = "forward",
    *,
    steps: int = STEPS,
    batch: int = BATCH,
    outputs: tuple[str, ...] = (),
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """An LSTM that starts from zero states; batch first where `layout` says so."""
    directions = 2 if direction == "bidirectional" else 1
    inputs = [real(steps, batch, INPUTS), *operands("LSTM", directions)[1:4]]
    if attributes.get("layout"):
        inputs[0] = real(batch, steps, INPUTS)
    model, feeds = compare.node_model(
        "LSTM", inputs, constants=(1, 2, 3), outputs=outputs or ("y", "h"), opset=14, direction=direction,
        hidden_size=HIDDEN, **attributes,
    )  # fmt: skip
    return model, feeds


def opcodes(module: Any) -> list[str]:
    return [op.opcode for graph in module.graphs for op in graph.ops]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_plain_lstm_is_one_op_a_direction(compare: Any, direction: str, batch: int) -> None:
    model, feeds = plain_lstm(compare, direction, batch=batch)
    module = compare.check_onnx(model, feeds)
    assert opcodes(module).count("unidirectional_sequence_lstm") == (2 if direction == "bidirectional" else 1)
    assert len(opcodes(module)) <= 30


def test_a_fused_lstm_starts_anew_each_time(compare: Any) -> None:
    # Whatever the invocation before left in the states: large values, infinities, NaN.
    model, feeds = plain_lstm(compare)
    expected = compare.expected_outputs(model, feeds)
    session = LiteRTSession(serialize(read_onnx(model.SerializeToString())))
    first = session.run(list(feeds.values()))
    for got, wanted in zip(first, expected):
        compare.assert_close("y", got, wanted)
    for factor in (-1, 1e6, np.inf, np.nan):
        with np.errstate(invalid="ignore"):
            session.run([x * np.float32(factor) for x in feeds.values()])
        for got, wanted in zip(session.run(list(feeds.values())), first):
            np.testing.assert_array_equal(got, wanted)


def test_a_fused_lstm_of_large_weights_and_biases_starts_anew(compare: Any) -> None:
    inputs = [real(STEPS, BATCH, INPUTS), *(20 * a for a in operands("LSTM", 1)[1:4] if a is not None)]
    model, feeds = compare.node_model("LSTM", inputs, constants=(1, 2, 3), outputs=("y",), opset=14, hidden_size=HIDDEN)
    assert "unidirectional_sequence_lstm" in opcodes(compare.check_onnx(model, feeds))


def test_only_a_sequence_that_may_hold_nan_is_guarded(compare: Any) -> None:
    # Rows of a stored table and the outputs of another LSTM are finite whatever is fed; a table with NaN is not.
    for hole, guards in ((1.0, 0), (np.nan, 1)):
        table = real(7, INPUTS)
        table[0, 0] *= hole
        more = operands("LSTM", 1)[1:4]
        second = [real(1, 4 * HIDDEN, HIDDEN), *more[1:]]
        constants: dict[str, Any] = {"table": table, "axis": np.array([1])}
        constants |= {f"a{i}": a for i, a in enumerate(more)} | {f"b{i}": a for i, a in enumerate(second)}
        nodes = [
            helper.make_node("Gather", ["table", "x"], ["rows"]),
            helper.make_node("LSTM", ["rows", "a0", "a1", "a2"], ["h"], hidden_size=HIDDEN),
            helper.make_node("Squeeze", ["h", "axis"], ["flat"]),
            helper.make_node("LSTM", ["flat", "b0", "b1", "b2"], ["y"], hidden_size=HIDDEN),
        ]
        feeds = {"x": np.array([[1, 2], [3, 6], [5, 5]])}
        module = compare.check_onnx(compare.nodes_model(nodes, feeds, ["y"], constants=constants), feeds)
        assert opcodes(module).count("unidirectional_sequence_lstm") == 2
        assert opcodes(module).count("select_v2") == guards


def test_a_fused_lstm_in_tflm(compare: Any) -> None:
    pytest.importorskip("tflite_micro")
    model, feeds = plain_lstm(compare)
    session = TFLMSession(serialize(read_onnx(model.SerializeToString())), 1 << 20)
    expected = compare.expected_outputs(model, feeds)
    for _ in range(2):
        for got, wanted in zip(session.run(list(feeds.values())), expected):
            compare.assert_close("y", got, wanted, 1e-4, 1e-4)


def test_the_last_cell_state_keeps_an_lstm_from_being_one_op(compare: Any) -> None:
    model, feeds = plain_lstm(compare, outputs=("y", "h", "c"))
    assert "unidirectional_sequence_lstm" not in opcodes(compare.check_onnx(model, feeds))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_many_steps_are_a_while(compare: Any, kind: str, direction: str, with_lengths: bool) -> None:
    steps = 700
    directions = 2 if direction == "bidirectional" else 1
    inputs = operands(kind, directions)
    inputs[0] = real(steps, BATCH, INPUTS)
    inputs[4] = np.array([700, 1, 333], np.int32) if with_lengths else None
    outputs = 3 if kind == "LSTM" else 2
    module = compare.check_node(
        kind, inputs, constants=(1, 2, 3), outputs=outputs, opset=14, direction=direction, hidden_size=HIDDEN,
        rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert opcodes(module).count("while") == directions
    assert len(opcodes(module)) < 700  # of some 8,000 written out


@pytest.mark.parametrize("kind", GATES)
def test_all_steps_are_written_out_where_nothing_else_runs(compare: Any, kind: str) -> None:
    inputs = [real(300, BATCH, INPUTS), *operands(kind, 1)[1:4]]
    model, feeds = compare.node_model(kind, inputs, constants=(1, 2, 3), opset=14, hidden_size=HIDDEN)
    module = compare.check_onnx(model, feeds, unroll=True, rtol=1e-4, atol=1e-4)
    assert len(module.graphs) == 1
    assert not {"while", "unidirectional_sequence_lstm"} & set(opcodes(module))


def test_200_steps_are_read_quickly(compare: Any) -> None:
    model, _ = plain_lstm(compare, steps=200, outputs=("y", "h", "c"))
    start = time.perf_counter()
    read_onnx(model.SerializeToString())
    assert time.perf_counter() - start < 5  # 0.1 s on the machine this was written on; unrolled it took seconds


@pytest.mark.parametrize("kind", GATES)
def test_lengths(compare: Any, kind: str) -> None:
    inputs = operands(kind, 1, lengths=np.array([4, 1, 3], np.int32))
    outputs = 3 if kind == "LSTM" else 2
    compare.check_node(kind, inputs, constants=(1, 2, 3), outputs=outputs, opset=14, hidden_size=HIDDEN)


def test_peepholes_and_clip(compare: Any) -> None:
    inputs = [*operands("LSTM", 1), real(1, 3 * HIDDEN)]
    compare.check_node("LSTM", inputs, constants=(1, 2, 3, 7), outputs=3, opset=14, hidden_size=HIDDEN, clip=0.4)


def test_gru_that_resets_after_the_product(compare: Any) -> None:
    more = {"outputs": 2, "opset": 14, "hidden_size": HIDDEN, "linear_before_reset": 1}
    compare.check_node("GRU", operands("GRU", 1), constants=(1, 2, 3), **more)


def test_refusals(compare: Any) -> None:
    reason = compare.refusal("RNN", operands("RNN", 1), opset=14, hidden_size=HIDDEN, activations=["Affine"])
    assert reason == "the activation 'Affine' is not supported"


def test_a_state_of_another_size_is_refused(compare: Any) -> None:
    inputs = operands("LSTM", 1)
    inputs[6] = real(1, BATCH, HIDDEN + 2)  # as torch exports an LSTM with `proj_size`, which ONNX has not
    message = compare.refusal("LSTM", inputs, outputs=3, opset=14, hidden_size=HIDDEN)
    assert f"has the shape [1, {BATCH}, {HIDDEN + 2}] where [1, {BATCH}, {HIDDEN}] is needed" in message
