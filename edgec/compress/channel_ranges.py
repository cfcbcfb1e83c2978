"""What can be said of every channel without running the model: its range, and whether it depends on the input at all.

Ranges are in stored values (integers of a quantized model) and hold for every input. A channel is *fixed* where its
values are the same for every input (they may still differ from place to place): filters of zeros, filters that only
read fixed channels, and filters whose whole range lies beyond a limit of the fused activation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgec.compress.channel_space import Flow, width
from edgec.compress.coupling import WEIGHTED, Coupling
from edgec.compress.weights import centred, is_hybrid, zero_point
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value

_REAL_LIMITS = {
    "RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "TANH": (-1.0, 1.0),
}  # fmt: skip
_ACTIVATIONS = {
    "relu": "RELU", "relu6": "RELU6", "relu_n1_to_1": "RELU_N1_TO_1",
}  # fmt: skip
# Results of these are among the operand's values or between them, in the operand's own scale.
_KEEPS_RANGE = {
    "average_pool_2d", "max_pool_2d", "reshape", "squeeze", "expand_dims", "concatenation", "slice", "strided_slice",
    "split", "split_v", "transpose", "resize_nearest_neighbor",
}  # fmt: skip
_MARGIN = 1e-4  # of the sum of magnitudes: far above float32 rounding and above the 31-bit multipliers of the kernels
_TIE = 1e-3  # limits divided by the scale this close to a half may be rounded either way


@dataclass(frozen=True, slots=True, eq=False)
class Range:
    """Lowest and highest stored value of each channel; float64 [channels]."""

    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class ChannelFacts:
    """Ranges and fixedness of every value's channels."""

    ranges: dict[Value, Range]
    fixed: dict[Value, np.ndarray]  # bool [channels]


def analyse_ranges(graph: Graph, coupling: Coupling) -> ChannelFacts:
    """Ranges and fixed channels of a graph, in one walk."""
    facts = ChannelFacts({}, {})
    for value in graph.inputs:
        _set_unknown(facts, value)
    for op in graph.ops:
        if op.opcode in WEIGHTED and (op, 1) in coupling.slices:
            _weighted(facts, op)
        else:
            for result in op.results:
                _by_flow(facts, op, result, coupling.flows.get(result, ()))
    return facts


def _set_unknown(facts: ChannelFacts, value: Value, activation: str = "NONE") -> None:
    low, high = stored_limits(value, activation)
    facts.ranges[value] = Range(np.full(width(value), low), np.full(width(value), high))
    facts.fixed[value] = np.zeros(width(value), bool)


def stored_limits(value: Value, activation: str) -> tuple[float, float]:
    """The lowest and highest stored value that the dtype and a fused activation leave; infinite for floats."""
    real_low, real_high = _REAL_LIMITS.get(activation, (-math.inf, math.inf))
    if value.dtype.is_float:
        return real_low, real_high
    if not value.dtype.is_integer or value.dtype.bits > 16:
        return -math.inf, math.inf
    info = np.iinfo(value.dtype.numpy)
    low, high = float(info.min), float(info.max)
    if value.quant is None or not value.quant.scale[0]:
        return low, high
    scale, zero = value.quant.scale[0], value.quant.zero_point[0]
    if math.isfinite(real_low):  # kernels round to nearest; a tie is taken outwards
        low = max(low, zero + math.ceil(real_low / scale - 0.5 - _TIE))
    if math.isfinite(real_high):
        high = min(high, zero + math.floor(real_high / scale + 0.5 + _TIE))
    return low, high


def _by_flow(facts: ChannelFacts, op: Op, result: Value, flows: Sequence[Flow]) -> None:
    activation = op.attributes.get("fused_activation_function", "NONE") or "NONE"
    _set_unknown(facts, result, _ACTIVATIONS.get(op.opcode, activation))
    if not flows:
        return
    fixed = np.ones(width(result), bool)
    for flow in flows:
        if not flow.value.is_constant:
            known = facts.fixed.get(flow.value, np.zeros(width(flow.value), bool))
            fixed &= (flow.positions < 0) | known[flow.positions]
    facts.fixed[result] = fixed
    if op.opcode in _KEEPS_RANGE:
        _keep_range(facts, result, flows)


def _keep_range(facts: ChannelFacts, result: Value, flows: Sequence[Flow]) -> None:
    low, high = np.full(width(result), math.inf), np.full(width(result), -math.inf)
    for flow in flows:
        source = facts.ranges.get(flow.value)
        if source is None or not _same_mapping(flow.value, result):
            return
        reads = flow.positions >= 0
        low = np.where(reads, np.minimum(low, source.low[flow.positions]), low)
        high = np.where(reads, np.maximum(high, source.high[flow.positions]), high)
    own = facts.ranges[result]
    facts.ranges[result] = Range(np.maximum(low, own.low), np.minimum(high, own.high))


def _same_mapping(a: Value, b: Value) -> bool:
    return a.quant is b.quant or (a.quant is not None and a.quant.same_mapping(b.quant))


def _weighted(facts: ChannelFacts, op: Op) -> None:
    """Fixed where nothing but fixed channels is read, or where the range lies at or beyond a limit."""
    x = op.operand(2 if op.opcode == "transpose_conv" else 0)
    activation = op.attributes.get("fused_activation_function", "NONE") or "NONE"
    _set_unknown(facts, op.result, activation)
    columns = _columns(op, x)
    if x not in facts.fixed:
        return
    moving = np.ones_like(facts.fixed[x]) if is_hybrid(op) else ~facts.fixed[x]
    used = columns.weights != 0
    used = used[:, :, 0] if used.shape[2] == 1 else used.any(axis=2)
    facts.fixed[op.result] = ~(used & moving[columns.positions]).any(axis=1)
    if not is_hybrid(op) and op.opcode != "transpose_conv":
        _clamped(facts, op, x, columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    weights: np.ndarray  # [outputs, columns, places of the window], around zero
    positions: np.ndarray  # [outputs or 1, columns]: the operand's channel that a column reads


def _columns(op: Op, x: Value) -> _Columns:
    weight = op.operand(1)
    weights = centred(weight) if weight.dtype.is_integer else weight.array()  # float32 is exact enough: see _MARGIN
    if op.opcode == "depthwise_conv_2d":
        outputs = weights.shape[3]
        positions = np.repeat(np.arange(x.shape[3]), outputs // x.shape[3])[:, None]
        return _Columns(weights.reshape(-1, outputs).T[:, None, :], positions)
    if op.opcode == "fully_connected":
        repeats = weights.shape[1] // width(x)
        return _Columns(weights[:, :, None], np.tile(np.arange(width(x)), repeats)[None])
    outputs, inputs = weights.shape[0], weights.shape[3]
    return _Columns(weights.reshape(outputs, -1, inputs).transpose(0, 2, 1), np.arange(inputs)[None])


def _clamped(facts: ChannelFacts, op: Op, x: Value, columns: _Columns) -> None:
    """Bound every output over all inputs: sum of |w| * range(x), with zeros where windows reach over the border."""
    result = op.result
    multiplier = _multiplier(op, x)
    if multiplier is None:
        return
    source, zero = facts.ranges[x], zero_point(x)
    low, high = np.minimum(source.low - zero, 0.0), np.maximum(source.high - zero, 0.0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()) and not x.dtype.is_float:
        return
    positive = _over_places(np.maximum(columns.weights, 0))
    negative = _over_places(np.minimum(columns.weights, 0))
    low, high = low[columns.positions], high[columns.positions]
    top = _summed(positive, high) + _summed(negative, low)
    bottom = _summed(positive, low) + _summed(negative, high)
    bias_value = op.optional_operand(2)
    bias = np.zeros(()) if bias_value is None else bias_value.array().reshape(-1).astype(np.float64)
    slack = _MARGIN * (np.abs(bias) + np.maximum(np.abs(top), np.abs(bottom))) * multiplier
    top, bottom = (top + bias) * multiplier + zero_point(result), (bottom + bias) * multiplier + zero_point(result)
    slack = np.where(np.isnan(slack), math.inf, slack)  # an infinite range times a scale of zero
    top, bottom = top + slack, bottom - slack
    least, most = facts.ranges[result].low, facts.ranges[result].high
    facts.fixed[result] = facts.fixed[result] | (top <= least) | (bottom >= most)
    rounding = 0.0 if result.dtype.is_float else 1.0
    facts.ranges[result] = Range(np.clip(bottom - rounding, least, most), np.clip(top + rounding, least, most))


def _over_places(weights: np.ndarray) -> np.ndarray:
    """Sums over the places of the window, [outputs, columns]; a window of one place needs no sum."""
    summed = weights[:, :, 0] if weights.shape[2] == 1 else weights.sum(axis=2)
    return summed if summed.dtype == np.float32 else summed.astype(np.float64)


def _summed(weights: np.ndarray, bound: np.ndarray) -> np.ndarray:
    """Sum over columns of weight times bound, per output; a zero weight makes an infinite bound harmless.

    `weights` are [outputs, columns] and all of one sign, `bound` is [outputs or 1, columns] and of one sign too.
    """
    infinite = np.isinf(bound)
    finite = np.where(infinite, 0.0, bound).astype(weights.dtype, copy=False)
    if bound.shape[0] != 1:
        total: np.ndarray = (weights * finite).sum(axis=1, dtype=np.float64)
        unbounded = ((weights != 0) & infinite).any(axis=1)
    else:
        total = (weights @ finite[0]).astype(np.float64) if finite.any() else np.zeros(weights.shape[0])
        reached = weights if infinite.all() else weights[:, infinite[0]]
        unbounded = reached.any(axis=1)
    if unbounded.any():
        sign = np.sign(bound[infinite][0]) * np.sign(weights[unbounded].sum(axis=1))
        total[unbounded] = sign * math.inf
    return total


def _multiplier(op: Op, x: Value) -> np.ndarray | None:
    """Stored result per unit of accumulator, one for each output or one for all; None where it cannot be told."""
    weight, result = op.operand(1), op.result
    if x.dtype is DType.FLOAT32 and weight.dtype is DType.FLOAT32:
        return np.ones(1)
    if x.quant is None or weight.quant is None or result.quant is None or not result.quant.scale[0]:
        return None
    if x.dtype.is_float or result.dtype.is_float:
        return None
    scales = np.array(weight.quant.scale)
    if scales.size not in (1, result.shape[-1]):
        return None
    return np.asarray(scales * x.quant.scale[0] / result.quant.scale[0])
