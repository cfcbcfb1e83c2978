"""Normalizations against onnxruntime."""

from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgec.backends.tflite import serialize
from edgec.frontends.onnx import read_onnx
from edgec.runtime.litert import LiteRTSession


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(5 + len(shape) + sum(shape)).standard_normal(shape).astype(np.float32)


X = random(2, 6, 5, 4) * 3 + 1


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 7), (2, 6, 5, 4), (1, 6, 2, 3, 2)], ids=str)
def test_batch_normalization(compare: Any, opset: int, shape: tuple[int, ...]) -> None:
    statistics = [random(6), random(6) + 1, random(6) - 1, np.abs(random(6)) + 0.1]
    inputs = [random(*shape), *statistics]
    module = compare.check_node("BatchNormalization", inputs, constants=(1, 2, 3, 4), opset=opset, epsilon=1e-3)
    assert [op.opcode for op in module.main.ops] == ["mul", "add"]


def test_batch_normalization_with_statistics_given_at_run_time(compare: Any) -> None:
    compare.check_node("BatchNormalization", [X, random(6), random(6), random(6), np.abs(random(6))], constants=(1,))


@pytest.mark.parametrize(
    ("inputs", "constants", "attributes", "reason"),
    [
        ([X, *[random(6)] * 4], (1, 2, 3, 4), {"training_mode": 1},
         "batch normalization in training mode is not supported; export the model in eval mode"),
        ([X, random(5), *[random(6)] * 3], (1, 2, 3, 4), {}, "its input 1 has shape [5] for 6 channels"),
        ([random(6), *[random(6)] * 4], (1, 2, 3, 4), {}, "its operand [6] has no channel axis"),
    ],
)  # fmt: skip
def test_batch_normalization_refusals(
    compare: Any, inputs: list[np.ndarray], constants: tuple[int, ...], attributes: dict[str, Any], reason: str
) -> None:
    assert compare.refusal("BatchNormalization", inputs, constants=constants, **attributes) == reason


@pytest.mark.parametrize("opset", [13, 17])
def test_weights_standardized_by_batch_normalization_in_training_mode(compare: Any, opset: int) -> None:
    """What torch's exporter writes for a convolution whose weights are normalized in `forward` (NFNet)."""
    filters, ones, zeros = random(1, 8, 27) * 3 + 1, np.ones(8, np.float32), np.zeros(8, np.float32)
    extra = ["m", "v"] if opset >= 14 else ["m", "v", "saved_m", "saved_v"]
    mode = {"training_mode": 1} if opset >= 14 else {}
    constants = {"f": filters, "g": random(8), "b": zeros, "mean": zeros, "var": ones, "shape": np.array([8, 3, 3, 3])}
    normalized = "BatchNormalization", ["f", "g", "b", "mean", "var"], ["n", *extra]
    nodes = [
        helper.make_node(*normalized, epsilon=1e-5, **mode),
        helper.make_node("Reshape", ["n", "shape"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    x = random(2, 3, 6, 5)
    model = compare.nodes_model(nodes, {"x": x}, ["y"], constants=constants, opset=opset)
    module = read_onnx(model.SerializeToString(), "model.onnx")
    rows = filters[0].astype(np.float64)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5) * constants["g"][:, None]
    plain = helper.make_node("Conv", ["x", "w"], ["y"])
    weights = {"w": rows.reshape(8, 3, 3, 3).astype(np.float32)}
    expected = compare.expected_outputs(compare.nodes_model([plain], {"x": x}, ["y"], constants=weights), {"x": x})
    found = LiteRTSession(serialize(module), xnnpack=False).run([x])
    compare.assert_close("y", found[0], expected[0])


@pytest.mark.parametrize("axis", [-1, 1, 2, -4])
@pytest.mark.parametrize("constants", [(1, 2), ()])
def test_layer_normalization(compare: Any, axis: int, constants: tuple[int, ...]) -> None:
    inputs = [X, random(*X.shape[axis:]), random(*X.shape[axis:])]
    compare.check_node("LayerNormalization", inputs, constants=constants, axis=axis, epsilon=1e-4)


def test_layer_normalization_outputs(compare: Any) -> None:
    outputs = ["y", "mean", "inverse"]
    compare.check_node("LayerNormalization", [X, random(5, 4)], constants=(1,), axis=2, outputs=outputs)
    compare.check_node("LayerNormalization", [X, random(4)], constants=(1,), outputs=["y", "", "inverse"])


@pytest.mark.parametrize("shape", [(2, 6, 7), (2, 6, 5, 4)], ids=str)
def test_instance_normalization(compare: Any, shape: tuple[int, ...]) -> None:
    compare.check_node("InstanceNormalization", [random(*shape), random(6), random(6)], constants=(1, 2))


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization(compare: Any, groups: int, opset: int) -> None:
    size = 6 if opset >= 21 else groups
    inputs = [X, random(size), random(size)]
    compare.check_node("GroupNormalization", inputs, constants=(1, 2), opset=opset, num_groups=groups)


def test_rms_normalization(compare: Any) -> None:
    compare.check_node("RMSNormalization", [X, random(4)], constants=(1,), opset=23)
    compare.check_node("RMSNormalization", [X, random(5, 4)], constants=(1,), opset=23, axis=2, epsilon=1e-3)


@pytest.mark.parametrize("axes", [None, [1], [2, 3], [-1]])
def test_mean_variance_normalization(compare: Any, axes: list[int] | None) -> None:
    compare.check_node("MeanVarianceNormalization", [X], **({} if axes is None else {"axes": axes}))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 1])
def test_lp_normalization(compare: Any, p: int, axis: int) -> None:
    x = X * np.float32(1e-3)  # below the floor that TFLite's l2_normalization puts under the norm
    x[0] = 0
    compare.check_node("LpNormalization", [x], p=p, axis=axis)


@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5, "beta": 0.5, "bias": 2.0}])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_normalization(compare: Any, size: int, attributes: dict[str, float]) -> None:
    compare.check_node("LRN", [X], size=size, **attributes)


@pytest.mark.parametrize(
    ("op_type", "inputs", "attributes", "reason"),
    [
        ("LRN", [X], {"size": 4}, "a window of 4 channels is not supported, only odd sizes"),
        ("LRN", [X], {}, "its attribute 'size' is missing"),
        ("LpNormalization", [X], {"p": 3}, "the norm p = 3 is not supported, only 1 and 2"),
        ("LayerNormalization", [X, random(4)], {"axis": 4}, "axis 4 is outside rank 4"),
        ("InstanceNormalization", [random(2, 3), *[random(3)] * 2], {}, "its operand [2, 3] has no spatial axis"),
    ],
)
def test_refusals(
    compare: Any, op_type: str, inputs: list[np.ndarray], attributes: dict[str, Any], reason: str
) -> None:
    assert compare.refusal(op_type, inputs, **attributes) == reason
