"""Bias correction: what rounding the weights adds to a layer's mean output is taken from its bias.

Rounding leaves W' = W + dW. A layer is linear before its activation, so that its mean output over the calibration
samples moves by op(mean input, dW): one run of the op on the mean activation, zero padding included, in the real
kernels. The mean over positions, channel by channel, is subtracted from the bias (Nagel et al. 2019, section 4.2, with
measured instead of assumed input means).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Op, Value
from edgec.ir.op_def import Role
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS
from edgec.quant.plan import QuantPlan
from edgec.quant.scheme import dequantize_array, quantize_array
from edgec.runtime.evaluate import evaluate


def correctable(ops: Iterable[Op]) -> dict[Op, Value]:
    """The ops whose bias can be corrected: their bias is constant or absent; with the activation each of them reads."""
    found = {}
    for op in ops:
        definition = OP_DEFS[op.opcode]
        roles = [definition.role(i) for i in range(len(op.operands))]
        takes_bias = any(o.role is Role.BIAS for o in definition.operands)
        if takes_bias and roles.count(Role.WEIGHT) == 1 and roles.count(Role.ACTIVATION) == 1:
            found[op] = op.operand(roles.index(Role.ACTIVATION))
    return found


def weight_error_shifts(plan: QuantPlan, means: Mapping[Value, np.ndarray]) -> dict[Op, np.ndarray]:
    """What to add to the bias of every correctable op: float32 [output channels]; ops without a mean are left out.

    `means` are mean activations over the calibration samples, in the activation's shape.
    """
    graph = Graph("weight errors")
    ops = []
    for op, value in correctable(plan.quantized_ops).items():
        if value in means:
            graph.append(_error_op(op, value, means[value], plan))
            ops.append(op)
    if not ops:
        return {}
    graph.outputs = [op.results[0] for op in graph.ops]
    errors = evaluate(graph, [])
    return {op: -error.reshape(-1, error.shape[-1]).mean(axis=0, dtype=np.float64) for op, error in zip(ops, errors)}


def _error_op(op: Op, value: Value, mean: np.ndarray, plan: QuantPlan) -> Op:
    """The op without bias and activation, on the mean input and the rounding error of its weights."""
    definition = OP_DEFS[op.opcode]
    operands: list[Value | None] = []
    for index, operand in enumerate(op.operands):
        role = definition.role(index)
        if role is Role.WEIGHT and operand is not None:
            quant = plan.operands[op, index].quant
            weight = operand.array()
            rounded = dequantize_array(quantize_array(weight, DType.INT8, quant, narrow=True), quant)
            operands.append(Value(operand.name, TensorType(weight.shape, DType.FLOAT32), rounded - weight))
        elif operand is value:
            operands.append(Value(value.name, TensorType(mean.shape, DType.FLOAT32), mean))
        else:
            operands.append(None if role is Role.BIAS else operand)
    no_bias = np.zeros(op.results[0].shape[-1], np.float32)  # LiteRT's conv_2d refuses to run without one
    bias = Value("no_bias", TensorType(no_bias.shape, DType.FLOAT32), no_bias)
    position = next(i for i, o in enumerate(definition.operands) if o.role is Role.BIAS)
    operands[position:] = [bias]
    attributes = {**op.attributes, "fused_activation_function": "NONE"}
    result = op.results[0]
    return Op(op.opcode, operands, [Value(result.name, result.type)], attributes, name=op.name)
