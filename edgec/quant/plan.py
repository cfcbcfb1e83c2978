"""Decides, before anything is changed, which integers every tensor of the graph becomes under w8a8."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgec.errors import QuantizationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Role
from edgec.ir.types import QuantParams
from edgec.ops import OP_DEFS
from edgec.quant.eligible import (
    quantized_operands,
)
from edgec.quant.layout import Layout, constant_operands
from edgec.quant.observers import Range
from edgec.quant.scheme import activation_params, as_float32, bias_params, represented_range, weight_params
from edgec.target.target import Scheme, Target

LARGEST_MULTIPLIER = 128.0  # input scale * weight scale / output scale; from 256 XNNPACK refuses to load the model


@dataclass(frozen=True, slots=True)
class OperandPlan:
    """What one operand of one op becomes: an element type, its parameters, and the operand's role."""

    dtype: DType
    quant: QuantParams
    role: Role


@dataclass(frozen=True)
class QuantPlan:
    """Every decision of a static quantization of a module's main graph.

    `results` holds the parameters of the values that become int8 (inputs, and results of ops that run in int8);
    `operands` what each (op, operand index) of such an op is to be, constants included; `float_ops` the ops that stay
    in float, with the reason. A value that stands in neither stays as it is. `input_dtype` and `output_dtype` are those
    of the module's float inputs and outputs afterwards.
    """

    scheme: str
    results: Mapping[Value, QuantParams]
    operands: Mapping[tuple[Op, int], OperandPlan]
    float_ops: Mapping[Op, str]
    input_dtype: DType
    output_dtype: DType
    method: str = ""
    samples: int = 0
    bias_shifts: Mapping[Op, np.ndarray] = field(default_factory=dict)  # float [channels], added to the op's bias
    notes: tuple[str, ...] = ()

    @property
    def quantized_ops(self) -> list[Op]:
        """The ops that will run in int8, in no particular order, each once."""
        return list(dict.fromkeys(op for op, _ in self.operands))

    def describe(self) -> str:
        """The plan as text: one line a tensor, then the ops that stay in float with the reason."""
        lines = [f"{self.scheme}: {len(self.quantized_ops)} ops in int8, {len(self.float_ops)} in float"]
        for value, quant in self.results.items():
            lines.append(f"%{value.name}: int8 scale {quant.scale[0]:.6g} zero point {quant.zero_point[0]}")
        lines += [f"{op.describe()} stays in float: {reason}" for op, reason in self.float_ops.items()]
        return "\n".join(lines)


def make_plan(
    layout_: Layout,
    target: Target,
    ranges: Mapping[Value, Range],
    given: Mapping[Value, QuantParams] | None = None,
    given_weights: Mapping[Value, QuantParams] | None = None,
    *,
    scheme: Scheme = "w8a8",
    method: str = "",
    samples: int = 0,
) -> QuantPlan:
    """Choose scale and zero point for everything in int8.

    `given` and `given_weights` are int8 parameters that hold whatever ranges and weights say (from a source model that
    was quantized already).

    Raises:
        QuantizationError: an activation has neither a range nor given parameters.
    """
    chosen = _activation_params(layout_, ranges, given or {})
    operands: dict[tuple[Op, int], OperandPlan] = {}
    results: dict[Value, QuantParams] = {}
    for op in layout_.int8_ops:
        definition = OP_DEFS[op.opcode]
        _plan_activations(op, op in layout_.moving, chosen, operands)
        _plan_weights(op, definition, target, given_weights or {}, operands)
        _widen_result(op, layout_, operands, chosen)
        results.update((r, chosen[r]) for r in op.results if r.dtype is DType.FLOAT32)
    io = target.io_dtype[scheme]
    input_dtype, output_dtype = DType(io.inputs[0]), DType(io.outputs[0])
    results.update((v, chosen[v]) for v in layout_.graph.inputs if v in chosen)
    return QuantPlan(
        scheme, results, operands, layout_.float_ops, input_dtype, output_dtype, method, samples, {}, _notes(layout_)
    )


def _activation_params(
    layout_: Layout, ranges: Mapping[Value, Range], given: Mapping[Value, QuantParams]
) -> dict[Value, QuantParams]:
    chosen: dict[Value, QuantParams] = {}
    missing: list[Value] = []
    for value in _activations(layout_):
        if value in chosen:
            continue
        group = layout_.group_of(value)
        quant = _group_params(group, layout_, ranges, given)
        if quant is None:
            missing.append(value)
            continue
        chosen.update((member, quant) for member in group)
    if missing:
        named = ", ".join(f"'{v.name}'" for v in missing[:5]) + (" …" if len(missing) > 5 else "")
        raise QuantizationError(
            f"quantizing to int8 activations: {len(missing)} tensors have no range ({named}); static schemes need real "
            "samples: give some with --calibration, or choose a scheme without activations (fp16, w8)"
        )
    return chosen


def _activations(layout_: Layout) -> list[Value]:
    found: dict[Value, None] = {}
    for op in layout_.int8_ops:
        operands = [op.operand(i) for i in quantized_operands(op, OP_DEFS[op.opcode])]
        found.update((v, None) for v in operands if not v.is_constant)
        found.update((r, None) for r in op.results if r.dtype is DType.FLOAT32)
    return list(found)


def _group_params(
    group: Sequence[Value], layout_: Layout, ranges: Mapping[Value, Range], given: Mapping[Value, QuantParams]
) -> QuantParams | None:
    prescribed = {layout_.fixed[v] for v in group if v in layout_.fixed}
    if prescribed:
        return prescribed.pop()  # one only: `_groups` keeps others apart
    handed = list(dict.fromkeys(given[v] for v in group if v in given))
    if len(handed) == 1:
        return handed[0]
    parts = [represented_range(quant) for quant in handed]
    parts += [ranges[v] for v in group if v in ranges and v not in given]
    for op in dict.fromkeys(v.producer for v in group):
        if op is not None and op in layout_.moving:
            parts += [_range_of(op.operand(i)) for i in constant_operands(op)]
    sources = [v for v in group if v.producer not in layout_.moving]
    if not parts or not all(v in ranges or v in given for v in sources):
        return None
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.union(part)
    return activation_params(whole)


def _range_of(constant: Value) -> Range:
    data = constant.array()
    return Range(float(data.min(initial=np.inf)), float(data.max(initial=-np.inf))) if data.size else Range(0.0, 0.0)


def _plan_activations(
    op: Op, one_scale: bool, chosen: Mapping[Value, QuantParams], out: dict[tuple[Op, int], OperandPlan]
) -> None:
    definition = OP_DEFS[op.opcode]
    shared = chosen[op.results[0]] if one_scale else None
    for index in quantized_operands(op, definition):
        value, role = op.operand(index), definition.role(index)
        if role is not Role.ACTIVATION:
            continue
        if shared is not None:
            quant = shared
        else:
            quant = activation_params(_range_of(value)) if value.is_constant else chosen[value]
        out[op, index] = OperandPlan(DType.INT8, quant, role)


def _plan_weights(
    op: Op,
    definition: OpDef,
    target: Target,
    given: Mapping[Value, QuantParams],
    out: dict[tuple[Op, int], OperandPlan],
) -> None:
    indices = quantized_operands(op, definition)
    weights = [i for i in indices if definition.role(i) is Role.WEIGHT]
    biases = [i for i in indices if definition.role(i) is Role.BIAS]
    inputs = [i for i in indices if definition.role(i) is Role.ACTIVATION]
    for index in weights:
        weight = op.operand(index).array()
        bias = op.operand(biases[0]).array() if biases else None
        input_quant = out[op, inputs[0]].quant
        axis = weight_axis(op, definition, target)
        stored = _fitting(given.get(op.operand(index)), weight, axis)
        quant = stored or weight_params(weight, axis, bias, input_quant.scale[0])
        out[op, index] = OperandPlan(DType.INT8, quant, Role.WEIGHT)
        for position in biases:
            out[op, position] = OperandPlan(DType.INT32, bias_params(input_quant, quant), Role.BIAS)


def _widen_result(
    op: Op, layout_: Layout, operands: Mapping[tuple[Op, int], OperandPlan], chosen: dict[Value, QuantParams]
) -> None:
    """Raise the scale of a weighted op's result, and of all that share it, to what kernels can requantize to.

    Only results that hardly leave zero beside their accumulators are concerned, such as those of dead layers.
    """
    used = [operands[op, i] for i in range(len(op.operands)) if (op, i) in operands]
    weights = [what.quant for what in used if what.role is Role.WEIGHT]
    [result, *_] = op.results
    if not weights or result in layout_.fixed or result not in chosen:
        return
    input_scale = next(what.quant.scale[0] for what in used if what.role is Role.ACTIVATION)
    least = input_scale * max(weights[0].scale) / LARGEST_MULTIPLIER
    if chosen[result].scale[0] < least:
        quant = QuantParams.per_tensor(as_float32(least), chosen[result].zero_point[0])
        chosen.update((member, quant) for member in layout_.group_of(result))


def _fitting(stored: QuantParams | None, weight: np.ndarray, axis: int | None) -> QuantParams | None:
    """Parameters a weight came with, one scale spread over the channels where those are wanted; None if unfit."""
    if stored is None or stored.axis == axis:
        return stored
    if stored.axis is None and axis is not None:
        return QuantParams(stored.scale * weight.shape[axis], (0,) * weight.shape[axis], axis)
    return None


def weight_axis(op: Op, definition: OpDef, target: Target) -> int | None:
    """The axis of per-channel weight scales for an op on a target, None where its weights have one scale."""
    granularity = target.weights_granularity
    per_channel = granularity.get(op.opcode, granularity.get("default", "per_tensor")) == "per_channel"
    return definition.quant.weight_axis if per_channel else None


def _notes(layout_: Layout) -> tuple[str, ...]:
    if not layout_.float_ops:
        return ()
    by_reason: dict[str, list[str]] = defaultdict(list)
    for op, reason in layout_.float_ops.items():
        by_reason[reason].append(op.describe())
    return tuple(
        f"{len(ops)} ops stay in float ({', '.join(ops[:4])}{' …' if len(ops) > 4 else ''}): {reason}"
        for reason, ops in by_reason.items()
    )
