"""Conv and ConvTranspose against onnxruntime."""

from typing import Any

import numpy as np
import pytest

RNG_SEED = 7


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(RNG_SEED + len(shape) + sum(shape)).standard_normal(shape).astype(np.float32)


def opcodes(module: Any) -> list[str]:
    return [op.opcode for op in module.main.ops]


X = random(2, 6, 9, 10)


@pytest.mark.parametrize("opset", [7, 11, 22])
@pytest.mark.parametrize(
    ("attributes", "spatial"),
    [
        ({}, "VALID"),
        ({"pads": [1, 1, 1, 1]}, "SAME"),
        ({"pads": [2, 2, 2, 2], "dilations": [2, 2]}, "SAME"),
        ({"pads": [1, 0, 1, 1], "strides": [2, 2]}, "SAME"),
        ({"pads": [0, 0, 2, 1]}, "pad"),
        ({"pads": [1, 1, 1, 1], "strides": [1, 2]}, "pad"),
        ({"pads": [1, 1, 1, 1], "strides": [2, 3]}, "SAME"),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, "SAME"),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, "pad"),
        ({"auto_pad": "VALID", "strides": [1, 2], "dilations": [3, 1]}, "VALID"),
        ({"auto_pad": "NOTSET", "kernel_shape": [3, 3]}, "VALID"),
    ],
)
def test_conv_2d(compare: Any, opset: int, attributes: dict[str, Any], spatial: str) -> None:
    inputs = [X, random(4, 6, 3, 3), random(4)]
    module = compare.check_node("Conv", inputs, constants=(1, 2), opset=opset, **attributes)
    pad = ["pad"] if spatial == "pad" else []
    assert opcodes(module) == ["transpose", *pad, "conv_2d", "transpose"]
    conv = next(op for op in module.main.ops if op.opcode == "conv_2d")
    assert conv.attributes["padding"] == ("VALID" if pad else spatial)


def test_positions_no_window_reaches_are_not_padded(compare: Any) -> None:
    x = random(1, 3, 8, 8)  # pads (1, 1): the last row and column are never read
    module = compare.check_node("Conv", [x, random(4, 3, 3, 3)], constants=(1,), pads=[1, 1, 1, 1], strides=[2, 2])
    pad = next(op for op in module.main.ops if op.opcode == "pad")
    assert pad.operand(1).array().tolist() == [[0, 0], [1, 0], [1, 0], [0, 0]]


@pytest.mark.parametrize("constants", [(1, 2), (1,), ()], ids=["constant", "bias given", "all given"])
@pytest.mark.parametrize(
    ("weight", "group", "opcode"),
    [
        ((4, 3, 3, 3), 2, "conv_2d"),
        ((6, 1, 3, 3), 6, "depthwise_conv_2d"),
        ((12, 1, 3, 2), 6, "depthwise_conv_2d"),
        ((9, 2, 1, 1), 3, "conv_2d"),
    ],
)
def test_groups(compare: Any, constants: tuple[int, ...], weight: tuple[int, ...], group: int, opcode: str) -> None:
    inputs = [X, random(*weight), random(weight[0])]
    assert opcode in opcodes(compare.check_node("Conv", inputs, constants=constants, group=group))


def test_one_channel_is_an_ordinary_convolution(compare: Any) -> None:
    module = compare.check_node("Conv", [random(1, 1, 8, 8), random(4, 1, 3, 3)], constants=(1,), group=1)
    assert opcodes(module) == ["transpose", "conv_2d", "transpose"]


@pytest.mark.parametrize("attributes", [
    {}, {"pads": [1, 1]}, {"pads": [2, 0], "strides": [2]}, {"auto_pad": "SAME_UPPER", "strides": [3]},
    {"dilations": [2], "pads": [2, 2]},
])  # fmt: skip
@pytest.mark.parametrize("group", [1, 2, 6])
def test_conv_1d(compare: Any, attributes: dict[str, Any], group: int) -> None:
    inputs = [random(2, 6, 11), random(12, 6 // group, 3), random(12)]
    compare.check_node("Conv", inputs, constants=(1, 2), group=group, **attributes)


@pytest.mark.parametrize("attributes", [
    {}, {"pads": [1, 1, 1, 1, 1, 1]}, {"pads": [0, 1, 2, 1, 0, 0], "strides": [2, 1, 2]}, {"dilations": [1, 2, 1]},
])  # fmt: skip
@pytest.mark.parametrize(("group", "constants"), [(1, (1, 2)), (2, (1, 2)), (2, ())])
def test_conv_3d(compare: Any, attributes: dict[str, Any], group: int, constants: tuple[int, ...]) -> None:
    inputs = [random(1, 4, 5, 6, 7), random(6, 4 // group, 3, 3, 3), random(6)]
    compare.check_node("Conv", inputs, group=group, constants=constants, **attributes)


@pytest.mark.parametrize(
    ("inputs", "attributes", "reason"),
    [
        ([random(1, 2, 2, 2, 2, 2), random(2, 2, 1, 1, 1, 1)], {},
         "a convolution over 4 spatial axes is not supported"),
        ([X, random(4, 6, 3, 3)], {"group": 4}, "6 input channels do not divide into 4 groups"),
        ([X, random(4, 5, 3, 3)], {}, "weights [4, 5, 3, 3] in 1 groups do not fit input [2, 6, 9, 10]"),
        ([X, random(4, 6, 3)], {}, "weights [4, 6, 3] do not fit input [2, 6, 9, 10]"),
        ([X, random(4, 6, 3, 3)], {"kernel_shape": [3, 2]}, "kernel_shape [3, 2] does not fit weights [4, 6, 3, 3]"),
        ([X, random(4, 6, 3, 3)], {"auto_pad": "SAME"}, "auto_pad 'SAME' is unknown"),
        ([X, random(4, 6, 3, 3)], {"pads": [1, 1]}, "pads [1, 1] do not fit 2 spatial axes"),
        ([X, random(4, 6, 3, 3)], {"pads": [-1, 0, 0, 0]}, "negative pads [-1, 0, 0, 0] are not supported"),
        ([X, random(4, 6, 3, 3)], {"strides": [0, 1]}, "strides [0, 1] do not fit 2 spatial axes"),
        ([X, random(4, 6, 11, 3)], {}, "a window of 11 does not fit into 9 positions padded by 0 and 0"),
        ([X, random(4, 6, 3, 3)], {"pads": 1.0},
         "its attribute 'pads' has not the type that the ONNX standard gives it"),
        ([X, random(4, 6, 3, 3)], {"paddings": [1]}, "opset 17 has no attribute 'paddings' for it"),
        ([X], {}, "it has 1 inputs, must have 2 to 3"),
    ],
)  # fmt: skip
def test_conv_refusals(compare: Any, inputs: list[np.ndarray], attributes: dict[str, Any], reason: str) -> None:
    assert compare.refusal("Conv", inputs, **attributes) == reason


@pytest.mark.parametrize("opset", [7, 11, 22])
@pytest.mark.parametrize(
    ("kernel", "attributes", "padding", "cropped"),
    [
        (3, {}, "VALID", False),
        (2, {"strides": [2, 2]}, "SAME", False),
        (4, {"strides": [2, 2], "pads": [1, 1, 1, 1]}, "SAME", False),
        (3, {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, "VALID", True),
        (3, {"strides": [2, 2], "pads": [0, 1, 1, 0]}, "VALID", True),
        (1, {"strides": [2, 2], "output_padding": [1, 1]}, "SAME", False),
        (1, {"strides": [3, 2], "output_padding": [2, 0]}, "SAME", False),
        (3, {"strides": [3, 2], "output_shape": [28, 20]}, "VALID", True),
        (3, {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, "SAME", False),
        (3, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}, "VALID", True),
        (3, {"strides": [2, 2], "auto_pad": "VALID"}, "VALID", False),
        (5, {"strides": [2, 1], "pads": [2, 2, 1, 2], "output_padding": [1, 0]}, "VALID", True),
    ],
)
def test_conv_transpose(
    compare: Any, opset: int, kernel: int, attributes: dict[str, Any], padding: str, cropped: bool
) -> None:
    inputs = [X, random(6, 4, kernel, kernel), random(4)]
    module = compare.check_node("ConvTranspose", inputs, constants=(1, 2), opset=opset, **attributes)
    assert opcodes(module) == ["transpose", "transpose_conv", *(["slice"] if cropped else []), "transpose"]
    assert next(op for op in module.main.ops if op.opcode == "transpose_conv").attributes["padding"] == padding


def test_dilated_conv_transpose(compare: Any) -> None:
    inputs = [X, random(6, 4, 3, 2), random(4)]
    compare.check_node("ConvTranspose", inputs, constants=(1, 2), dilations=[2, 3], strides=[2, 2], pads=[1, 0, 1, 1])


@pytest.mark.parametrize("constants", [(1, 2), ()])
@pytest.mark.parametrize("group", [2, 6])
def test_conv_transpose_groups(compare: Any, group: int, constants: tuple[int, ...]) -> None:
    inputs = [X, random(6, 2, 3, 3), random(2 * group)]
    module = compare.check_node("ConvTranspose", inputs, constants=constants, group=group, strides=[2, 2])
    by_phase = group == 6 and constants
    assert opcodes(module).count("transpose_conv") == (0 if by_phase else group)
    assert opcodes(module).count("depthwise_conv_2d") == (4 if by_phase else 0)


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [2, 2], "pads": [0, 1, 2, 1], "output_padding": [1, 0]},
        {"strides": [3, 3]},
        {"strides": [3, 3], "auto_pad": "SAME_UPPER"},
        {"strides": [4, 4], "pads": [2, 2, 2, 2]},
        {"strides": [2, 2], "dilations": [2, 1]},
    ],
)
def test_depthwise_transposed_convolutions(compare: Any, attributes: dict[str, Any], multiplier: int) -> None:
    inputs = [X, random(6, multiplier, 5, 4), random(6 * multiplier)]
    module = compare.check_node("ConvTranspose", inputs, constants=(1, 2), group=6, **attributes)
    found = opcodes(module)
    assert found.count("depthwise_conv_2d") == attributes["strides"][0] ** 2
    assert found.count("depth_to_space") == 1
    assert "transpose_conv" not in found


def test_thousands_of_groups_are_not_written_out(compare: Any) -> None:
    wide = random(1, 5000, 2, 2)
    reason = "each of its 5000 groups would take an op; up to 4096 are written out"
    assert compare.refusal("ConvTranspose", [wide, random(5000, 1, 2, 2)], constants=[1], group=5000) == reason


@pytest.mark.parametrize("attributes", [{}, {"strides": [2], "pads": [1, 0], "output_padding": [1]}, {"group": 2}])
def test_conv_transpose_1d(compare: Any, attributes: dict[str, Any]) -> None:
    compare.check_node("ConvTranspose", [random(2, 4, 7), random(4, 3, 3)], constants=(1,), **attributes)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"dilations": [2, 200]}, "dilations [2, 200] are too large"),
        ({"pads": [6, 6, 6, 6]}, "its pads leave -1 of 11 positions"),
        ({"output_padding": [1]}, "output_padding [1] and output_shape [] do not fit 2 spatial axes"),
        ({"strides": [3, 3], "output_shape": [30, 30]},
         "its output of 30 reaches beyond the 27 positions that are written"),
    ],
)  # fmt: skip
def test_conv_transpose_refusals(compare: Any, attributes: dict[str, Any], reason: str) -> None:
    assert compare.refusal("ConvTranspose", [X, random(6, 4, 3, 3)], **attributes) == reason


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1, 2], "pads": [1, 0, 1, 0, 1, 1]},
        {"strides": [2, 2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2, 2], "output_padding": [1, 0, 1]},
        {"dilations": [1, 2, 2]},
    ],
)
@pytest.mark.parametrize("group", [1, 2])
def test_transposed_volumes(compare: Any, attributes: dict[str, Any], group: int) -> None:
    inputs = [random(2, 4, 3, 4, 5), random(4, 3, 2, 3, 3), random(3 * group)]
    compare.check_node("ConvTranspose", inputs, constants=(1, 2), group=group, atol=1e-4, **attributes)
    compare.check_node("ConvTranspose", inputs[:2], group=group, atol=1e-4, **attributes)


def test_dilated_weights_of_run_time(compare: Any) -> None:
    compare.check_node("ConvTranspose", [random(2, 4, 5, 6), random(4, 3, 3, 2)], dilations=[2, 3], atol=1e-4)
    compare.check_node("ConvTranspose", [random(2, 4, 7), random(4, 3, 3)], dilations=[3], strides=[2], atol=1e-4)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
def test_same_padding_of_a_transposed_convolution_adds_nothing(compare: Any, mode: str) -> None:
    """Where the kernel is smaller than the stride, onnxruntime gives what is written: 8 columns here, not 9."""
    compare.check_node(
        "ConvTranspose", [random(1, 2, 2, 3), random(2, 3, 3, 2)], constants=[1], auto_pad=mode, strides=[3, 3]
    )
