"""Inference, op versions and quantization support of one-op models, judged by LiteRT's kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
    only_float: bool = False  # a form whose kernel is float only although the op has integer kernels

    def __str__(self) -> str:
        shown = "-".join(f"{k}={v}" for k, v in self.attributes.items())
        return f"{self.opcode}{'-' + shown if shown else ''}"


def case(
    opcode: str, *operands: Any, results: tuple[TensorType, ...] | None = None, values: dict[int, Array] | None = None,
    only_float: bool = False, **attributes: Any,
) -> Case:  # fmt: skip
    return Case(opcode, operands, attributes, results, values or {}, only_float)


def ints(*shape: int, dtype: DType = I32) -> TensorType:
    return TensorType(shape, dtype)


def bools(*shape: int) -> TensorType:
    return TensorType(shape, BOOL)


def state(*shape: int) -> Callable[[], Value]:
    return lambda: Value("state", TensorType(shape, F32), is_variable=True)


def weights(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


IMAGE = (1, 8, 6, 4)
POOL = {"padding": "VALID", "stride_h": 2, "stride_w": 1, "filter_height": 3, "filter_width": 2}
CONV = {"stride_h": 2, "stride_w": 1}
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
    case("conv_2d", IMAGE, weights(5, 3, 3, 4), weights(5), padding="VALID", dilation_h_factor=2, **CONV | {"stride_h": 1}),
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
    case("non_max_suppression_v4", BOXES, weights(3), [2], HALF, HALF - 1),
    case("non_max_suppression_v5", BOXES, weights(3), [2], HALF, HALF - 1, HALF),
    case("segment_sum", (4, 3), [0, 0, 1, 2]),
    *[case(f"unsorted_segment_{kind}", (4, 3), [2, 0, 1, 2], [4]) for kind in ("sum", "prod", "max", "min")],
    case("hashtable_lookup", [3, 1], [1, 2, 3], weights(3, 4)),
    # reductions
    *[case(name, (2, 3, 4), [-1, 0]) for name in ("mean", "sum", "reduce_prod", "reduce_max", "reduce_min")],
    *[case(name, (2, 3, 4), [1], keep_dims=True) for name in ("mean", "sum", "reduce_prod", "reduce_max", "reduce_min")],
    *[case(name, bools(2, 3), [0]) for name in ("reduce_any", "reduce_all")],
    *[case(name, (2, 3), [-1], output_type=kind) for name in ("arg_max", "arg_min") for kind in ("INT32", "INT64")],
    # resizing
    case("resize_bilinear", (1, 4, 3, 2), [7, 5]),
    case("resize_bilinear", (1, 4, 3, 2), [7, 5], half_pixel_centers=True),
    case("resize_nearest_neighbor", (1, 4, 3, 2), [7, 5]),
    case("resize_nearest_neighbor", (1, 4, 3, 2), [7, 5], align_corners=True),
    # making
    case("fill", [2, 3], ONE),
    case("range", [1], [10], [4]),
    case("range", np.float32(0), np.float32(1), np.float32(0.3)),
    case("range", [10], [0], [-3]),
    case("zeros_like", (2, 3)),
    case("random_uniform", [2, 3]),
    case("random_standard_normal", [2, 3]),
    case("multinomial", (2, 3), [5]),
    case("matrix_diag", (2, 3)),
    case("matrix_set_diag", (2, 3, 4), (2, 3)),
    # types
    case("cast", (2, 3), in_data_type="FLOAT32", out_data_type="INT32"),
    case("cast", (2, 3), in_data_type="FLOAT32", out_data_type="INT8"),
    case("bitcast", (2, 3), results=(TensorType((2, 3, 4), DType.UINT8),)),
    case("bitcast", TensorType((3, 2), DType.INT16), results=(TensorType((3,), I32),)),
    case("fake_quant", (2, 3), min=-1.0, max=1.0, num_bits=8),
    case("dequantize", weights(2, 3).astype(np.float16)),
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

SCALE, ZERO_POINT = 0.05, 3
KEPT_FLOAT = {"value"}  # nothing yet


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
        _quantize_operands(graph, OP_DEFS[case.opcode], operands, integer)
    attributes = dict(case.attributes)
    if integer is DType.INT16 and case.opcode in ("add", "sub"):
        attributes["pot_scale_int16"] = False
    op = build(graph).emit_op(case.opcode, operands, result_types=case.results, **attributes)
    if integer is not None:
        _quantize_results(op, integer)
    graph.outputs = op.results
    return module


def _activation_quant(integer: DType) -> QuantParams:
    return QuantParams.per_tensor(SCALE, 0 if integer is DType.INT16 else ZERO_POINT)


def _quantize_operands(graph: Graph, definition: OpDef, operands: list[Value | None], integer: DType) -> None:
    for index, value in enumerate(operands):
        if value is None or value.dtype is not F32:
            continue
        role = definition.role(index)
        if role is Role.ACTIVATION:
            _requantize(graph, operands, index, integer, _activation_quant(integer))
        elif role is Role.WEIGHT:
            axis = definition.quant.weight_axis
            if axis is None:
                _requantize(graph, operands, index, DType.INT8, QuantParams.per_tensor(0.01))
            else:
                channels = value.shape[axis]
                scales = tuple(0.01 * (1 + c) for c in range(channels))
                _requantize(graph, operands, index, DType.INT8, QuantParams(scales, (0,) * channels, axis))
        elif role is Role.BIAS:
            scales = tuple(SCALE * 0.01 * (1 + c) for c in range(value.type.elements))
            wide = I64 if integer is DType.INT16 else I32
            _requantize(graph, operands, index, wide, QuantParams(scales, (0,) * len(scales), 0))


def _requantize(graph: Graph, operands: list[Value | None], index: int, dtype: DType, quant: QuantParams) -> None:
    value = operands[index]
    assert value is not None
    type_ = TensorType(value.shape, dtype, quant)
    if value.data is None:
        value.type = type_
    else:
        data = np.clip(np.round(value.data / 0.05), -127, 127).astype(dtype.numpy)
        operands[index] = graph.constant(data, dtype=dtype, quant=quant)


def _quantize_results(op: Op, integer: DType) -> None:
    rule = OP_DEFS[op.opcode].quant
    fixed = rule.fixed and (rule.fixed.int8 if integer is DType.INT8 else rule.fixed.int16)
    for result in op.results:
        if result.dtype is integer and not rule.integer_results:
            quant = QuantParams.per_tensor(*fixed) if fixed else _activation_quant(integer)
            result.type = result.type.with_quant(quant)


def feeds(module: Module, case: Case) -> list[Array]:
    random = np.random.default_rng(1)
    arrays = []
    for index, value in enumerate(module.main.inputs):
        given = case.values.get(index + len(case.operands) - len(module.main.inputs))
        drawn = random.uniform(0.5, 3, value.shape)
        if value.dtype is BOOL:
            drawn = drawn > 1.5
        arrays.append(np.asarray(drawn if given is None else given).astype(value.dtype.numpy))
    return arrays


def run(module: Module, case: Case) -> list[Array]:
    return LiteRTSession(serialize(module), xnnpack=False).run(feeds(module, case))


def assert_as_inferred(module: Module, outputs: Sequence[Array]) -> None:
    for result, output in zip(module.main.outputs, outputs):
        declared = result.type.signature or result.shape
        assert output.ndim == len(declared)
        assert all(want in (-1, got) for want, got in zip(declared, output.shape)), (declared, output.shape)
        assert output.dtype == result.dtype.numpy


@pytest.mark.parametrize("case", CASES, ids=str)
def test_litert_gives_what_inference_says(case: Case) -> None:
    module = build_case(case)
    verify(module)
    assert_as_inferred(module, run(module, case))


def integer_cases(dtype: DType) -> list[Case]:
    return [
        case
        for case in CASES
        if dtype in OP_DEFS[case.opcode].quant.activations and not case.only_float
    ]


@pytest.mark.parametrize("case", integer_cases(DType.INT8), ids=str)
def test_int8_kernels_that_the_rules_promise_exist(case: Case) -> None:
    module = build_case(case, DType.INT8)
    verify(module)
    assert_as_inferred(module, run(module, case))


@pytest.mark.parametrize("case", integer_cases(DType.INT16), ids=str)
def test_int16_kernels_that_the_rules_promise_exist(case: Case) -> None:
    module = build_case(case, DType.INT16)
    verify(module)
    assert_as_inferred(module, run(module, case))
