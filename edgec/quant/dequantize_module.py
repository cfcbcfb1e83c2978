"""Back from integers to reals: a quantized module as the float module it stands for.

Weights and biases become float32 constants, activations lose their quantization, `quantize` and `dequantize` go. What
the integers' range did beyond rounding is kept: an op whose quantized result begins at zero is a relu, whether the file
says so or not (old converters drop the activation that the range implies), and one that ends at 6 a relu6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgec.errors import QuantizationError
from edgec.ir.clone import clone_module
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import Role
from edgec.ir.types import QuantParams, TensorType
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS, build, verify
from edgec.quant.scheme import dequantize_array
from edgec.schema.defaults import default_attributes

_INTEGERS = (DType.INT8, DType.UINT8, DType.INT16, DType.INT4, DType.INT2)
_BORDERS = ("quantize", "dequantize")
_RAW = ("cast", "bitcast", "bitwise_xor", "right_shift")  # they read the integers, whatever those stand for
_CARRIERS = ("if", "while", "call", "assign_variable")  # operands keep the type of what they go to
_TAKES_FLOATS = ("TFLite_Detection_PostProcess",)
_MAIN_WEIGHT = ("conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv")
_ARITHMETIC = (*_MAIN_WEIGHT, "add", "sub", "mul", "div")
STEP = 0.5  # of the scale: how near a range must end to a round number to mean it


@dataclass(frozen=True)
class Dequantized:
    """A float module, and what was done: constants widened, activations that the ranges implied."""

    module: Module
    constants: int
    activations: int

    @property
    def changed(self) -> bool:
        """False where the module was float throughout."""
        return self.constants > 0 or self.activations > 0

    def describe(self) -> str:
        """One sentence for the report."""
        implied = f", {self.activations} activation functions that its ranges implied were written out"
        return (
            f"the source's integers were turned back into reals: {self.constants} constants widened to float32"
            f"{implied if self.activations else ''}"
        )


def dequantize_module(module: Module) -> Dequantized:
    """A float copy of a quantized module (int8, uint8, int16, small weights beside float activations, fp16 weights).

    Raises:
        QuantizationError: some ops have no float form; all of them are named.
    """
    refused = [f"\n  {op.describe()}: {why}" for g in module.graphs for op in g.ops if (why := _refusal(op))]
    if refused:
        raise QuantizationError(f"Dequantizing '{module.name}': ops have no float form:{''.join(refused)}")
    copy = clone_module(module)
    rewrites = [_Rewrite(graph) for graph in copy.graphs]
    for rewrite in rewrites:
        rewrite.run()
    verify(copy)
    return Dequantized(copy, sum(r.constants for r in rewrites), sum(r.activations for r in rewrites))


def _refusal(op: Op) -> str | None:
    touched = [v for v in (*op.operands, *op.results) if v is not None and _is_integer(v)]
    blocks = [v for v in op.operands if v is not None and v.quant is None and "quant_details" in v.extra]
    if blocks:
        return f"its weight '{blocks[0].name}' has scales of its own for blocks, which are not dequantized"
    if not touched:
        return None
    if op.opcode in (CUSTOM, OPAQUE) and op.attributes.get("custom_code") not in _TAKES_FLOATS:
        return f"it works on '{touched[0].name}', a quantized tensor, in a way edgec does not know"
    if op.opcode in _RAW:
        return f"it reads the integers of '{touched[0].name}', not the reals they stand for"
    if op.attributes.get("weights_format", "DEFAULT") != "DEFAULT":
        return "its weights are stored shuffled"
    if op.attributes.get("kernel_type") == "BASIC":
        return "the basic LSTM cell is defined on uint8 only"
    if any(v.is_constant and v.sparsity is not None for v in touched):
        return "a constant of it is stored sparse"
    return None


def _is_integer(value: Value) -> bool:
    return value.dtype in _INTEGERS and value.quant is not None


class _Rewrite:
    """One graph's way back."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.wide: dict[tuple[Value, QuantParams | None], Value] = {}
        self.constants = self.activations = 0

    def run(self) -> None:
        """Turn the graph into floats, in place."""
        graph = self.graph
        flowing = [v for v in graph.values() if not v.is_constant and _is_integer(v)]
        ranges = {v: (v.dtype, v.quant) for v in flowing}
        for op in graph.ops:
            self._widen_constants(op)
        for value in flowing:
            value.type = replace(value.type, dtype=DType.FLOAT32, quant=None)
        for op in list(graph.ops):
            self._write_out_range(op, ranges)
        for op in list(graph.ops):
            if op.opcode in _BORDERS and op.graph is graph:
                self._remove_border(op)

    def _widen_constants(self, op: Op) -> None:
        definition = OP_DEFS.get(op.opcode)
        changed = any(v is not None and _is_integer(v) for v in (*op.operands, *op.results))
        for index, value in enumerate(op.operands):
            if value is None or not value.is_constant:
                continue
            role = None if definition is None else definition.role(index)
            if role is Role.BIAS and value.dtype in (DType.INT32, DType.INT64):
                op.set_operand(index, self._widened(value, value.quant or _bias_quant(op)))
            elif _is_integer(value) and (role is not Role.PARAMETER or op.opcode in _CARRIERS):
                op.set_operand(index, self._widened(value, value.quant))
            elif value.dtype is DType.FLOAT16 and op.opcode == "dequantize":
                op.set_operand(index, self._widened(value, None))
        if changed:
            _drop_integer_options(op)

    def _widened(self, value: Value, quant: QuantParams | None) -> Value:
        key = (value, quant)
        if key not in self.wide:
            data = value.array()
            data = data.astype(np.float32) if quant is None else dequantize_array(data, quant)
            type_ = TensorType(value.shape, DType.FLOAT32)
            self.wide[key] = Value(value.name, type_, data)
            self.constants += 1
        return self.wide[key]

    def _write_out_range(self, op: Op, ranges: dict[Value, tuple[DType, QuantParams | None]]) -> None:
        """Say by an activation function what the result's range did."""
        result = op.results[0] if len(op.results) == 1 else None
        if result is None or result not in ranges:
            return
        dtype, quant = ranges[result]
        assert quant is not None
        function = implied_activation(dtype, quant)
        if function is None or function == _range_before(op, ranges):
            return
        if op.opcode in _ARITHMETIC and op.attributes["fused_activation_function"] == "NONE":
            op.attributes["fused_activation_function"] = function
            self.activations += 1
        elif op.opcode == "quantize" and op.operand(0) in ranges:  # a relu that a converter wrote as a change of scale
            builder = build(self.graph, before=op, source=op.source)
            op.set_operand(0, builder.emit(function.lower(), [op.operand(0)], name=f"{op.name}_range"))
            self.activations += 1

    def _remove_border(self, op: Op) -> None:
        """Let users of the converted value use the operand; a graph output keeps its name."""
        source, result = op.operand(0), op.result
        if result.is_output and (source.producer is None or source.is_output):
            shape = build(self.graph, before=op).ints(list(source.shape))
            kept = build(self.graph, before=op, source=op.source).emit(
                "reshape", [source, shape], name=result.name, new_shape=tuple(source.shape)
            )
            self.graph.replace(op, [kept])
            return
        if result.is_output:
            source.name, result.name = result.name, source.name
        self.graph.replace(op, [source])


def implied_activation(dtype: DType, quant: QuantParams) -> str | None:
    """The activation function that saturation of a quantized result amounts to, None where it starts below zero."""
    if quant.axis is not None:
        return None
    limits = np.iinfo(dtype.numpy)
    scale = quant.scale[0]
    low, high = ((int(edge) - quant.zero_point[0]) * scale for edge in (limits.min, limits.max))
    if low != 0 or dtype is DType.INT16:
        return None
    return "RELU6" if abs(high - 6) <= STEP * scale else "RELU"


def _range_before(op: Op, ranges: dict[Value, tuple[DType, QuantParams | None]]) -> str | None:
    """What the range of a `quantize` op's operand implied already."""
    if op.opcode != "quantize" or op.operand(0) not in ranges:
        return None
    dtype, quant = ranges[op.operand(0)]
    assert quant is not None
    return implied_activation(dtype, quant)


def _bias_quant(op: Op) -> QuantParams:
    """Parameters of a bias that carries none: input scale * weight scale."""
    inputs = 2 if op.opcode == "transpose_conv" else 0
    x, weight = op.operand(inputs), op.optional_operand(1)
    if op.opcode not in _MAIN_WEIGHT or x.quant is None or weight is None or weight.quant is None:
        raise QuantizationError(f"Dequantizing {op.describe()}: its bias carries no scale")
    scales = tuple(float(np.float32(x.quant.scale[0] * s)) for s in weight.quant.scale)
    return QuantParams(scales, (0,) * len(scales), None if len(scales) == 1 else 0)


def _drop_integer_options(op: Op) -> None:
    """Attributes, versions and extra tensors that only the integer kernels read."""
    op.version = None
    op.intermediates = ()
    definition = OP_DEFS.get(op.opcode)
    defaults = {} if definition is None else default_attributes(definition.options)
    for name in ("quantized_bias_type", "asymmetric_quantize_inputs"):
        if name in op.attributes:
            op.attributes[name] = defaults[name]
