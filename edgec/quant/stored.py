"""Models that arrive with quantization in them: small weights beside float activations, QDQ pairs, int8 graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgec.ir.clone import Clone, clone_with_maps
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import Role
from edgec.ir.types import QuantParams
from edgec.ops import OP_DEFS
from edgec.quant.scheme import dequantize_array

_INTEGERS = (DType.INT8, DType.UINT8, DType.INT16)
_BORDERS = ("quantize", "dequantize")
UINT8_SHIFT = 128


def is_quantized(module: Module) -> bool:
    """True where some op computes on quantized integers; float graphs with QDQ pairs or small weights do not."""
    return any(
        result.dtype in _INTEGERS and result.quant is not None
        for graph in module.graphs
        for op in graph.ops
        if op.opcode not in _BORDERS
        for result in op.results
    )


@dataclass(frozen=True)
class Widened:
    """A float copy of a module, and the int8 parameters its constants were stored with."""

    clone: Clone
    weights: dict[Value, QuantParams]

    @property
    def module(self) -> Module:
        """The float copy."""
        return self.clone.module


def widened(module: Module) -> Widened:
    """A copy whose weights are float32 constants: hybrid ops' small weights and dequantized constants are widened.

    Symmetric int8 parameters are kept, so that quantizing again gives the very integers of the file.
    """
    clone = clone_with_maps(module)
    weights: dict[Value, QuantParams] = {}
    for graph in clone.module.graphs:
        for op in list(graph.ops):
            if op.opcode == "dequantize" and op.operand(0).is_constant and op.operand(0).sparsity is None:
                constant = _widen(op.operand(0), op.result.name, weights)
                if constant is not None:
                    graph.replace(op, [constant])
            else:
                _widen_hybrid(op, weights)
    return Widened(clone, weights)


def absorb_qdq(module: Module) -> dict[Value, QuantParams]:
    """Strip quantize → dequantize pairs from the main graph; returns the int8 parameters by value that they stood for.

    Before:  %1 = conv_2d(%0)  %2 = quantize(%1)  %3 = dequantize(%2)  %4 = relu(%3)
    After:   %1 = conv_2d(%0)  %4 = relu(%1)                           {%1: parameters of %2}

    uint8 parameters are moved to int8 (zero point - 128). Pairs of other types, and per-channel ones, are stripped too
    but give no parameters. Where one value has several pairs the first counts.
    """
    graph = module.main
    given: dict[Value, QuantParams] = {}
    for op in list(graph.ops):
        if op.graph is not graph or op.opcode != "dequantize":
            continue
        producer = op.operand(0).producer
        if producer is None or producer.opcode != "quantize" or producer.operand(0).dtype is not op.result.dtype:
            continue
        source = producer.operand(0)
        quant = _as_int8(op.operand(0))
        if quant is not None and source not in given:
            given[source] = quant
        _bypass(graph, op, source)
        if not producer.result.use_count:
            graph.erase(producer)
    return given


def _bypass(graph: Graph, op: Op, source: Value) -> None:
    """Let users of the dequantized value use the real one; a graph output keeps its name."""
    result = op.result
    if result.is_output and source.producer is not None and not source.is_output:
        source.name, result.name = result.name, source.name
    graph.replace(op, [source])


def _as_int8(value: Value) -> QuantParams | None:
    quant = value.quant
    if quant is None or quant.axis is not None or quant.scale[0] <= 0:
        return None
    if value.dtype is DType.UINT8:
        return QuantParams.per_tensor(quant.scale[0], quant.zero_point[0] - UINT8_SHIFT)
    return QuantParams.per_tensor(quant.scale[0], quant.zero_point[0]) if value.dtype is DType.INT8 else None


def _widen_hybrid(op: Op, weights: dict[Value, QuantParams]) -> None:
    definition = OP_DEFS.get(op.opcode)
    if definition is None or not any(r.dtype is DType.FLOAT32 for r in op.results):
        return
    for index in definition.operand_indices(Role.WEIGHT, op):
        value = op.operand(index)
        if value.is_constant and value.dtype in (*_INTEGERS, DType.FLOAT16) and value.sparsity is None:
            constant = _widen(value, value.name, weights)
            if constant is not None:
                op.set_operand(index, constant)
                op.version = None
                if "asymmetric_quantize_inputs" in op.attributes:
                    op.attributes["asymmetric_quantize_inputs"] = False


def _widen(value: Value, name: str, weights: dict[Value, QuantParams]) -> Value | None:
    """A float32 constant of the same reals, None where the stored form says no reals."""
    type_ = replace(value.type, dtype=DType.FLOAT32, quant=None)
    if value.dtype is DType.FLOAT16:
        return Value(name, type_, value.array().astype(np.float32))
    quant = value.quant
    if quant is None:
        return None
    constant = Value(name, type_, dequantize_array(value.array(), quant))
    if value.dtype is DType.INT8 and not any(quant.zero_point):
        weights[constant] = quant
    return constant
