"""Recurrent layers with their state; operand orders are those of TFLite's kernels."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.infer import derived, require_rank
from edgec.ops.version import Version

X = Operand("input")
INT8, INT16, FLOAT32 = DType.INT8, DType.INT16, DType.FLOAT32


def _weights(*names: str, optional: bool = False) -> tuple[Operand, ...]:
    return tuple(Operand(name, Role.WEIGHT, optional=optional) for name in names)


def _biases(*names: str, optional: bool = False) -> tuple[Operand, ...]:
    return tuple(Operand(name, Role.BIAS, optional=optional) for name in names)


def _states(*names: str, optional: bool = False) -> tuple[Operand, ...]:
    return tuple(Operand(name, Role.STATE, optional=optional) for name in names)


def _cell(prefix: str = "") -> tuple[Operand, ...]:
    """The 17 trained operands of one LSTM direction; those of the input gate are absent where it is coupled."""
    return (
        *_weights(f"{prefix}input_to_input", optional=True),
        *_weights(*(f"{prefix}input_to_{gate}" for gate in ("forget", "cell", "output"))),
        *_weights(f"{prefix}recurrent_to_input", optional=True),
        *_weights(*(f"{prefix}recurrent_to_{gate}" for gate in ("forget", "cell", "output")), optional=True),
        *_weights(*(f"{prefix}cell_to_{gate}" for gate in ("input", "forget", "output")), optional=True),
        *_biases(*(f"{prefix}{gate}_bias" for gate in ("input", "forget", "cell", "output")), optional=True),
        *_weights(f"{prefix}projection", optional=True),
        *_biases(f"{prefix}projection_bias", optional=True),
    )


_LAYER_NORM = _weights(*(f"{gate}_layer_norm" for gate in ("input", "forget", "cell", "output")), optional=True)
_LSTM = (X, *_cell(), *_states("output_state", "cell_state", optional=True), *_LAYER_NORM)
_WAYS, _GATE_NAMES = ("forward", "backward"), ("input", "forget", "cell", "output")
_BIDIRECTIONAL_LSTM = (
    X,
    *_cell("forward_"),
    *_cell("backward_"),
    *_states(*(f"{way}_{state}_state" for way in _WAYS for state in ("output", "cell"))),
    Operand("auxiliary_input", optional=True),
    *_weights(*(f"{way}_auxiliary_to_{gate}" for way in _WAYS for gate in _GATE_NAMES), optional=True),
)
_GATES = 4
_STATE_OPERANDS = (18, 19)


def _lstm_units(op: Op, x: Value, first: int) -> tuple[int, int]:
    """(cells, outputs) of the direction whose trained operands start at `first`; refuses weights that do not fit."""
    forget = op.operand(first + 1)
    require_rank(forget, 2)
    cells, inputs = forget.shape
    if x.shape[-1] != inputs:
        raise ValueError(f"{x.shape[-1]} inputs do not fit weights {list(forget.shape)}")
    for index in (first, first + 2, first + 3):
        other = op.optional_operand(index)
        if other is not None and other.shape != forget.shape:
            raise ValueError(f"gate weights differ: {list(forget.shape)} and {list(other.shape)}")
    projection = op.optional_operand(first + 15)
    if projection is None:
        outputs = cells
    else:
        require_rank(projection, 2)
        outputs = projection.shape[0]
        if projection.shape[1] != cells:
            raise ValueError(f"{cells} cells do not fit projection {list(projection.shape)}")
    recurrent = op.operand(first + 5)
    if recurrent.shape not in ((cells, outputs), (cells,)):  # rank 1: diagonal
        raise ValueError(f"recurrent weights {list(recurrent.shape)} must be [{cells}, {outputs}]")
    for index in range(first + 11, first + 15):
        bias = op.optional_operand(index)
        if bias is not None and bias.type.elements != cells:
            raise ValueError(f"bias '{bias.name}' has {bias.type.elements} elements for {cells} cells")
    return cells, outputs


def _infer_sequence_lstm(op: Op) -> list[TensorType]:
    x = op.operand(0)
    require_rank(x, 3)
    cells, outputs = _lstm_units(op, x, 1)
    batch = x.shape[1 if op.attributes["time_major"] else 0]
    for index, size in zip(_STATE_OPERANDS, (outputs, cells)):
        state = op.operand(index)
        if state.type.elements != batch * size and not x.type.is_dynamic:
            raise ValueError(f"state '{state.name}' has shape {list(state.shape)}, must be [{batch}, {size}]")
    return [derived(x, (*x.shape[:2], outputs), (0, 1, None))]


def _infer_lstm(op: Op) -> list[TensorType]:
    if op.attributes["kernel_type"] == "BASIC":
        return _infer_basic_lstm(op)
    x = op.operand(0)
    require_rank(x, 2)
    _, outputs = _lstm_units(op, x, 1)
    for index in _STATE_OPERANDS:
        op.operand(index)
    return [derived(x, (x.shape[0], outputs), (0, None))]


def _infer_basic_lstm(op: Op) -> list[TensorType]:
    """BASIC: input, previous activation, weights, biases, previous state; four results, two of them scratch."""
    x, activation, weights, state = op.operand(0), op.operand(1), op.operand(2), op.operand(4)
    for value in (x, activation, weights, state):
        require_rank(value, 2)
    batch, inputs = x.shape
    outputs = activation.shape[1]
    if weights.shape != (_GATES * outputs, inputs + outputs) or state.shape != (batch, outputs):
        raise ValueError(f"weights {list(weights.shape)} and state {list(state.shape)} do not fit {inputs} inputs")
    return [
        TensorType((batch, outputs), x.dtype),
        TensorType((batch, outputs), state.dtype),
        TensorType((batch, inputs + outputs), x.dtype),
        TensorType((batch, _GATES * outputs), state.dtype),
    ]


def _infer_bidirectional_lstm(op: Op) -> list[TensorType]:
    x = op.operand(0)
    require_rank(x, 3)
    forward = _lstm_units(op, x, 1)[1]
    # Without weights for it, the auxiliary input is what the backward cell reads.
    crossed = op.optional_operand(39) if op.optional_operand(41) is None else None
    backward = _lstm_units(op, crossed or x, 18)[1]
    return _merged(op, x, forward, backward)


def _merged(op: Op, x: Value, forward: int, backward: int) -> list[TensorType]:
    sources = (0, 1, None)
    if op.attributes["merge_outputs"]:
        return [derived(x, (*x.shape[:2], forward + backward), sources)]
    return [derived(x, (*x.shape[:2], units), sources) for units in (forward, backward)]


def _rnn_units(op: Op, x: Value, first: int) -> int:
    weights, recurrent, bias = op.operand(first), op.operand(first + 1), op.operand(first + 2)
    require_rank(weights, 2)
    units, inputs = weights.shape
    if x.shape[-1] != inputs or recurrent.shape != (units, units) or bias.type.elements != units:
        shapes = f"{list(weights.shape)}, {list(recurrent.shape)} and {list(bias.shape)}"
        raise ValueError(f"weights, recurrent weights and bias of {shapes} do not fit {x.shape[-1]} inputs")
    return units


def _infer_rnn(op: Op) -> list[TensorType]:
    x = op.operand(0)
    require_rank(x, 2)
    return [derived(x, (x.shape[0], _rnn_units(op, x, 1)), (0, None))]


def _infer_sequence_rnn(op: Op) -> list[TensorType]:
    x = op.operand(0)
    require_rank(x, 3)
    return [derived(x, (*x.shape[:2], _rnn_units(op, x, 1)), (0, 1, None))]


def _infer_bidirectional_rnn(op: Op) -> list[TensorType]:
    x = op.operand(0)
    require_rank(x, 3)
    crossed = op.optional_operand(9) if op.optional_operand(10) is None else None
    return _merged(op, x, _rnn_units(op, x, 1), _rnn_units(op, crossed or x, 5))


def _infer_svdf(op: Op) -> list[TensorType]:
    x, feature, time, state = op.operand(0), op.operand(1), op.operand(2), op.operand(4)
    for value in (x, feature, time):
        require_rank(value, 2)
    rank, filters, memory = int(op.attributes["rank"]), feature.shape[0], time.shape[1]
    if rank < 1 or filters % rank:
        raise ValueError(f"rank {rank} does not divide {filters} filters")
    if x.shape[1] != feature.shape[1] or time.shape[0] != filters:
        raise ValueError(f"weights {list(feature.shape)} and {list(time.shape)} do not fit {x.shape[1]} inputs")
    if state.type.elements != x.shape[0] * filters * memory and not x.type.is_dynamic:
        raise ValueError(f"state '{state.name}' has {state.type.elements} elements, must have "
                         f"{x.shape[0] * filters * memory}")  # fmt: skip
    return [derived(x, (x.shape[0], filters // rank), (0, None))]


def _steps(op: Op) -> int:
    """Batch entries times time steps: how often each weight of a recurrent layer is used."""
    x = op.operand(0)
    return x.type.elements // max(x.shape[-1], 1)


def _weight_macs(op: Op, indices: range) -> int:
    present = (op.optional_operand(i) for i in indices)
    return _steps(op) * sum(value.type.elements for value in present if value is not None)


def _lstm_macs(op: Op) -> int:
    """Each weight once a step, and three products an element of the cell state for the gates."""
    if op.attributes.get("kernel_type") == "BASIC":
        return op.operand(0).shape[0] * (op.operand(2).type.elements + 3 * op.operand(4).shape[1])
    gates = 3 * op.operand(2).shape[0] * _steps(op)
    return _weight_macs(op, range(1, 12)) + _weight_macs(op, range(16, 17)) + gates


def _bidirectional_lstm_macs(op: Op) -> int:
    cells = op.operand(2).shape[0] + op.operand(19).shape[0]
    indices = (range(1, 12), range(16, 17), range(18, 29), range(33, 34), range(40, 48))
    return sum(_weight_macs(op, part) for part in indices) + 3 * cells * _steps(op)


def _rnn_macs(op: Op) -> int:
    return _weight_macs(op, range(1, 3))


def _bidirectional_rnn_macs(op: Op) -> int:
    return sum(_weight_macs(op, part) for part in (range(1, 3), range(5, 7), range(10, 12)))


def _svdf_macs(op: Op) -> int:
    return _weight_macs(op, range(1, 3))


def _hybrid(plain: int, symmetric: int, asymmetric: int, weight: int = 1) -> Version:
    """Versions of float kernels with int8 weights."""

    def version(op: Op) -> int:
        if op.operand(0).dtype is not FLOAT32 or op.operand(weight).dtype is not INT8:
            return plain
        return asymmetric if op.attributes["asymmetric_quantize_inputs"] else symmetric

    return version


def _sequence_lstm_version(op: Op) -> int:
    """1 float and int8, 2 hybrid, 3 hybrid with asymmetric inputs, 4 diagonal recurrent weights."""
    # TFLite's registry gives 5 to int16 activations; no LiteRT kernel answers to it, and TFLM reads no versions.
    return 4 if op.attributes["diagonal_recurrent_tensors"] else _hybrid(1, 2, 3, weight=2)(op)


def _lstm_version(op: Op) -> int:
    """1 float, 2 basic, 3 hybrid, 4 hybrid with asymmetric inputs."""
    return 2 if op.attributes["kernel_type"] == "BASIC" else _hybrid(1, 3, 4, weight=2)(op)


def _svdf_version(op: Op) -> int:
    """1 float, 2 hybrid, 3 int8, 4 hybrid with asymmetric inputs."""
    return 3 if op.operand(0).dtype is INT8 else _hybrid(1, 2, 4)(op)


_SEQUENCE_RNN = (X, *_weights("weights", "recurrent_weights"), *_biases("bias"), *_states("state"))
_BIDIRECTIONAL_RNN = (
    X,
    *_weights("forward_weights", "forward_recurrent_weights"),
    *_biases("forward_bias"),
    *_states("forward_state"),
    *_weights("backward_weights", "backward_recurrent_weights"),
    *_biases("backward_bias"),
    *_states("backward_state"),
    Operand("auxiliary_input", optional=True),
    *_weights("forward_auxiliary_weights", "backward_auxiliary_weights", optional=True),
)
_LSTM_QUANT = QuantRule(
    (INT8, INT16),
    note="the cell state is int16 with a power-of-two scale, the output state int8; quantized layers keep five "
    "intermediate tensors; int16 activations run in TFLM only",
)
_HYBRID_ONLY = QuantRule(note="only weights can be int8, beside float activations")

OPS = (
    OpDef("unidirectional_sequence_lstm", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UnidirectionalSequenceLSTMOptions", _LSTM,
          _infer_sequence_lstm, macs=_lstm_macs, quant=_LSTM_QUANT, version=_sequence_lstm_version),
    OpDef("lstm", "LSTM", "LSTMOptions", _LSTM, _infer_lstm, results=None, macs=_lstm_macs, quant=_LSTM_QUANT,
          version=_lstm_version),
    OpDef("bidirectional_sequence_lstm", "BIDIRECTIONAL_SEQUENCE_LSTM", "BidirectionalSequenceLSTMOptions",
          _BIDIRECTIONAL_LSTM, _infer_bidirectional_lstm, results=None, macs=_bidirectional_lstm_macs,
          quant=_HYBRID_ONLY, version=_hybrid(1, 2, 3)),
    OpDef("rnn", "RNN", "RNNOptions", _SEQUENCE_RNN, _infer_rnn, macs=_rnn_macs, quant=_HYBRID_ONLY,
          version=_hybrid(1, 2, 3)),
    OpDef("unidirectional_sequence_rnn", "UNIDIRECTIONAL_SEQUENCE_RNN", "SequenceRNNOptions", _SEQUENCE_RNN,
          _infer_sequence_rnn, macs=_rnn_macs, quant=_HYBRID_ONLY, version=_hybrid(1, 2, 3)),
    OpDef("bidirectional_sequence_rnn", "BIDIRECTIONAL_SEQUENCE_RNN", "BidirectionalSequenceRNNOptions",
          _BIDIRECTIONAL_RNN, _infer_bidirectional_rnn, results=None, macs=_bidirectional_rnn_macs,
          quant=_HYBRID_ONLY, version=_hybrid(1, 2, 3)),
    OpDef("svdf", "SVDF", "SVDFOptions",
          (X, *_weights("feature_weights", "time_weights"), *_biases("bias", optional=True), *_states("state")),
          _infer_svdf, macs=_svdf_macs,
          quant=QuantRule((INT8,), note="time weights and state are int16 (int8 in newer TFLM models)"),
          version=_svdf_version),
)  # fmt: skip
