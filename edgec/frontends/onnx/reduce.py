"""Reductions over axes, and the positions of extremes."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np

from edgec.frontends.onnx.node import Node
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.frontends.onnx.widening import FLOAT, WIDE, computed_in
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ir.types import TensorType
from edgec.ops.infer import normalize_axis

_EXTREMES = (*WIDE, DType.INT8, DType.UINT8, DType.INT16)
_ARG = (DType.FLOAT32, DType.INT8, DType.UINT8, DType.INT32, DType.BOOL)


class Reduction:
    """Emits the reductions of one node: all over the same axes."""

    def __init__(self, node: Node, context: Translation, x: Value) -> None:
        self.context = context
        self.at_run_time: Value | None = None
        if not node.is_constant(1) and node.input(1).type.elements:
            self.at_run_time = context.cast(node.input(1), DType.INT32)
            self.shape = node.declared_shape()
        named = node.ints(1, "axes") if node.is_constant(1) else None
        self.empty = not named and bool(node.int("noop_with_empty_axes", 0))
        axes = range(x.type.rank) if not named else (normalize_axis(axis, x.type.rank) for axis in named)
        self.axes = [] if self.empty else sorted(set(axes))
        self.keep_dims = bool(node.int("keepdims", 1))

    def emit(self, opcode: str, x: Value, *, keep_dims: bool | None = None) -> Value:
        """The reduction of `x`, which is `x` itself where there are no axes."""
        if not self.axes:
            return x
        keep = self.keep_dims if keep_dims is None else keep_dims
        if self.at_run_time is not None:
            types = None if keep is not self.keep_dims else [TensorType(self.shape, x.dtype)]
            return self.context.emit(opcode, [x, self.at_run_time], keep_dims=keep, result_types=types)
        return self.context.emit(opcode, [x, self.context.ints(self.axes)], keep_dims=keep)


Compute = Callable[[Reduction, Value], Value]


def _reduction(compute: Compute, kernels: Collection[DType] = WIDE) -> Callable[[Node, Translation], Value]:
    def translate(node: Node, context: Translation) -> Value:
        x = node.input(0)
        wide = context.cast(x, computed_in(x.dtype, kernels))
        return context.cast(compute(Reduction(node, context, x), wide), x.dtype)

    return translate


def _single(opcode: str, kernels: Collection[DType] = WIDE) -> Callable[[Node, Translation], Value]:
    return _reduction(lambda reduction, x: reduction.emit(opcode, x), kernels)


def _extreme(opcode: str, of_booleans: str) -> Translate:
    numbers = _single(opcode, _EXTREMES)

    def translate(node: Node, context: Translation) -> Value:
        x = node.input(0)
        if not x.type.elements:  # the kernel starts from the lowest finite number, ONNX from minus infinity
            return _of_nothing(node, context, x, opcode == "reduce_max")
        if x.dtype is DType.BOOL:
            return Reduction(node, context, x).emit(of_booleans, x)
        return numbers(node, context)

    return translate


def _of_nothing(node: Node, context: Translation, x: Value, largest: bool) -> Value:
    """The extreme of no elements: what every other number exceeds, or falls below."""
    if x.dtype is DType.BOOL:
        number: float = not largest
    elif x.dtype.is_float:
        number = -math.inf if largest else math.inf
    else:
        limits = np.iinfo(x.dtype.numpy)
        number = limits.min if largest else limits.max
    if not node.is_constant(1):
        return context.filled(node.declared_shape(), number, x.dtype)
    reduction = Reduction(node, context, x)
    shape = [1 if i in reduction.axes else size for i, size in enumerate(x.shape)]
    kept = [size for i, size in enumerate(shape) if reduction.keep_dims or i not in reduction.axes]
    return context.filled(kept, number, x.dtype)


def _l1(reduction: Reduction, x: Value) -> Value:
    context = reduction.context
    if x.dtype is DType.INT64:
        return reduction.emit("sum", context.emit("maximum", [x, context.emit("neg", [x])]))
    return reduction.emit("sum", context.emit("abs", [x]))


def _l2(reduction: Reduction, x: Value) -> Value:
    return reduction.context.emit("sqrt", [_sum_square(reduction, x)])


def _log_sum(reduction: Reduction, x: Value) -> Value:
    return reduction.context.emit("log", [reduction.emit("sum", x)])


def _log_sum_exp(reduction: Reduction, x: Value) -> Value:
    """log(sum(exp(x - m))) + m with m = max(x), which does not overflow."""
    context = reduction.context
    if not reduction.axes:
        return x
    peak = reduction.emit("reduce_max", x, keep_dims=True)
    total = reduction.emit("sum", context.emit("exp", [context.sub(x, peak)]))
    flat = reduction.emit("reduce_max", x) if reduction.at_run_time is not None else context.reshape(peak, total.shape)
    return context.add(context.emit("log", [total]), flat)


def _sum_square(reduction: Reduction, x: Value) -> Value:
    return reduction.emit("sum", reduction.context.mul(x, x))


_EXTREME_OF = {"arg_max": "reduce_max", "arg_min": "reduce_min"}


def _arg(opcode: str) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        x = node.input(0)
        last = node.int("select_last_index", 0)  # TFLite's kernel gives the first of equal elements
        axis = normalize_axis(node.int("axis", 0), x.type.rank)
        kernel = opcode
        if x.dtype is DType.INT64:  # no kernel takes it: the first place that equals the extreme
            extreme = context.emit(_EXTREME_OF[opcode], [x, context.ints([axis])], keep_dims=True)
            wide, kernel = context.cast(context.emit("equal", [x, extreme]), DType.INT32), "arg_max"
        else:
            wide = context.cast(x, computed_in(x.dtype, _ARG))
        if last:
            wide = context.emit("reverse_v2", [wide, context.ints([axis])])
        found = context.emit(kernel, [wide, context.ints(axis)], output_type="INT64")
        if last:
            found = context.sub(context.like(found, x.shape[axis] - 1), found)
        if not node.int("keepdims", 1):
            return found
        return context.reshape(found, [1 if i == axis else size for i, size in enumerate(x.shape)])

    return translate


TRANSLATIONS: dict[str, Translate] = {
    "ReduceMean": _single("mean"),
    "ReduceSum": _single("sum"),
    "ReduceProd": _single("reduce_prod"),
    "ReduceMax": _extreme("reduce_max", "reduce_any"),
    "ReduceMin": _extreme("reduce_min", "reduce_all"),
    "ReduceL1": _reduction(_l1),
    "ReduceL2": _reduction(_l2, FLOAT),
    "ReduceLogSum": _reduction(_log_sum, FLOAT),
    "ReduceLogSumExp": _reduction(_log_sum_exp, FLOAT),
    "ReduceSumSquare": _reduction(_sum_square),
    "ArgMax": _arg("arg_max"),
    "ArgMin": _arg("arg_min"),
}
