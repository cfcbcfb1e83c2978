"""Ops with weights and a bias, and how a scale or shift of their data moves into these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value


@dataclass(frozen=True, slots=True)
class WeightedForm:
    """Where a weighted op keeps what: operand positions and the axis of the weights that runs over its results."""

    data: int = 0
    weight: int = 1
    bias: int = 2
    output_axis: int = 0


FORMS = {
    "conv_2d": WeightedForm(),  # weights OHWI
    "depthwise_conv_2d": WeightedForm(output_axis=3),  # weights 1HWO
    "fully_connected": WeightedForm(),  # weights [units, inputs]
    "transpose_conv": WeightedForm(data=2, bias=3),  # weights OHWI
}


def float_weights_refusal(op: Op) -> str | None:
    """Why weights and bias cannot be computed anew at compile time; None where both are dense float32 constants."""
    form = FORMS[op.opcode]
    for index in (form.weight, form.bias):
        value = op.optional_operand(index)
        if value is None:
            continue
        if not value.is_constant:
            return f"'{value.name}' is no constant"
        if value.dtype is not DType.FLOAT32:
            return f"'{value.name}' is {value.dtype.value}; only float32 can be changed without rounding anew"
        if value.sparsity is not None:
            return f"'{value.name}' is stored sparse"
    return None


def other_use(value: Value, user: Op) -> str | None:
    """A sentence on a second use of `value` beside the one by `user`; None where `user` holds the only use."""
    if value.is_output:
        return f"'{value.name}' is also a graph output"
    other = next((op for op in value.users if op is not user), None)
    return None if other is None else f"'{value.name}' is also used by {other.describe()}"


def scale_outputs(op: Op, scale: np.ndarray) -> np.ndarray:
    """Weights of `op` whose results are `scale` ([channels]) times as large, in float64."""
    weight = op.operand(FORMS[op.opcode].weight).array()
    shape = [1] * weight.ndim
    shape[FORMS[op.opcode].output_axis] = -1
    return np.asarray(weight.astype(np.float64) * scale.reshape(shape))


def scale_inputs(op: Op, scale: np.ndarray) -> np.ndarray:
    """Weights of `op` (float64) that give for data x what the present ones give for x * `scale` ([channels])."""
    return np.asarray(op.operand(FORMS[op.opcode].weight).array().astype(np.float64) * _input_factors(op, scale))


def shift_of_outputs(op: Op, shift: np.ndarray) -> np.ndarray:
    """What a constant `shift` ([channels]) of all data adds to each output channel where no padding is read."""
    weight = op.operand(FORMS[op.opcode].weight).array().astype(np.float64)
    axes = tuple(i for i in range(weight.ndim) if i != FORMS[op.opcode].output_axis)
    return np.asarray((weight * _input_factors(op, shift)).sum(axis=axes))


def _input_factors(op: Op, factors: np.ndarray) -> np.ndarray:
    """`factors` ([input channels]) in a shape that broadcasts against the weights of `op`."""
    weight = op.operand(FORMS[op.opcode].weight)
    if op.opcode == "depthwise_conv_2d":
        return np.repeat(factors, weight.shape[3] // factors.size).reshape(1, 1, 1, -1)
    if op.opcode == "fully_connected":
        return factors.reshape(1, -1)
    groups = factors.size // weight.shape[3]
    by_group = factors.reshape(groups, weight.shape[3])  # output channels stand group by group
    return np.repeat(by_group, weight.shape[0] // groups, axis=0).reshape(weight.shape[0], 1, 1, weight.shape[3])


def bias_array(op: Op) -> np.ndarray | None:
    """The bias of `op` in float64, None where it has none."""
    bias = op.optional_operand(FORMS[op.opcode].bias)
    return None if bias is None else bias.array().reshape(-1).astype(np.float64)


def set_weights(op: Op, builder: Builder, weight: np.ndarray | None, bias: np.ndarray | None) -> None:
    """Give `op` new constants (None: leave as it is). The old ones are not touched: others may share them."""
    form = FORMS[op.opcode]
    if weight is not None:
        old = op.operand(form.weight)
        op.set_operand(form.weight, builder.constant(weight.astype(np.float32), name=old.name))
    if bias is None:
        return
    before = op.optional_operand(form.bias)
    constant = builder.constant(bias.astype(np.float32), name=before.name if before else f"{op.name}/bias")
    operands = [*op.operands, *([None] * (form.bias + 1 - len(op.operands)))]
    op.set_operands([*operands[: form.bias], constant, *operands[form.bias + 1 :]])
