"""Activation functions against onnxruntime."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from edgec.frontends.onnx import read_onnx
from edgec.runtime.evaluate import evaluate

X = np.concatenate(
    [np.random.default_rng(1).standard_normal(230) * 4, [0, -0.0, 1, -1, 6, 7, 30, -30, 100, -100]]
).reshape(2, 3, 4, 10).astype(np.float32)  # fmt: skip


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(2 + len(shape) + sum(shape)).standard_normal(shape).astype(np.float32)


def opcodes(module: Any) -> list[str]:
    return [op.opcode for op in module.main.ops]


@pytest.mark.parametrize(
    ("op_type", "opsets", "attributes", "ops"),
    [
        ("Relu", (7, 13, 14), {}, ["relu"]),
        ("Sigmoid", (7, 13), {}, ["logistic"]),
        ("Tanh", (7, 13), {}, ["tanh"]),
        ("LeakyRelu", (7, 16), {}, ["leaky_relu"]),
        ("LeakyRelu", (7, 16), {"alpha": 0.3}, ["leaky_relu"]),
        ("ThresholdedRelu", (10, 22), {}, ["greater", "select_v2"]),
        ("ThresholdedRelu", (10, 22), {"alpha": 2.5}, ["greater", "select_v2"]),
        ("Elu", (7, 22), {}, ["elu"]),
        ("Elu", (7, 22), {"alpha": 0.7}, None),
        ("Selu", (7, 22), {}, None),
        ("Selu", (7,), {"alpha": 2.0, "gamma": 3.0}, None),
        ("Selu", (7,), {"alpha": 1.0, "gamma": 3.0}, ["elu", "mul"]),
        ("Celu", (12,), {}, ["elu"]),
        ("Celu", (12,), {"alpha": 0.5}, ["mul", "elu", "mul"]),
        ("HardSigmoid", (7, 22), {}, ["mul", "add", "relu6", "mul"]),
        ("HardSigmoid", (7, 22), {"alpha": 1 / 6, "beta": 0.5}, ["add", "relu6", "mul"]),
        ("HardSigmoid", (7,), {"alpha": -0.4, "beta": 0.0}, ["mul", "relu6", "mul"]),
        ("HardSwish", (14, 22), {}, ["hard_swish"]),
        ("Gelu", (20,), {}, ["gelu"]),
        ("Gelu", (20,), {"approximate": "tanh"}, ["gelu"]),
        ("Softplus", (7, 22), {}, ["abs", "logistic", "log", "relu", "sub"]),
        ("Softsign", (7, 22), {}, None),
        ("Mish", (18, 22), {}, None),
    ],
)
def test_elementwise(
    compare: Any, op_type: str, opsets: tuple[int, ...], attributes: dict[str, Any], ops: list[str] | None
) -> None:
    for opset in opsets:
        module = compare.check_node(op_type, [X], opset=opset, **attributes)
        assert ops is None or opcodes(module) == ops


CLIPS = [
    (0, 6, ["relu6"]), (0, None, ["relu"]), (0, 1, ["relu_0_to_1"]), (-1, 1, ["relu_n1_to_1"]),
    (None, 2, ["minimum"]), (-0.5, None, ["maximum"]), (-0.5, 0.7, ["maximum", "minimum"]),
    (0, float(np.finfo(np.float32).max), ["relu"]),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high", "ops"), CLIPS)
@pytest.mark.parametrize("opset", [7, 10])
def test_clip_by_attributes(compare: Any, low: float | None, high: float | None, ops: list[str], opset: int) -> None:
    limits = {name: value for name, value in (("min", low), ("max", high)) if value is not None}
    limits = {name: float(value) for name, value in limits.items()}
    assert opcodes(compare.check_node("Clip", [X], opset=opset, **limits)) == ops


@pytest.mark.parametrize(("low", "high", "ops"), CLIPS)
@pytest.mark.parametrize("opset", [11, 13])
def test_clip_by_inputs(compare: Any, low: float | None, high: float | None, ops: list[str], opset: int) -> None:
    limits = [None if value is None else np.float32(value) for value in (low, high)]
    stored = [i + 1 for i, value in enumerate(limits) if value is not None]
    assert opcodes(compare.check_node("Clip", [X, *limits], constants=stored, opset=opset)) == ops


def test_clip_by_limits_given_at_run_time(compare: Any) -> None:
    compare.check_node("Clip", [X, np.float32(-0.5), np.float32(2)])


def test_clip_of_integers(compare: Any) -> None:
    x = np.arange(-5, 5, dtype=np.int32)
    compare.check_node("Clip", [x, np.int32(-2), np.int32(3)], constants=(1, 2), opset=12)
    compare.check_node("Clip", [x.astype(np.int64), np.int64(-2), np.int64(3)], constants=(1, 2), opset=12)


@pytest.mark.parametrize("shape", [(3, 1, 1), (1,), (10,), (4, 10), (2, 3, 4, 10), (1, 3, 1, 1), ()], ids=str)
@pytest.mark.parametrize("constants", [(1,), ()])
@pytest.mark.parametrize("opset", [9, 16])
def test_prelu(compare: Any, shape: tuple[int, ...], constants: tuple[int, ...], opset: int) -> None:
    module = compare.check_node("PRelu", [X, np.asarray(random(*shape))], constants=constants, opset=opset)
    assert opcodes(module) == ["prelu"]


def test_prelu_before_opset_7_has_a_slope_for_each_channel(compare: Any) -> None:
    slope = random(3)
    model, feeds = compare.node_model("PRelu", [X, slope], constants=(1,), opset=6)  # onnxruntime has it from 7 on
    (found,) = evaluate(read_onnx(model.SerializeToString()).main, feeds)
    compare.assert_close("y0", found, np.where(X > 0, X, X * slope[:, None, None]))


def test_prelu_of_rank_5(compare: Any) -> None:
    compare.check_node("PRelu", [X.reshape(2, 3, 2, 2, 10), random(3, 1, 1, 1)], constants=(1,))


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize(
    ("opset", "axis"),
    [*product([7, 11, 13], [None, 0, 1, 2, 3]), *product([11, 13], [-1, -2])],  # no negative axes before opset 11
)
def test_over_axis(compare: Any, op_type: str, opset: int, axis: int | None) -> None:
    compare.check_node(op_type, [X / 4], opset=opset, **({} if axis is None else {"axis": axis}))


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize(("shape", "ops"), [
    ((1, 10), ["softmax"]), ((1, 10, 1, 1), ["reshape", "softmax", "reshape"]),
])  # fmt: skip
def test_softmax_moves_no_more_than_it_must(compare: Any, opset: int, shape: tuple[int, ...], ops: list[str]) -> None:
    assert opcodes(compare.check_node("Softmax", [random(*shape)], opset=opset, axis=1)) == ops


@pytest.mark.parametrize(
    ("op_type", "inputs", "opset", "attributes", "reason"),
    [
        ("Softmax", [X], 13, {"axis": 4}, "axis 4 is outside rank 4"),
        ("Clip", [X, random(2)], 13, {}, "its limit 'x1' has shape [2], it must be a scalar"),
        ("Celu", [X], 12, {"alpha": -1.0}, "alpha must be positive, found -1"),
        ("Gelu", [X], 20, {"approximate": "erf"}, "approximation 'erf' is unknown"),
        ("HardSwish", [X], 13, {}, "opset 13 has no such op"),
    ],
)
def test_refusals(
    compare: Any, op_type: str, inputs: list[np.ndarray], opset: int, attributes: dict[str, Any], reason: str
) -> None:
    assert compare.refusal(op_type, inputs, opset=opset, **attributes) == reason
