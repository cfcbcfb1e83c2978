"""Turns the uint8 models of early TFLite into int8 ones that compute the same integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from edgec.diagnostics import Note, Severity
from edgec.ir.builder import Builder
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import Role
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS, build
from edgec.passes.base import Pass, PassContext, PassResult
from edgec.passes.canonicalize.average_by_depthwise import can_replace, replace_by_depthwise, rounds_alike
from edgec.passes.canonicalize.wide_weights import split_depthwise, spread_over_copies
from edgec.target.target import Target

SHIFT = 128
UNIT = 64
_WEIGHTED = ("conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv")
_STATEFUL = ("lstm", "unidirectional_sequence_lstm", "svdf")  # uint8 forms of their own
_OTHER_ROUNDING = {
    "resize_bilinear": "int8 kernels of LiteRT and TFLM round otherwise than uint8's, by one step; XNNPACK's do not",
    "l2_normalization": "its int8 kernel rounds otherwise than uint8's, by one step",
}
_CARRIERS = ("if", "while", "call", "read_variable", "assign_variable")


@dataclass(frozen=True)
class ConvertUint8ToInt8(Pass):
    """Shift uint8 activations by 128 and subtract the zero point from uint8 weights.

    Before:  %1 = conv_2d(%0 : uint8 scale 0.02 zero point 130, $w : uint8 zero point 117)
    After:   %1 = conv_2d(%0 : int8 scale 0.02 zero point 2,    $w - 117 : int8)

    Both kernels form the same 32-bit sums and rescale them by the same factor. Weights that do not fit int8 are spread
    over copies of their input channels (see `wide_weights`). Ops without an int8 kernel of the same arithmetic keep
    uint8 between two `quantize` ops. Inputs and outputs of the model keep uint8 where the target takes it there (a
    `quantize` op stands behind them), and become int8 elsewhere.
    """

    name: ClassVar[str] = "convert_uint8_to_int8"

    def run(self, module: Module, context: PassContext) -> PassResult:
        """Convert every graph of a module that computes on uint8."""
        keep_inputs, keep_outputs = _borders(context.target)
        if not any(_is_wanted(graph) for graph in module.graphs) and not _refused_border(
            module.main, keep_inputs, keep_outputs
        ):
            return PassResult(False)
        converted = spread = 0
        for graph in module.graphs:
            is_main = graph is module.main
            conversion = _Conversion(graph, is_main and keep_inputs, is_main and keep_outputs)
            conversion.run()
            converted += conversion.converted
            spread += conversion.spread
            if conversion.wide:
                conversion.notes.append(_spread_note(conversion.spread, conversion.wide))
            context.notes += [Note(Severity.INFO, f"graph '{graph.name}'", text) for text in conversion.notes]
        note = f"{converted} ops from uint8 to int8"
        return PassResult(True, note + (f", {spread} weights beyond int8 spread over copies" if spread else ""))


def _borders(target: Target | None) -> tuple[bool, bool]:
    """Whether inputs and outputs of the model may stay uint8."""
    io = None if target is None else target.io_dtype.get("w8a8")
    return (False, False) if io is None else ("uint8" in io.inputs, "uint8" in io.outputs)


def _refused_border(graph: Graph, keep_inputs: bool, keep_outputs: bool) -> bool:
    inputs = not keep_inputs and any(_flows(v) for v in graph.inputs)
    return inputs or (not keep_outputs and any(_flows(v) for v in graph.outputs))


def _is_wanted(graph: Graph) -> bool:
    return any(
        _converts(op) and op.opcode != "dequantize" and any(_flows(v) for v in (*op.operands, *op.results))
        for op in graph.ops
        if op.opcode != "quantize" or (_flows(op.operands[0]) and _flows(op.results[0]))
    )


def _flows(value: Value | None) -> bool:
    """True for a uint8 tensor that stands for real numbers and is no constant."""
    return value is not None and value.dtype is DType.UINT8 and value.quant is not None and not value.is_constant


def _converts(op: Op) -> bool:
    """True where the op has an int8 kernel with the arithmetic of its uint8 kernel."""
    definition = OP_DEFS.get(op.opcode)
    if op.opcode in _CARRIERS:
        return True
    if definition is None or op.opcode in _STATEFUL or DType.INT8 not in definition.quant.activations:
        return False
    if op.opcode not in _WEIGHTED:
        return True
    weight = op.optional_operand(1)
    plain = op.attributes.get("weights_format", "DEFAULT") == "DEFAULT"
    if weight is None or weight.dtype is not DType.UINT8:
        return bool(plain)
    if op.opcode == "conv_2d" and weight.shape[3] != op.operand(0).shape[3]:
        return False  # grouped: copies of channels would end up in other groups
    per_tensor = weight.quant is not None and len(weight.quant.scale) == 1  # as all uint8 kernels have it
    return bool(plain) and weight.is_constant and per_tensor and weight.sparsity is None


def shifted(quant: QuantParams) -> QuantParams:
    """The int8 parameters of the same reals."""
    return replace(quant, zero_point=tuple(z - SHIFT for z in quant.zero_point))


class _Conversion:
    """One graph's conversion."""

    def __init__(self, graph: Graph, keep_inputs: bool, keep_outputs: bool) -> None:
        self.graph = graph
        self.keep_inputs, self.keep_outputs = keep_inputs, keep_outputs
        self.shifted: set[Value] = set()
        self.constants: dict[Value, Value] = {}
        self.unsigned: dict[Value, Value] = {}  # int8 value → its uint8 form, for ops that keep uint8
        self.converted = self.spread = 0
        self.wide: list[str] = []
        self.notes: list[str] = []

    def run(self) -> None:
        """Convert the graph in place."""
        graph = self.graph
        concerned = [op for op in graph.ops if any(_flows(v) for v in (*op.operands, *op.results))]
        for value in self._flowing():
            self._shift(value)
        if self.keep_inputs:
            for value in graph.inputs:
                if value in self.shifted:
                    self._as_int8(value, graph.first_op).name = f"{value.name}_int8"
        for op in concerned:
            if _converts(op):
                self._convert(op)
            else:
                self._keep(op)
        if self.keep_outputs:
            ends = {v: self._uint8_output(v) for v in dict.fromkeys(graph.outputs) if v in self.shifted}
            graph.outputs = [ends.get(value, value) for value in graph.outputs]
        _drop_identities(graph)

    def _shift(self, value: Value) -> None:
        assert value.quant is not None
        value.type = value.type.with_dtype(DType.INT8, shifted(value.quant))
        self.shifted.add(value)

    def _as_int8(self, value: Value, before: Op | None) -> Value:
        """Give a shifted value its uint8 type back; its users read a quantized copy."""
        self.shifted.discard(value)
        int8_type = value.type
        value.type = _unsigned(int8_type)
        builder = Builder(self.graph, OP_DEFS, before=before, source=value.name)
        copy = builder.emit("quantize", [value], name=value.name, result_types=[int8_type])
        assert copy.producer is not None
        self.graph.replace_all_uses(value, copy)
        copy.producer.set_operand(0, value)
        self.shifted.add(copy)
        return copy

    def _flowing(self) -> list[Value]:
        """Every uint8 tensor of reals, each once: inputs, results, variables."""
        graph = self.graph
        state = (v for op in graph.ops for v in op.operands if v is not None and v.is_variable)
        results = (r for op in graph.ops for r in op.results)
        return [v for v in dict.fromkeys((*graph.inputs, *results, *state)) if _flows(v)]

    def _convert(self, op: Op) -> None:
        definition = OP_DEFS[op.opcode]
        for index, value in enumerate(op.operands):
            if value is None or not value.is_constant or value.dtype is not DType.UINT8 or value.quant is None:
                continue
            if definition.role(index) is Role.ACTIVATION:
                op.set_operand(index, self._constant(value))
        weight = op.optional_operand(1) if op.opcode in _WEIGHTED else None
        if weight is not None and weight.dtype is DType.UINT8:
            self._convert_weight(op, weight)
        op.version = None  # that of the uint8 form
        self.converted += 1
        if op.opcode == "concatenation":
            self._requantize_operands(op)
        elif op.opcode == "average_pool_2d" and op.result in self.shifted and not rounds_alike(op):
            self._convert_average(op)
        elif op.opcode in _OTHER_ROUNDING:
            self.notes.append(f"{op.describe()}: {_OTHER_ROUNDING[op.opcode]}")

    def _requantize_operands(self, op: Op) -> None:
        """Bring operands to the result's scale, which the uint8 kernel of a concatenation does itself, int8's does not.

        By a product with one, stored as 64/64: `quantize` rounds twice where the ratio of scales is near one, and would
        be a step off in places; with six more bits the first rounding is too fine to matter.
        """
        quant = op.result.quant
        if quant is None:
            return
        builder = build(self.graph, before=op, source=op.source)
        for index, value in enumerate(op.operands):
            if value is not None and value.dtype is DType.INT8 and not quant.same_mapping(value.quant):
                one = builder.constant(np.array(UNIT, np.int8), quant=QuantParams.per_tensor(1 / UNIT))
                op.set_operand(index, builder.emit("mul", [value, one], name=f"{value.name}_in_{op.name}", quant=quant))

    def _convert_average(self, op: Op) -> None:
        if can_replace(op):
            self.shifted.discard(op.result)
            self.shifted.add(replace_by_depthwise(op))
        else:
            self.notes.append(f"{op.describe()}: where a mean falls half way between steps, int8 rounds it otherwise")

    def _convert_weight(self, op: Op, weight: Value) -> None:
        assert weight.quant is not None
        wide = weight.array().astype(np.int32) - weight.quant.zero_point[0]
        split = split_depthwise if op.opcode == "depthwise_conv_2d" else spread_over_copies
        spread = split(op, wide, weight.quant.scale[0])
        if spread:
            self.spread += spread
            self.wide.append(op.describe())

    def _constant(self, value: Value) -> Value:
        if value not in self.constants:
            assert value.quant is not None
            data = (value.array().astype(np.int16) - SHIFT).astype(np.int8)
            self.constants[value] = Value(value.name, value.type.with_dtype(DType.INT8, shifted(value.quant)), data)
        return self.constants[value]

    def _keep(self, op: Op) -> None:
        """Leave an op in uint8, between `quantize` ops."""
        before = build(self.graph, before=op, source=op.source)
        for index, value in enumerate(op.operands):
            if value is not None and value in self.shifted and not value.is_variable:
                op.set_operand(index, self._as_uint8(value, before))
        for result in op.results:
            if result in self.shifted:
                self._as_int8(result, op.next)
                result.name = f"{result.name}_uint8"

    def _as_uint8(self, value: Value, builder: Builder) -> Value:
        if value not in self.unsigned:
            self.unsigned[value] = builder.emit(
                "quantize", [value], name=f"{value.name}_uint8", result_types=[_unsigned(value.type)]
            )
        return self.unsigned[value]

    def _uint8_output(self, value: Value) -> Value:
        """The uint8 form of an output, under its name."""
        name = value.name
        end = build(self.graph, source=name).emit("quantize", [value], name=name, result_types=[_unsigned(value.type)])
        if value not in self.graph.inputs:
            value.name = f"{name}_int8"
        return end


def _spread_note(spread: int, layers: list[str]) -> str:
    named = ", ".join(layers[:3]) + (" …" if len(layers) > 3 else "")
    return (
        f"{spread} uint8 weights in {len(layers)} layers reach beyond int8 once the zero point is subtracted; they are "
        f"spread over copies of their input channels, which changes no result ({named})"
    )


def _unsigned(type_: TensorType) -> TensorType:
    """The uint8 type of the same reals as an int8 type."""
    assert type_.quant is not None
    quant = replace(type_.quant, zero_point=tuple(z + SHIFT for z in type_.quant.zero_point))
    return type_.with_dtype(DType.UINT8, quant)


def _drop_identities(graph: Graph) -> None:
    """Remove `quantize` ops that quantize to what they read."""
    for op in list(graph.ops):
        if op.opcode == "quantize" and op.operand(0).type == op.result.type and not op.result.is_output:
            graph.replace(op, [op.operand(0)])
