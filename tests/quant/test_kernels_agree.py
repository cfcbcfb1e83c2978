"""What the plan says an op computes is what the real int8 kernels compute, to one step of the output.

The reference is the float op on the dequantized inputs and weights, its result rounded to the output's int8 grid. Ops
that only move or compare data must agree exactly.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from edgec.ir import DType, Module, QuantParams, Value
from edgec.ir.builder import Builder
from edgec.ir.clone import clone_with_maps
from edgec.quant.apply import apply_plan
from edgec.quant.calibrate import calibrate
from edgec.quant.layout import layout
from edgec.quant.plan import QuantPlan, make_plan
from edgec.quant.scheme import dequantize_array, quantize_array

RNG = np.random.default_rng(3)
IMAGE = (1, 8, 8, 6)
CONV: dict[str, Any] = {"padding": "SAME", "stride_w": 2, "stride_h": 2, "dilation_w_factor": 1, "dilation_h_factor": 1}
POOL: dict[str, Any] = {"padding": "SAME", "stride_w": 2, "stride_h": 2, "filter_width": 3, "filter_height": 3}


Body = Callable[[Builder, list[Value]], Value]


def noise(*shape: int) -> np.ndarray:
    spread = np.exp(RNG.standard_normal(shape[0] if len(shape) > 1 else 1)).reshape(-1, *[1] * (len(shape) - 1))
    return (RNG.standard_normal(shape) * spread).astype(np.float32)


def conv(b: Builder, x: list[Value], activation: str = "RELU6") -> Value:
    return b.emit("conv_2d", [x[0], b.constant(noise(8, 3, 3, 6)), b.constant(noise(8))], **CONV,
                  fused_activation_function=activation)  # fmt: skip


def depthwise(b: Builder, x: list[Value]) -> Value:
    weight = np.moveaxis(noise(6, 3, 3, 1), 0, 3).transpose(2, 0, 1, 3)
    return b.emit("depthwise_conv_2d", [x[0], b.constant(weight), b.constant(noise(6))], **CONV, depth_multiplier=1)


def fully_connected(b: Builder, x: list[Value]) -> Value:
    return b.emit("fully_connected", [x[0], b.constant(noise(5, 12)), b.constant(noise(5))])


def transpose_conv(b: Builder, x: list[Value]) -> Value:
    operands = [b.ints([1, 16, 16, 4]), b.constant(noise(4, 3, 3, 6)), x[0], b.constant(noise(4))]
    return b.emit("transpose_conv", operands, padding="SAME", stride_w=2, stride_h=2)


def unary(op: str, **attributes: Any) -> Body:
    return lambda b, x: b.emit(op, [x[0]], **attributes)


def with_ints(op: str, *ints: Any, **attributes: Any) -> Body:
    return lambda b, x: b.emit(op, [x[0], *[b.ints(i) for i in ints]], **attributes)


def binary(op: str, **attributes: Any) -> Body:
    return lambda b, x: b.emit(op, [x[0], x[1]], **attributes)


PAIR = [IMAGE, IMAGE]
# name: (input shapes, body, steps of the output allowed, runtimes)
EVERYWHERE, LITERT = ("litert", "tflm"), ("litert",)
CASES: dict[str, tuple[Sequence[tuple[int, ...]], Body, int, tuple[str, ...]]] = {
    "conv_2d": ([IMAGE], conv, 1, EVERYWHERE),
    "depthwise_conv_2d": ([IMAGE], depthwise, 1, EVERYWHERE),
    "fully_connected": ([(3, 12)], fully_connected, 1, EVERYWHERE),
    "transpose_conv": ([IMAGE], transpose_conv, 1, EVERYWHERE),
    "batch_matmul": ([(2, 4, 6), (2, 6, 5)], binary("batch_matmul"), 1, EVERYWHERE),
    "add": (PAIR, binary("add", fused_activation_function="RELU"), 1, EVERYWHERE),
    "add constant": ([IMAGE], lambda b, x: b.emit("add", [x[0], b.constant(noise(6))]), 1, EVERYWHERE),
    "sub": (PAIR, binary("sub"), 1, EVERYWHERE),
    "mul": (PAIR, binary("mul"), 1, EVERYWHERE),
    "mul scalar": ([IMAGE], lambda b, x: b.emit("mul", [x[0], b.constant(-0.3)]), 1, EVERYWHERE),
    "maximum": (PAIR, binary("maximum"), 0, EVERYWHERE),
    "minimum": (PAIR, binary("minimum"), 0, EVERYWHERE),
    "squared_difference": (PAIR, binary("squared_difference"), 1, EVERYWHERE),
    "concatenation": (PAIR, lambda b, x: b.emit("concatenation", x, axis=3), 0, EVERYWHERE),
    "pack": (PAIR, lambda b, x: b.emit("pack", x, axis=1, values_count=2), 0, EVERYWHERE),
    "average_pool_2d": ([IMAGE], unary("average_pool_2d", **POOL), 1, EVERYWHERE),
    "max_pool_2d": ([IMAGE], unary("max_pool_2d", **POOL), 0, EVERYWHERE),
    "mean": ([IMAGE], with_ints("mean", [1, 2], keep_dims=True), 1, EVERYWHERE),
    "sum": ([IMAGE], with_ints("sum", [1, 2]), 1, EVERYWHERE),
    "reduce_max": ([IMAGE], with_ints("reduce_max", [1, 2]), 0, EVERYWHERE),
    "reshape": ([IMAGE], with_ints("reshape", [1, 384], new_shape=(1, 384)), 0, EVERYWHERE),
    "transpose": ([IMAGE], with_ints("transpose", [0, 3, 1, 2]), 0, EVERYWHERE),
    "pad": ([IMAGE], with_ints("pad", [[0, 0], [1, 1], [2, 0], [0, 0]]), 0, EVERYWHERE),
    "mirror_pad": ([IMAGE], with_ints("mirror_pad", [[0, 0], [1, 1], [2, 0], [0, 0]], mode="REFLECT"), 0, EVERYWHERE),
    "slice": ([IMAGE], with_ints("slice", [0, 1, 1, 0], [1, 4, 4, 6]), 0, EVERYWHERE),
    "gather": ([IMAGE], with_ints("gather", [2, 0], axis=3), 0, EVERYWHERE),
    "space_to_depth": ([IMAGE], unary("space_to_depth", block_size=2), 0, EVERYWHERE),
    "depth_to_space": ([(1, 4, 4, 8)], unary("depth_to_space", block_size=2), 0, EVERYWHERE),
    "resize_bilinear": ([IMAGE], with_ints("resize_bilinear", [16, 12], half_pixel_centers=True), 1, EVERYWHERE),
    "resize_nearest_neighbor": ([IMAGE], with_ints("resize_nearest_neighbor", [16, 16]), 0, EVERYWHERE),
    "relu": ([IMAGE], unary("relu"), 1, EVERYWHERE),
    "relu6": ([IMAGE], unary("relu6"), 1, EVERYWHERE),
    "leaky_relu": ([IMAGE], unary("leaky_relu", alpha=0.1), 1, EVERYWHERE),
    "prelu": ([IMAGE], lambda b, x: b.emit("prelu", [x[0], b.constant(np.abs(noise(1, 1, 6)))]), 1, EVERYWHERE),
    "elu": ([IMAGE], unary("elu"), 1, EVERYWHERE),
    "gelu": ([IMAGE], unary("gelu"), 1, LITERT),
    "hard_swish": ([IMAGE], unary("hard_swish"), 1, EVERYWHERE),
    "logistic": ([IMAGE], unary("logistic"), 1, EVERYWHERE),
    "tanh": ([IMAGE], unary("tanh"), 1, EVERYWHERE),
    "softmax": ([(4, 10)], unary("softmax", beta=1.0), 1, EVERYWHERE),
    "log_softmax": ([(4, 10)], unary("log_softmax"), 1, EVERYWHERE),
    "l2_normalization": ([(4, 10)], unary("l2_normalization"), 1, EVERYWHERE),
    "abs": ([IMAGE], unary("abs"), 1, EVERYWHERE),
    "exp": ([IMAGE], unary("exp"), 1, LITERT),
}  # fmt: skip
KERNELS = [(case, runtime) for case, (_, _, _, runtimes) in CASES.items() for runtime in runtimes]


def with_rounded_constants(module: Module, plan: QuantPlan) -> Module:
    """The float module on what its constants stand for once rounded."""
    clone = clone_with_maps(module)
    for (op, index), what in plan.operands.items():
        value = op.operand(index)
        if value.is_constant:
            integers = quantize_array(value.array(), what.dtype, what.quant)
            rounded = dequantize_array(integers, what.quant)
            clone.ops[op].set_operand(index, Value(value.name, value.type, rounded))
    return clone.module


@pytest.mark.parametrize(("case", "runtime"), KERNELS, ids=[f"{c}-{r}" for c, r in KERNELS])
def test_int8_kernel_computes_what_the_plan_says(case: str, runtime: str, kit: Any) -> None:
    shapes, body, allowed, _ = CASES[case]
    target = kit.mcu if runtime == "tflm" else kit.mobile
    module = kit.module(shapes, body)
    samples = kit.samples(module, 8, spread=2.0)
    decided = layout(module, target)
    assert not decided.float_ops
    plan = make_plan(decided, target, calibrate(module, samples, values=decided.sources).by_value)
    quantized = apply_plan(module, plan).module
    reference = with_rounded_constants(module, plan)
    [output] = module.main.outputs
    quant = plan.results[output]
    worst, total = 0, 0.0
    for feeds in samples[:4]:
        on_grid = {v.name: _fake(feeds[v.name], plan.results[v]) for v in module.main.inputs}
        wanted = quantize_array(kit.run_float(reference, on_grid)[0], DType.INT8, quant)
        got = np.rint(kit.run(quantized, on_grid, runtime)[0] / quant.scale[0]) + quant.zero_point[0]
        worst = max(worst, int(np.abs(got - wanted.astype(int)).max()))
        total += float(np.ptp(wanted.astype(int)))
    assert total > 40  # the case exercises the grid
    assert worst <= allowed


def _fake(array: np.ndarray, quant: QuantParams) -> np.ndarray:
    return dequantize_array(quantize_array(array, DType.INT8, quant), quant)
