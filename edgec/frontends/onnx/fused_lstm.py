"""An LSTM over a sequence as TFLite's one op, started anew on every invocation.

The op keeps its states in variable tensors from one invocation to the next, and TFLite's format lets no other op write
these; LiteRT's kernel never clears them, some of CMSIS-NN do. An ONNX LSTM starts from zero each time. So a step is put
in front of the sequence that clears the states whatever they held: one more input feature, 0 in every real step, is
large there, and its weights close the input, the forget and the output gate. Then c = 0 * c + 0 * g = 0, h = 0 *
tanh(c) = 0, exactly, because the sigmoid of a very negative number is 0 in float32. The output of that step is cut off.

Only a state of NaN would survive that (0 * NaN), so what could bring it about is kept out: where the sequence is not
known to be finite, entries that are NaN, infinite or beyond 1e30 count as 0.
"""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.translation import Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ir.types import TensorType

ORDER = (0, 2, 3, 1)  # TFLite's input, forget, cell, output among ONNX's input, output, forget, cell
CLOSED_GATES = (0, 1, 3)  # among TFLite's
LARGEST = 1e30  # of an entry: products with weights up to 1e8 in sum stay finite
KEEP_FINITE = frozenset(  # ops whose results are finite and ordinary where their operands are
    """
    cast concatenation expand_dims gather logistic pack pad relu6 reshape reverse_v2 slice softmax split squeeze
    strided_slice tanh transpose unpack
    """.split()  # noqa: SIM905 -- a list of words reads better than of quoted words
)
MAX_LOOK = 200  # values looked at above the sequence
CLOSED = 128.0  # sigmoid(-128) = 2.6e-56, which is 0 in float32


def fits_one_op(weight: Value, recurrence: Value, bias: Value | None) -> bool:
    """True where the weights are constant, in float32 and finite, and the closing input stays ordinary."""
    values = [v for v in (weight, recurrence, bias) if v is not None]
    if any(v.data is None or v.dtype is not DType.FLOAT32 or not np.isfinite(v.data).all() for v in values):
        return False
    return _closing_input(weight.array(), recurrence.array(), _bias(weight, bias)) < CLOSED * 1e4


def _bias(weight: Value, bias: Value | None) -> np.ndarray:
    """The sum of both biases, [4 * hidden]."""
    if bias is None:
        return np.zeros(weight.shape[0], np.float32)
    summed: np.ndarray = bias.array().reshape(2, -1).sum(0)
    return summed


def _closing_input(weight: np.ndarray, recurrence: np.ndarray, bias: np.ndarray) -> float:
    """The value of the extra feature that outweighs the bias and the past output (at most 1) in every gate."""
    against = np.abs(bias).max() + np.abs(recurrence).sum(1).max()
    return float((CLOSED + against) / _closing_weights(weight).min())


def _closing_weights(weight: np.ndarray) -> np.ndarray:
    """One weight a gate, as large as the gate's largest, so that storing them in 8 bits costs nothing."""
    largest = np.abs(weight.reshape(4, -1)).max(1)
    return np.where(largest > 0, largest, 1).astype(np.float32)


def fused_lstm(
    context: Translation, x: Value, weight: Value, recurrence: Value, bias: Value | None, *, backwards: bool
) -> Value:
    """The outputs [steps, batch, hidden] of an LSTM from zero states over x [steps, batch, inputs].

    `weight` [4 * hidden, inputs], `recurrence` [4 * hidden, hidden] and `bias` [8 * hidden] are constants in ONNX's
    order of gates; see `fits_one_op`.
    """
    steps, batch, inputs = x.shape
    hidden = recurrence.shape[1]
    if not _is_finite(x):
        ordinary = context.emit("less", [context.emit("abs", [x]), context.like(x, LARGEST)])
        x = context.emit("select_v2", [ordinary, x, context.like(x, 0)])
    if backwards:
        x = context.emit("reverse_v2", [x, context.ints([0])])
    summed = _bias(weight, bias)
    row = np.zeros((1, batch, inputs + 1), np.float32)
    row[..., inputs] = _closing_input(weight.array(), recurrence.array(), summed)
    widened = context.emit("pad", [x, context.constant(np.array([[0, 0], [0, 0], [0, 1]], np.int32))])
    started = context.emit("concatenation", [context.constant(row), widened], axis=0)
    operands = [started, *_gate_weights(context, weight.array(), recurrence.array(), summed)]
    states = [_state(context.graph.fresh_name(name), batch, hidden) for name in ("output_state", "cell_state")]
    outputs = context.emit(
        "unidirectional_sequence_lstm", [*operands, *states, *[None] * 4], time_major=True,
        fused_activation_function="TANH",
    )  # fmt: skip
    outputs = context.emit("slice", [outputs, context.ints([1, 0, 0]), context.ints([steps, batch, hidden])])
    return context.emit("reverse_v2", [outputs, context.ints([0])]) if backwards else outputs


def _is_finite(x: Value) -> bool:
    """True where `x` is finite whatever the model is fed: rows of a stored table, what another LSTM gives."""
    seen, pending = {x}, [x]
    while pending:
        value = pending.pop()
        if value.data is not None and not value.dtype.is_integer and not (np.abs(value.data) < LARGEST).all():
            return False
        op = value.producer
        if value.data is not None or value.dtype.is_integer or (op and op.opcode == "unidirectional_sequence_lstm"):
            continue
        if op is None or len(seen) > MAX_LOOK or op.opcode not in KEEP_FINITE:
            return False
        new = [v for v in op.operands if v is not None and v not in seen]
        seen.update(new)
        pending += new
    return True


def _gate_weights(
    context: Translation, weight: np.ndarray, recurrence: np.ndarray, bias: np.ndarray
) -> list[Value | None]:
    """The op's trained operands: weights, recurrent weights, no peepholes, biases, no projection."""
    closing = _closing_weights(weight)
    gates = []
    for own in (weight.reshape(4, -1, weight.shape[1])[gate] for gate in ORDER):
        gates.append(np.concatenate([own, np.zeros((len(own), 1), np.float32)], axis=1))
    for place in CLOSED_GATES:
        gates[place][:, -1] = -closing[ORDER[place]]
    past = recurrence.reshape(4, -1, recurrence.shape[1])
    biases = bias.reshape(4, -1)
    return [
        *(context.constant(gate) for gate in gates),
        *(context.constant(np.ascontiguousarray(past[gate])) for gate in ORDER),
        *[None] * 3,
        *(context.constant(np.ascontiguousarray(biases[gate])) for gate in ORDER),
        None, None,
    ]  # fmt: skip


def _state(name: str, batch: int, hidden: int) -> Value:
    return Value(name, TensorType((batch, hidden), DType.FLOAT32), is_variable=True)
