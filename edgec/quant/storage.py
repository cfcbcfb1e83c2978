"""The schemes that need no samples: fp16 stores weights in half precision, w8 in int8; activations stay float.

What LiteRT 2.3 makes of int8 weights beside float activations was measured (x86-64, one thread):

| op | int8 weights in the op (dynamic range) | behind `dequantize` |
| --- | --- | --- |
| conv_2d, transpose_conv, fully_connected, per channel | right, XNNPACK, 1 to 9 times as fast as float | float speed |
| depthwise_conv_2d, per channel | right, no XNNPACK, 7 times slower than float | float speed |
| depthwise_conv_2d, per tensor | **garbage** | |

`dequantize` of a constant runs once, at the first invocation; XNNPACK reads through it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from edgec.ir.clone import clone_with_maps
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import Role
from edgec.ir.verify import CUSTOM, OPAQUE
from edgec.ops import OP_DEFS, build, verify
from edgec.quant.scheme import quantize_array, weight_params

DYNAMIC_RANGE_OPS = ("conv_2d", "fully_connected", "transpose_conv")
LARGEST_FLOAT16 = 65504.0
_UNTOUCHED = (CUSTOM, OPAQUE, "dequantize", "quantize")


@dataclass(frozen=True)
class Stored:
    """A module whose constants are stored smaller, how many are, and how many bytes that saves."""

    module: Module
    constants: int
    bytes_saved: int
    notes: tuple[str, ...] = ()


def store_fp16(module: Module, small_elements: int) -> Stored:
    """A copy whose float32 constants of `small_elements` and more are float16 behind a `dequantize`.

    A constant with magnitudes beyond float16's 65,504 stays float32 and is named in the notes.
    """
    storage = _Storage(module, small_elements)
    storage.behind_dequantize(_half)
    return storage.finish()


def store_w8(module: Module, small_elements: int) -> Stored:
    """A copy whose weights of `small_elements` and more are int8 per channel: in the op where the kernel computes on
    them, behind a `dequantize` elsewhere.
    """
    storage = _Storage(module, small_elements)
    storage.dynamic_range()
    storage.behind_dequantize(_int8)
    return storage.finish()


Shrink = Callable[[Op, int, Value], Value | None]


class _Storage:
    def __init__(self, module: Module, small_elements: int) -> None:
        self.module = clone_with_maps(module).module
        self.small_elements = small_elements
        self.constants = 0
        self.bytes_saved = 0
        self.notes: dict[str, None] = {}

    def finish(self) -> Stored:
        verify(self.module)
        return Stored(self.module, self.constants, self.bytes_saved, tuple(self.notes))

    def dynamic_range(self) -> None:
        """Put int8 weights into the ops that compute on them."""
        smaller: dict[Value, Value] = {}
        for graph in self.module.graphs:
            for op in graph.ops:
                if op.opcode in DYNAMIC_RANGE_OPS and not _is_grouped(op):
                    self._make_hybrid(op, smaller)

    def _make_hybrid(self, op: Op, smaller: dict[Value, Value]) -> None:
        index = _weight_index(op)
        weight = op.operand(index)
        if not self._is_wanted(weight) or op.results[0].dtype is not DType.FLOAT32:
            return
        if weight not in smaller:
            smaller[weight] = self._counted(weight, _int8(op, index, weight))
        op.set_operand(index, smaller[weight])
        op.version = None
        if op.opcode == "fully_connected":
            op.attributes["asymmetric_quantize_inputs"] = True  # 6 dB better after a ReLU, in LiteRT's own kernel

    def behind_dequantize(self, shrink: Shrink) -> None:
        """Store constants smaller and widen them at load; each gets one `dequantize`, before its first user."""
        for graph in self.module.graphs:
            wide: dict[Value, Value | None] = {}
            for op in list(graph.ops):
                definition = OP_DEFS.get(op.opcode)
                if definition is None or op.opcode in _UNTOUCHED:
                    continue
                for index, value in enumerate(op.operands):
                    if value is None or not self._is_wanted(value) or definition.role(index) is Role.PARAMETER:
                        continue
                    if value not in wide:
                        wide[value] = self._dequantized(graph, op, index, value, shrink)
                    op.set_operand(index, wide[value] or value)

    def _dequantized(self, graph: Graph, op: Op, index: int, value: Value, shrink: Shrink) -> Value | None:
        small = shrink(op, index, value)
        if small is None:
            self.notes[f"constant '{value.name}' stays float32: it holds values beyond what float16 reaches"] = None
            return None
        self._counted(value, small)
        return build(graph, before=op).emit("dequantize", [small], name=value.name + "_wide")

    def _is_wanted(self, value: Value) -> bool:
        return (
            value.is_constant
            and value.dtype is DType.FLOAT32
            and value.sparsity is None
            and value.type.elements >= self.small_elements
        )

    def _counted(self, value: Value, small: Value | None) -> Value:
        assert small is not None
        self.constants += 1
        self.bytes_saved += value.type.bytes - small.type.bytes
        return small


def _half(op: Op, index: int, value: Value) -> Value | None:
    del op, index
    data = value.array()
    if not max(data.max(initial=0.0), -data.min(initial=0.0)) <= LARGEST_FLOAT16 or np.isnan(data.max(initial=0.0)):
        return None
    return Value(value.name, value.type.with_dtype(DType.FLOAT16), data.astype(np.float16))


def _int8(op: Op, index: int, value: Value) -> Value | None:
    definition = OP_DEFS[op.opcode]
    data = value.array()
    if not np.isfinite(data).all():
        return None
    axis = definition.quant.weight_axis if definition.role(index) is Role.WEIGHT else None
    quant = weight_params(data, axis)
    integers = quantize_array(data, DType.INT8, quant, narrow=True)
    return Value(value.name, replace(value.type, dtype=DType.INT8, quant=quant), integers)


def _weight_index(op: Op) -> int:
    definition = OP_DEFS[op.opcode]
    return next(i for i in range(len(op.operands)) if definition.role(i) is Role.WEIGHT)


def _is_grouped(op: Op) -> bool:
    return op.opcode == "conv_2d" and op.operand(0).shape[3] != op.operand(1).shape[3]
