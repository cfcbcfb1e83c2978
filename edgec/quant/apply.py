"""Rewrites a module as a `QuantPlan` says: constants become integers, values int8, borders get quantize/dequantize."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgec.ir.clone import Clone, clone_with_maps
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import Role
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS, build, verify
from edgec.quant.plan import OperandPlan, QuantPlan
from edgec.quant.scheme import bias_params, quantize_array

INT8_SUFFIX = "_int8"


def apply_plan(module: Module, plan: QuantPlan) -> Clone:
    """A quantized copy of the module; the module itself is not changed.

    Raises:
        VerificationError: the plan does not fit the module.
    """
    clone = clone_with_maps(module)
    _Rewrite(clone, plan).run()
    verify(clone.module)
    return clone


class _Rewrite:
    def __init__(self, clone: Clone, plan: QuantPlan) -> None:
        self.graph: Graph = clone.module.main
        self.plan = plan
        self.int8_ops = {clone.ops[op] for op in plan.quantized_ops}
        self.operands = {(clone.ops[op], index): what for (op, index), what in plan.operands.items()}
        self.results = {clone.values[value]: quant for value, quant in plan.results.items()}
        self.shifts = {clone.ops[op]: shift for op, shift in plan.bias_shifts.items()}
        self.converted: dict[tuple[Value, QuantParams | None], Value] = {}
        self.constants: dict[tuple[int, DType, QuantParams], Value] = {}

    def run(self) -> None:
        if self.plan.input_dtype is DType.INT8:
            for value in self.graph.inputs:
                self._make_int8(value)
        for op in list(self.graph.ops):
            if op in self.int8_ops:
                self._quantize_op(op)
            else:
                self._keep_float(op)
        self._convert_outputs()

    def _make_int8(self, value: Value) -> None:
        if value in self.results:
            value.type = value.type.with_dtype(DType.INT8, self.results[value])

    def _quantize_op(self, op: Op) -> None:
        if op in self.shifts:
            self._shift_bias(op)
        for index, value in enumerate(op.operands):
            what = self.operands.get((op, index))
            if what is None or value is None:
                continue
            if value.is_constant:
                op.set_operand(index, self._constant(value, what))
            else:
                op.set_operand(index, self._as_int8(value, what.quant, op))
        for result in op.results:
            if result.dtype is DType.FLOAT32:
                self._make_int8(result)
        op.version = None  # that of the float file says nothing about the integer form

    def _shift_bias(self, op: Op) -> None:
        definition = OP_DEFS[op.opcode]
        position = next(i for i, o in enumerate(definition.operands) if o.role is Role.BIAS)
        bias = op.optional_operand(position)
        shifted = self.shifts[op].astype(np.float32) + (0 if bias is None else bias.array())
        name = bias.name if bias is not None else f"{op.name}_bias"
        constant = Value(name, TensorType(shifted.shape, DType.FLOAT32), shifted)
        if position < len(op.operands):
            op.set_operand(position, constant)
        else:
            op.set_operands([*op.operands, *[None] * (position - len(op.operands)), constant])
        if (op, position) not in self.operands:
            [x] = [w.quant for (o, _), w in self._of(op) if w.role is Role.ACTIVATION]
            [weight] = [w.quant for (o, _), w in self._of(op) if w.role is Role.WEIGHT]
            self.operands[op, position] = OperandPlan(DType.INT32, bias_params(x, weight), Role.BIAS)

    def _of(self, op: Op) -> list[tuple[tuple[Op, int], OperandPlan]]:
        return [((op, i), self.operands[op, i]) for i in range(len(op.operands)) if (op, i) in self.operands]

    def _keep_float(self, op: Op) -> None:
        for index, value in enumerate(op.operands):
            if value is not None and value in self.results and value.dtype is DType.INT8:
                op.set_operand(index, self._as_float(value, op))

    def _constant(self, value: Value, what: OperandPlan) -> Value:
        key = (id(value), what.dtype, what.quant)
        if key not in self.constants:
            data = quantize_array(value.array(), what.dtype, what.quant, narrow=what.role is not Role.ACTIVATION)
            self.constants[key] = Value(value.name, value.type.with_dtype(what.dtype, what.quant), data)
        return self.constants[key]

    def _as_int8(self, value: Value, quant: QuantParams, before: Op) -> Value:
        if value.dtype is DType.INT8 and quant.same_mapping(value.quant):
            return value
        key = (value, quant)
        if key not in self.converted:
            type_ = replace(value.type, dtype=DType.INT8, quant=quant)
            self.converted[key] = build(self.graph, before=before).emit(
                "quantize", [value], name=value.name + INT8_SUFFIX, result_types=[type_]
            )
            # the signature of `quantize` is inferred from its result, which is why the type is given
        return self.converted[key]

    def _as_float(self, value: Value, before: Op | None) -> Value:
        key = (value, None)
        if key not in self.converted:
            self.converted[key] = build(self.graph, before=before).emit(
                "dequantize", [value], name=value.name + "_float"
            )
        return self.converted[key]

    def _convert_outputs(self) -> None:
        if self.plan.output_dtype is not DType.FLOAT32:
            return
        outputs = []
        for value in self.graph.outputs:
            quantized = value in self.results and value.dtype is DType.INT8
            if quantized and (value, None) not in self.converted:
                name = value.name
                self._as_float(value, None).name = name
                if value not in self.graph.inputs:
                    value.name = name + INT8_SUFFIX
            outputs.append(self.converted[value, None] if quantized else value)
        self.graph.outputs = outputs
