"""Inference, op versions and quantization support of one-op models, judged by LiteRT's kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite.serialize import serialize
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import OpDef, Role
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import OP_DEFS, build, verify
from edgec.runtime.litert import LiteRTSession

F32, I32, I64, BOOL = DType.FLOAT32, DType.INT32, DType.INT64, DType.BOOL
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Case:
    """One op with operands (a shape: float input; a type: input; an array or list: constant; None: absent)."""

    opcode: str
    operands: tuple[Any, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    results: tuple[TensorType, ...] | None = None
    values: dict[int, Array] = field(default_factory=dict)  # what to feed to inputs whose value matters

    def __str__(self) -> str:
        shown = "-".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.opcode}{'-' + shown if shown else ''}"


def case(
    opcode: str, *operands: Any, results: tuple[TensorType, ...] | None = None, values: dict[int, Array] | None = None,
    **attributes: Any,
) -> Case:  # fmt: skip
    return Case(opcode, operands, attributes, results, values or {})


def ints(*shape: int, dtype: DType = I32) -> TensorType:
    return TensorType(shape, dtype)


def bools(*shape: int) -> TensorType:
    return TensorType(shape, BOOL)


def state(*shape: int) -> Callable[[], Value]:
    return lambda: Value("state", TensorType(shape, F32), is_variable=True)


def weights(*shape: int) -> Array:
    return np.random.default_rng(0).normal(scale=0.3, size=shape).astype(np.float32)


IMAGE = (1, 8, 6, 4)
POOL: dict[str, Any] = {"padding": "VALID", "stride_h": 2, "stride_w": 1, "filter_height": 3, "filter_width": 2}
CONV: dict[str, Any] = {"stride_h": 2, "stride_w": 1}
SCALAR_TWO = np.array(2, np.int32)
ONE, HALF = np.float32(1), np.float32(0.5)
BOXES = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, 3, 3]], np.float32)


def lstm_operands(inputs: int, cells: int, batch: int) -> list[Any]:
    gates = [weights(cells, inputs) for _ in range(4)] + [weights(cells, cells) for _ in range(4)]
    return [*gates, None, None, None, *[weights(cells) for _ in range(4)], None, None,
            state(batch, cells), state(batch, cells)]  # fmt: skip


def bidirectional_lstm_operands(inputs: int, cells: int) -> list[Any]:
    cell = lstm_operands(inputs, cells, 1)[:17]
    return [*cell, *cell, *[state(1, cells) for _ in range(4)], *[None] * 9]


RNN = (weights(5, 3), weights(5, 5), weights(5))

CASES = [
    # convolutions
    case("conv_2d", IMAGE, weights(5, 3, 3, 4), weights(5), **CONV),
    case("conv_2d", IMAGE, weights(5, 3, 3, 4), weights(5), padding="VALID", dilation_h_factor=2, stride_h=1,
         stride_w=1),
    case("conv_2d", IMAGE, weights(6, 3, 3, 2), weights(6), **CONV),
    case("depthwise_conv_2d", IMAGE, weights(1, 3, 3, 8), weights(8), depth_multiplier=2, stride_h=2, stride_w=2),
    case("transpose_conv", [1, 16, 6, 5], weights(5, 3, 3, 4), IMAGE, **CONV),
    case("transpose_conv", [1, 17, 8, 5], weights(5, 3, 3, 4), IMAGE, weights(5), padding="VALID", **CONV),
    case("conv_3d", (1, 4, 5, 6, 2), weights(2, 3, 3, 2, 3), weights(3), stride_d=1, stride_h=2, stride_w=1),
    case("conv_3d_transpose", [1, 8, 10, 12, 3], weights(2, 3, 3, 3, 2), (1, 4, 5, 6, 2), weights(3),
         stride_d=2, stride_h=2, stride_w=2),
    # products
    case("fully_connected", (2, 3, 4), weights(5, 4), weights(5)),
    case("fully_connected", (2, 3, 4), weights(5, 4), weights(5), keep_num_dims=True),
    case("fully_connected", (2, 3, 4), weights(5, 12)),
    case("batch_matmul", (2, 3, 4), (2, 4, 5)),
    case("batch_matmul", (2, 4, 3), (5, 4), adj_x=True, adj_y=True),
    case("embedding_lookup", [2, 0, 1], weights(5, 4)),
    # pooling
    case("average_pool_2d", IMAGE, **POOL),
    case("max_pool_2d", IMAGE, **POOL | {"padding": "SAME"}),
    case("l2_pool_2d", IMAGE, **POOL),
    # arithmetic
    *[case(name, (2, 1, 3), (4, 3)) for name in (
        "add", "sub", "mul", "div", "maximum", "minimum", "squared_difference", "pow", "floor_div", "floor_mod",
        "less", "less_equal", "greater", "greater_equal", "equal", "not_equal")],
    case("atan2", (2, 3), (2, 3)),
    *[case(name, bools(2, 1, 3), bools(4, 3)) for name in ("logical_and", "logical_or")],
    *[case(name, ints(2, 3), ints(2, 3)) for name in ("bitwise_xor", "right_shift", "add", "mul", "floor_div")],
    *[case(name, ints(2, 3, dtype=I64), ints(2, 3, dtype=I64)) for name in ("add", "sub", "mul")],
    *[case(name, (2, 1, 3, 1, 2, 1), (4, 1, 1, 2, 2)) for name in ("add", "mul", "sub", "div", "maximum")],
    case("add_n", (2, 3), (2, 3), (2, 3)),
    *[case(name, (2, 3)) for name in (
        "abs", "neg", "exp", "log", "sqrt", "rsqrt", "square", "sin", "cos", "floor", "ceil", "round", "sign")],
    case("abs", ints(2, 3)),
    case("sign", ints(2, 3)),
    case("logical_not", bools(2, 3)),
    # activations
    *[case(name, (2, 3)) for name in (
        "relu", "relu6", "relu_n1_to_1", "relu_0_to_1", "elu", "gelu", "hard_swish", "logistic", "tanh",
        "log_softmax", "l2_normalization")],
    case("leaky_relu", (2, 3), alpha=0.1),
    case("softmax", (2, 3), beta=1.0),
    case("local_response_normalization", IMAGE, radius=2, bias=1.0, alpha=1.0, beta=0.5),
    case("prelu", IMAGE, weights(1, 1, 4)),
    # shapes
    case("reshape", (2, 3, 4), [4, -1]),
    case("reshape", (2, 3, 4), new_shape=(6, 4)),
    case("reshape", (2, 3, 4), ints(2), values={1: np.array([4, 6], np.int32)}),
    case("squeeze", (1, 3, 1, 4)),
    case("squeeze", (1, 3, 1, 4), squeeze_dims=(-2,)),
    case("expand_dims", (2, 3), [-2]),
    case("shape", (2, 3), out_type="INT64"),
    case("rank", (2, 3)),
    # moving
    case("transpose", (2, 3, 4), [2, 0, 1]),
    case("transpose", (2, 1, 3, 1, 2), [4, 2, 0, 1, 3]),
    case("transpose", (1, 2, 1, 3, 1, 2), [4, 2, 0, 1, 3, 5]),
    case("concatenation", (2, 3), (2, 4), axis=-1),
    case("split", [1], (2, 6), num_splits=3),
    case("split_v", (2, 6), [1, -1, 2], [-1], num_splits=3),
    case("slice", (4, 5, 6), [1, 0, 2], [2, -1, 3]),
    case("slice", (2, 2, 2, 2, 2), [0, 0, 1, 0, 1], [1, 2, 1, -1, 1]),
    case("strided_slice", (4, 5, 6), [0, 4, 1], [0, 0, 6], [1, -2, 2], end_mask=1),
    case("strided_slice", (4, 5, 6), [0, 1, -1], [0, 3, 0], [1, 1, 1], begin_mask=1, end_mask=1, shrink_axis_mask=4),
    case("strided_slice", (4, 5, 6), [0, 0, 1], [0, 0, 4], [1, 1, 1], ellipsis_mask=2, new_axis_mask=1),
    case("strided_slice", (4, 5), [1, 1], [2, 3], [1, 1], offset=True),
    case("pad", (2, 3), [[1, 0], [0, 2]]),
    case("pad", (1, 2, 1, 2, 3), [[0, 0], [1, 0], [0, 2], [0, 0], [1, 1]]),
    case("padv2", (2, 3), [[1, 0], [0, 2]], ONE),
    case("mirror_pad", (3, 4), [[2, 0], [0, 3]], mode="REFLECT"),
    case("mirror_pad", (3, 4), [[3, 0], [0, 4]], mode="SYMMETRIC"),
    case("tile", (2, 3), [2, 1]),
    case("broadcast_to", (3, 1), [2, 3, 4]),
    case("broadcast_args", [3, 1], [2, 1, 4]),
    case("pack", (2, 3), (2, 3), values_count=2, axis=-1),
    case("unpack", (2, 3), num=3, axis=1),
    case("reverse_v2", (2, 3), [1]),
    case("reverse_sequence", (3, 4, 2), [1, 2, 3], seq_dim=1, batch_dim=0),
    case("dynamic_update_slice", (4, 5), (2, 2), [1, 3]),
    case("dilate", (2, 3), [2, 3], np.zeros((), np.float32)),
    case("space_to_depth", (1, 4, 6, 3), block_size=2),
    case("depth_to_space", (1, 4, 6, 8), block_size=2),
    case("space_to_batch_nd", (1, 4, 6, 3), [2, 3], [[1, 1], [0, 0]]),
    case("space_to_batch_nd", (1, 4, 3), [2], [[1, 1]]),
    case("batch_to_space_nd", (6, 2, 2, 3), [2, 3], [[1, 0], [0, 2]]),
    # picking
    case("gather", (3, 4, 5), [[2, 0]], axis=1),
    case("gather", (2, 3, 4), [[2, 0], [1, 1]], axis=2, batch_dims=1),
    case("gather_nd", (3, 4, 5), [[2, 0], [1, 1], [0, 3]]),
    case("scatter_nd", [[1], [3]], (2, 4), [5, 4]),
    case("one_hot", [[0, 2], [1, 3]], [4], ONE, HALF, axis=-1),
    case("one_hot", [[0, 2], [1, 3]], [4], ONE, HALF, axis=1),
    case("where", bools(2, 3)),
    case("select", bools(2, 3), (2, 3), (2, 3)),
    case("select", bools(2), (2, 3), (2, 3)),
    case("select_v2", bools(2, 1), (2, 3), (1, 3)),
    case("topk_v2", (2, 5), [3]),
    case("unique", ints(5)),
    case("cumsum", (2, 3), [-1]),
    case("sparse_to_dense", [[0, 1], [2, 0]], [3, 4], weights(2), ONE),
    case("bucketize", (2, 3), boundaries=(0.0, 1.0, 2.5)),
    case("non_max_suppression_v4", BOXES, weights(3), SCALAR_TWO, HALF, HALF - 1),
    case("non_max_suppression_v5", BOXES, weights(3), SCALAR_TWO, HALF, HALF - 1, HALF),
    case("segment_sum", (4, 3), [0, 0, 1, 2]),
    *[case(f"unsorted_segment_{kind}", (4, 3), [2, 0, 1, 2], [4]) for kind in ("sum", "prod", "max", "min")],
    case("hashtable_lookup", [3, 1], [1, 2, 3], weights(3, 4)),
    # reductions
    *[case(name, (2, 3, 4), axes, keep_dims=keep) for axes, keep in (([-1, 0], False), ([1], True))
      for name in ("mean", "sum", "reduce_prod", "reduce_max", "reduce_min")],
    *[case(name, bools(2, 3), [0]) for name in ("reduce_any", "reduce_all")],
    *[case(name, (2, 3), [-1], output_type=kind) for name in ("arg_max", "arg_min") for kind in ("INT32", "INT64")],
    # resizing
    case("resize_bilinear", (1, 4, 3, 2), [7, 5]),
    case("resize_bilinear", (1, 4, 3, 2), [7, 5], half_pixel_centers=True),
    case("resize_nearest_neighbor", (1, 4, 3, 2), [7, 5]),
    case("resize_nearest_neighbor", (1, 4, 3, 2), [7, 5], align_corners=True),
    # making
    case("fill", [2, 3], ONE),
    case("range", *np.array([1, 10, 4], np.int32)),
    case("range", np.float32(0), np.float32(1), np.float32(0.3)),
    case("range", *np.array([10, 0, -3], np.int64)),
    case("zeros_like", (2, 3)),
    case("random_uniform", [2, 3]),
    case("random_standard_normal", [2, 3]),
    case("multinomial", (2, 3), SCALAR_TWO),
    case("matrix_diag", (2, 3)),
    case("matrix_set_diag", (2, 3, 4), (2, 3)),
    # types
    case("cast", (2, 3), in_data_type="FLOAT32", out_data_type="INT32"),
    case("cast", (2, 3), in_data_type="FLOAT32", out_data_type="INT8"),
    case("bitcast", (2, 3), results=(TensorType((2, 3, 4), DType.UINT8),)),
    case("bitcast", TensorType((3, 2), DType.INT16), results=(TensorType((3,), I32),)),
    case("fake_quant", (2, 3), min=-1.0, max=1.0, num_bits=8),
    case("dequantize", weights(2, 3).astype(np.float16)),
    *[case("quantize", (2, 3), results=(TensorType((2, 3), dtype, QuantParams.per_tensor(0.1)),))
      for dtype in (DType.INT8, DType.INT16, DType.UINT8)],
    *[case("dequantize", TensorType((2, 3), dtype, QuantParams.per_tensor(0.1)))
      for dtype in (DType.INT8, DType.INT16, DType.UINT8)],
    # memory
    case("unidirectional_sequence_lstm", (1, 4, 3), *lstm_operands(3, 5, 1), fused_activation_function="TANH"),
    case("unidirectional_sequence_lstm", (4, 2, 3), *lstm_operands(3, 5, 2), fused_activation_function="TANH",
         time_major=True),
    case("lstm", (2, 3), *lstm_operands(3, 5, 2), fused_activation_function="TANH"),
    case("bidirectional_sequence_lstm", (4, 1, 3), *bidirectional_lstm_operands(3, 5), merge_outputs=True,
         fused_activation_function="TANH"),
    case("rnn", (2, 3), *RNN, state(2, 5)),
    case("unidirectional_sequence_rnn", (2, 4, 3), *RNN, state(2, 5)),
    case("bidirectional_sequence_rnn", (2, 4, 3), *RNN, state(2, 5), *RNN, state(2, 5), None, None, None),
    case("svdf", (2, 3), weights(8, 3), weights(8, 6), weights(4), state(2, 48), rank=2),
    # signals
    case("rfft2d", (2, 8, 4), [8, 4]),
    *[case(name, TensorType((2, 3), DType.COMPLEX64)) for name in ("real", "imag", "complex_abs")],
]  # fmt: skip

SCALES = {DType.INT8: (0.05, 3), DType.INT16: (0.0005, 0)}
# Quantized LSTMs and SVDFs need more than a rule for operands (intermediates, quantized state); files from the
# converter cover them in test_real_files.py. Range and random numbers have no float operand to quantize.
NOT_BY_RULE = ("unidirectional_sequence_lstm", "lstm", "svdf", "quantize", "dequantize", "shape", "rank")
# Units of the result's scale by which a kernel may miss the float result. 1.5: rounding and a rescaled operand. At
# int16, rescaling after each of several products, a table of 513 entries or 10-bit interpolation weights miss by more.
TOLERANCE = 1.5
INT16_TOLERANCES = {"exp": 4.0, "reduce_prod": 2.0, "resize_bilinear": 8.0}


def _operand(graph: Graph, given: Any) -> Value | None:
    if given is None:
        return None
    if callable(given):
        return given()  # type: ignore[no-any-return]
    if isinstance(given, TensorType):
        return graph.add_input(graph.fresh_name("in"), given)
    if isinstance(given, tuple):
        return graph.add_input(graph.fresh_name("in"), TensorType(given, F32))
    return graph.constant(np.asarray(given, None if isinstance(given, (np.ndarray, np.generic)) else np.int32))


def build_case(case: Case, integer: DType | None = None) -> Module:
    """A module of one op; with `integer`, its float activations in that type by the op's own quantization rule."""
    module = Module()
    graph = module.main
    operands = [_operand(graph, given) for given in case.operands]
    if integer is not None:
        operands = _quantized_operands(graph, OP_DEFS[case.opcode], operands, integer)
    attributes = dict(case.attributes)
    if integer is DType.INT16 and case.opcode in ("add", "sub"):
        attributes["pot_scale_int16"] = False
    op = build(graph).emit_op(case.opcode, operands, result_types=case.results, **attributes)
    if integer is not None:
        _quantize_results(op, integer)
    graph.outputs = op.results
    return module


def _quantized_operands(
    graph: Graph, definition: OpDef, operands: list[Value | None], integer: DType
) -> list[Value | None]:
    quantized = list(operands)
    weight_scales = np.ones(1)
    for index, value in enumerate(operands):
        if value is None or value.dtype is not F32:
            continue
        role = definition.role(index)
        if role is Role.ACTIVATION:
            quantized[index] = _quantized(graph, value, integer, QuantParams.per_tensor(*SCALES[integer]))
        elif role is Role.WEIGHT:
            axis = definition.quant.weight_axis
            others = None if axis is None else tuple(i for i in range(value.type.rank) if i != axis)
            weight_scales = np.atleast_1d(np.abs(value.array()).max(axis=others)) / 127
            quantized[index] = _quantized(graph, value, DType.INT8, _symmetric(weight_scales, axis))
        elif role is Role.BIAS:
            wide = I64 if integer is DType.INT16 else I32
            axis = 0 if len(weight_scales) > 1 else None
            quantized[index] = _quantized(graph, value, wide, _symmetric(weight_scales * SCALES[integer][0], axis))
    return quantized


def _symmetric(scales: Array, axis: int | None) -> QuantParams:
    return QuantParams(tuple(scales.tolist()), (0,) * len(scales), axis)


def _quantized(graph: Graph, value: Value, dtype: DType, quant: QuantParams) -> Value:
    if value.data is None:
        value.type = TensorType(value.shape, dtype, quant)
        return value
    return graph.constant(quantize(value.array(), dtype, quant), dtype=dtype, quant=quant)


def _along_axis(values: tuple[Any, ...], rank: int, axis: int | None) -> Array:
    return np.array(values).reshape([-1 if i == axis else 1 for i in range(rank)]) if axis is not None else values[0]


def quantize(real: Array, dtype: DType, quant: QuantParams) -> Array:
    scale, zero = (_along_axis(v, real.ndim, quant.axis) for v in (quant.scale, quant.zero_point))
    limits = np.iinfo(dtype.numpy)
    return np.clip(np.round(real / scale) + zero, limits.min, limits.max).astype(dtype.numpy)


def dequantize(data: Array, quant: QuantParams) -> Array:
    scale, zero = (_along_axis(v, data.ndim, quant.axis) for v in (quant.scale, quant.zero_point))
    return ((data.astype(np.float64) - zero) * scale).astype(np.float32)


def _quantize_results(op: Op, integer: DType) -> None:
    rule = OP_DEFS[op.opcode].quant
    fixed = rule.fixed and (rule.fixed.int8 if integer is DType.INT8 else rule.fixed.int16)
    for result in op.results:
        if result.dtype is integer and not rule.integer_results:
            result.type = result.type.with_quant(QuantParams.per_tensor(*(fixed or SCALES[integer])))


def feeds(module: Module, case: Case) -> list[Array]:
    random = np.random.default_rng(1)
    arrays = []
    for index, value in enumerate(module.main.inputs):
        given = case.values.get(index + len(case.operands) - len(module.main.inputs))
        drawn: Array = random.uniform(1, 3.5, value.shape)
        if value.dtype is BOOL:
            drawn = drawn > 2
        if value.quant is not None:
            drawn = quantize(drawn, value.dtype, value.quant)
        arrays.append(np.asarray(drawn if given is None else given).astype(value.dtype.numpy))
    return arrays


def run(module: Module, inputs: Sequence[Array]) -> list[Array]:
    return LiteRTSession(serialize(module), xnnpack=False).run(inputs)


def run_in_float(case: Case, quantized: Module, inputs: Sequence[Array]) -> list[Array]:
    """The float op on exactly the reals that the quantized one's operands stand for."""
    (op,) = quantized.main.ops
    operands = [
        dequantize(value.array(), value.quant) if value is not None and value.is_constant and value.quant else given
        for given, value in zip(case.operands, op.operands)
    ]
    reals = [
        dequantize(data, value.quant) if value.quant else data for data, value in zip(inputs, quantized.main.inputs)
    ]
    return run(build_case(replace(case, operands=tuple(operands))), reals)


def assert_as_inferred(module: Module, outputs: Sequence[Array]) -> None:
    for result, output in zip(module.main.outputs, outputs):
        declared = result.type.signature or result.shape
        assert output.ndim == len(declared)
        assert all(want in (-1, got) for want, got in zip(declared, output.shape)), (declared, output.shape)
        assert output.dtype == result.dtype.numpy


def assert_near_float(module: Module, outputs: Sequence[Array], wanted: Sequence[Array], tolerance: float) -> None:
    for result, output, real in zip(module.main.outputs, outputs, wanted):
        if result.quant is None:
            np.testing.assert_array_equal(output, real)
            continue
        limits = np.iinfo(output.dtype)
        low, high = dequantize(np.array([limits.min, limits.max]), result.quant)
        error = np.abs(dequantize(output, result.quant) - np.clip(real, low, high)).max()
        assert error <= tolerance * result.quant.scale[0], f"off by {error / result.quant.scale[0]:.2f} scales"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_litert_gives_what_inference_says(case: Case) -> None:
    module = build_case(case)
    verify(module)
    assert_as_inferred(module, run(module, feeds(module, case)))


def integer_cases(dtype: DType) -> list[Case]:
    return [c for c in CASES if dtype in OP_DEFS[c.opcode].quant.activations and _is_quantizable(c)]


def _is_quantizable(case: Case) -> bool:
    if case.opcode in NOT_BY_RULE or case.results:
        return False
    roles = [OP_DEFS[case.opcode].role(index) for index in range(len(case.operands))]
    pairs = zip(roles, case.operands)
    return any(role is Role.ACTIVATION and not isinstance(given, TensorType) for role, given in pairs)


def check_integer_kernel(case: Case, dtype: DType) -> None:
    module = build_case(case, dtype)
    verify(module)
    inputs = feeds(module, case)
    outputs = run(module, inputs)
    assert_as_inferred(module, outputs)
    tolerance = INT16_TOLERANCES.get(case.opcode, TOLERANCE) if dtype is DType.INT16 else TOLERANCE
    assert_near_float(module, outputs, run_in_float(case, module, inputs), tolerance)


@pytest.mark.parametrize("case", integer_cases(DType.INT8), ids=str)
def test_int8_kernels_that_the_rules_promise_exist(case: Case) -> None:
    check_integer_kernel(case, DType.INT8)


@pytest.mark.parametrize("case", integer_cases(DType.INT16), ids=str)
def test_int16_kernels_that_the_rules_promise_exist(case: Case) -> None:
    check_integer_kernel(case, DType.INT16)


# Ops without a one-op run, and why.
NOT_RUN = {
    **dict.fromkeys(("while", "if", "call", "call_once"), "needs a second graph"),
    **dict.fromkeys(("var_handle", "read_variable", "assign_variable"), "work together; okay_nabu_v2.tflite has them"),
    **dict.fromkeys(("hashtable", "hashtable_find", "hashtable_import", "hashtable_size"), "strings, several ops"),
    "densify": "needs a sparse constant",
    "embedding_lookup_sparse": "its result's shape is only known at run time, from three operands",
}


def test_every_op_is_run_or_says_why_not() -> None:
    run_here = {case.opcode for case in CASES}
    assert set(OP_DEFS) - run_here == set(NOT_RUN)
    for dtype in (DType.INT8, DType.INT16):
        promised = {name for name, definition in OP_DEFS.items() if dtype in definition.quant.activations}
        assert promised - {case.opcode for case in integer_cases(dtype)} <= set(NOT_BY_RULE)
