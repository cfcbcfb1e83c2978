from typing import Any

import numpy as np
import pytest

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
