"""What a target lacks is rewritten exactly or refused, all of it at once."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgec.errors import LoweringError, PassError
from edgec.ir.parser import parse_module
from edgec.ops import OP_DEFS
from edgec.passes.base import PassContext
from edgec.passes.legalize.legalize import Legalize
from edgec.target import load_target

MCU, PHONE = "mcu-int8", "mobile-cpu"
Q8 = 'quant {"scale": 0.25, "zero_point": -10}'
CONV = 'padding = "SAME", stride_w = 1, stride_h = 1'


def single(op: str, x: str = "float32[1,4,4,2]", y: str | None = None, constants: str = "") -> str:
    return f"""
  graph @main(%x: {x}) {{
    {constants}
    %y = {op} : {y or x}
    return %y
  }}"""


def refusal(text: str, target: str) -> str:
    module = parse_module(textwrap.dedent(text), OP_DEFS)
    with pytest.raises(LoweringError) as caught:
        Legalize().run(module, PassContext(target=load_target(target)))
    return str(caught.value)


# -- bias ------------------------------------------------------------------------------------------------------------


def test_a_convolution_without_bias_gets_zeros(legalized: Callable[..., Any]) -> None:
    weights = "$w = constant float32[1,1,1,2] [2.0, -1.0]"
    text = single(f"conv_2d(%x, $w) {{{CONV}}}", y="float32[1,4,4,1]", constants=weights)
    legal = legalized(text, PHONE, expected=lambda x: x @ np.array([[2.0], [-1.0]], np.float32))
    assert legal.lines == ['%y = conv_2d(%x, $w, $"y/bias") {stride_w = 1, stride_h = 1} : float32[1,4,4,1]']
    assert legal.note == "AddZeroBias 1"


def test_an_int8_bias_has_the_scale_of_the_products(legalized: Callable[..., Any]) -> None:
    weights = '$w = constant int8[1,1,1,2] quant {"scale": 1.0, "zero_point": 0} [1, -2]'
    op = f"depthwise_conv_2d(%x, $w) {{{CONV}, depth_multiplier = 1}}"
    text = single(op, f"int8[1,4,4,2] {Q8}", constants=weights)

    def by_hand(x: np.ndarray) -> np.ndarray:  # scale in = scale out: q - zp is multiplied by 1 and -2
        return np.asarray(np.clip((x.astype(int) + 10) * np.array([1, -2]) - 10, -128, 127).astype(np.int8))

    legal = legalized(text, MCU, expected=by_hand)
    bias = next(legal.module.main.ops).operand(2)
    assert (bias.dtype.value, bias.quant.scale, bias.array().tolist()) == ("int32", (0.25,), [0, 0])


# -- groups and concatenations ---------------------------------------------------------------------------------------

GROUPED = f"""
  graph @main(%x: float32[1,2,2,4]) {{
    $w = constant float32[4,1,1,2] [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    $b = constant float32[4] [0.5, 1.5, 2.5, 3.5]
    %y = conv_2d(%x, $w, $b) {{{CONV}, fused_activation_function = "RELU"}} : float32[1,2,2,4]
    return %y
  }}"""


@pytest.mark.parametrize("target", [MCU, PHONE])
def test_grouped_convolutions_run_as_they_are(legalized: Callable[..., Any], target: str) -> None:
    assert legalized(GROUPED, target).opcodes == ["conv_2d"]


@pytest.mark.parametrize("name", [MCU, PHONE])
def test_grouped_convolutions_split_where_the_target_says_so(legalized: Callable[..., Any], name: str) -> None:
    target = load_target(name)
    target = target.model_copy(update={"rules": {**target.rules, "grouped_conv_2d": False}})
    legal = legalized(GROUPED, target)
    assert legal.opcodes == ["split", "conv_2d", "conv_2d", "concatenation"]
    quantized = f"""
  graph @main(%x: int8[1,2,2,2] {Q8}) {{
    $w = constant int8[2,1,1,1] quant {{"scale": [0.5, 1.0], "zero_point": 0, "axis": 0}} [4, -2]
    $b = constant int32[2] quant {{"scale": [0.125, 0.25], "zero_point": 0, "axis": 0}} [4, -8]
    %y = conv_2d(%x, $w, $b) {{{CONV}}} : int8[1,2,2,2] {Q8}
    return %y
  }}"""
    assert len(legalized(quantized, target).opcodes) == 4


def test_many_tensors_join_in_steps(legalized: Callable[..., Any]) -> None:
    operands = ", ".join(["%x"] * 25)
    text = single(f"concatenation({operands}) {{axis = 1}}", f"int8[1,3] {Q8}", f"int8[1,75] {Q8}")
    legal = legalized(text, MCU)
    assert [len(op.operands) for op in legal.module.main.ops] == [10, 7, 10]
    assert legalized(text, PHONE).opcodes == ["concatenation"]


def test_an_activation_leaves_a_concatenation(legalized: Callable[..., Any]) -> None:
    text = single('concatenation(%x, %x) {axis = 3, fused_activation_function = "RELU"}', y="float32[1,4,4,4]")
    for target in (MCU, PHONE):
        legal = legalized(text, target, expected=lambda x: np.maximum(np.concatenate([x, x], 3), 0))
        assert legal.opcodes == ["concatenation", "relu"]


# -- activations and arithmetic --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("opcode", "low"), [("relu_n1_to_1", -1), ("relu_0_to_1", 0)])
@pytest.mark.parametrize("type_", ["float32[1,4,4,2]", f"int8[1,4,4,2] {Q8}"])
def test_clamps_tflm_lacks(legalized: Callable[..., Any], opcode: str, low: int, type_: str) -> None:
    def by_hand(x: np.ndarray) -> np.ndarray:  # int8: 4 steps to one, zero at -10
        return np.asarray(np.clip(x, low, 1) if x.dtype.kind == "f" else np.clip(x, low * 4 - 10, -6))

    text = single(f"{opcode}(%x)", type_)
    legal = legalized(text, MCU, expected=by_hand)
    assert legal.opcodes == ["maximum", "minimum"]
    if type_.startswith("float"):
        assert legalized(text, PHONE).opcodes == [opcode]


@pytest.mark.parametrize("options", ["", " {approximate = true}"])
def test_gelu_by_tanh(legalized: Callable[..., Any], options: str) -> None:
    legal = legalized(single(f"gelu(%x){options}"), MCU, tolerance=1e-5 if options else 5e-4)
    assert "gelu" not in legal.opcodes
    assert "tanh" in legal.opcodes


@pytest.mark.parametrize("opcode", ["square", "neg"])
def test_arithmetic_that_cannot_be_quantized(legalized: Callable[..., Any], opcode: str) -> None:
    text = single(f"{opcode}(%x)")
    assert legalized(text, MCU).opcodes == ["mul"]
    assert legalized(text, PHONE).opcodes == [opcode]


def test_tile(legalized: Callable[..., Any]) -> None:
    text = single("tile(%x, $m)", f"int8[1,2,3] {Q8}", f"int8[2,2,9] {Q8}", "$m = constant int32[3] [2, 1, 3]")

    def by_hand(x: np.ndarray) -> np.ndarray:
        return np.tile(x, (2, 1, 3))

    assert legalized(text, MCU, expected=by_hand).opcodes == ["concatenation", "concatenation"]
    assert legalized(text, PHONE, expected=by_hand).opcodes == ["tile"]


# -- parameters ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "constants", "result", "by_hand"),
    [
        ("mean(%x, $p)", "$p = constant int64[2] [1, 2]", "float32[1,2]", lambda x: x.mean((1, 2))),
        ("reshape(%x, $p) {new_shape = [1, 32]}", "$p = constant int64[2] [1, 32]", "float32[1,32]",
         lambda x: x.reshape(1, 32)),
        ("transpose(%x, $p)", "$p = constant int64[4] [0, 3, 1, 2]", "float32[1,2,4,4]",
         lambda x: x.transpose(0, 3, 1, 2)),
        ("gather(%x, $p) {axis = 3}", "$p = constant int64[3] [1, 0, 1]", "float32[1,4,4,3]",
         lambda x: x[..., [1, 0, 1]]),
    ],
)  # fmt: skip
def test_int64_parameters_become_int32(
    legalized: Callable[..., Any], op: str, constants: str, result: str, by_hand: Callable[..., Any]
) -> None:
    for target in (MCU, PHONE):
        legal = legalized(single(op, y=result, constants=constants), target, expected=by_hand)
        assert legal.note == "NarrowParameters 1"


@pytest.mark.parametrize("op", ["arg_max", "arg_min"])
def test_positions_are_int32_where_the_kernel_gives_no_other(legalized: Callable[..., Any], op: str) -> None:
    axis, wide = "$a = constant int32[1] [3]", f'{op}(%x, $a) {{output_type = "INT64"}}'
    expected = {"arg_max": np.argmax, "arg_min": np.argmin}[op]
    text = single(wide, f"int8[1,4,4,2] {Q8}", y="int64[1,4,4]", constants=axis)
    legal = legalized(text, MCU, expected=lambda x: expected(x, 3).astype(np.int32))
    assert legal.note == "NarrowIndices 1"
    assert legal.module.main.outputs[0].dtype.value == "int32"
    assert "NarrowIndices" not in legalized(text, PHONE).note


def test_positions_that_are_used_as_int64_are_refused(legalized: Callable[..., Any]) -> None:
    constants = "$a = constant int32[1] [3]\n    $b = constant int64[1] [1]\n    %i = arg_max(%x, $a) "
    constants += '{output_type = "INT64"} : int64[1,4,4]'
    cast = single('cast(%i) {in_data_type = "INT64", out_data_type = "INT32"}', y="int32[1,4,4]", constants=constants)
    assert "NarrowIndices 1" in legalized(cast, MCU, expected=lambda x: x.argmax(3).astype(np.int32)).note
    compared = refusal(single("less(%i, $b)", y="bool[1,4,4]", constants=constants), MCU)
    assert "its result is int64, the kernel gives int32; ask for int32 in the model" in compared


# -- rank ------------------------------------------------------------------------------------------------------------

DEEP = "float32[1,2,3,2,1,2,3]"


@pytest.mark.parametrize(
    ("op", "constants", "result"),
    [
        ("transpose(%x, $p)", "$p = constant int32[7] [0, 1, 5, 2, 4, 6, 3]", "float32[1,2,2,3,1,3,2]"),
        ("transpose(%x, $p)", "$p = constant int32[7] [5, 6, 0, 1, 2, 3, 4]", "float32[2,3,1,2,3,2,1]"),
        ("transpose(%x, $p)", "$p = constant int32[7] [4, 0, 1, 2, 3, 5, 6]", "float32[1,1,2,3,2,2,3]"),
        ("concatenation(%x, %x) {axis = 3}", "", "float32[1,2,3,4,1,2,3]"),
        ("concatenation(%x, %x) {axis = -1}", "", "float32[1,2,3,2,1,2,6]"),
        ("mean(%x, $p)", "$p = constant int32[2] [2, -1]", "float32[1,2,2,1,2]"),
        ("mean(%x, $p) {keep_dims = true}", "$p = constant int32[3] [1, 2, 5]", "float32[1,1,1,2,1,1,3]"),
        ("softmax(%x) {beta = 1.0}", "", DEEP),
        ("slice(%x, $p, $q)", "$p = constant int32[7] [0, 0, 1, 0, 0, 0, 0]\n    "
         "$q = constant int32[7] [1, -1, 2, 2, 1, 2, 3]", "float32[1,2,2,2,1,2,3]"),
        ("strided_slice(%x, $p, $q, $r)", "$p = constant int32[7] [0, 0, 0, 0, 0, 0, 0]\n    "
         "$q = constant int32[7] [1, 2, 3, 2, 1, 2, 3]\n    $r = constant int32[7] [1, 1, 2, 1, 1, 1, 1]",
         "float32[1,2,2,2,1,2,3]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("target", [MCU, PHONE])
def test_too_many_dimensions_merge(
    legalized: Callable[..., Any], op: str, constants: str, result: str, target: str
) -> None:
    legal = legalized(single(op, DEEP, result, constants), target)
    if not (target == PHONE and op.startswith("strided_slice")):
        assert legal.opcodes[0] == legal.opcodes[-1] == "reshape"


def test_padding_too_many_dimensions(legalized: Callable[..., Any]) -> None:
    pairs = "$p = constant int32[7,2] [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0]"
    text = single("pad(%x, $p)", DEEP, "float32[1,2,3,5,1,2,3]", pairs)
    widths = [(0, 0)] * 3 + [(1, 2)] + [(0, 0)] * 3
    for target in (MCU, PHONE):
        assert legalized(text, target, expected=lambda x: np.pad(x, widths)).opcodes == ["reshape", "pad", "reshape"]


# -- refusals --------------------------------------------------------------------------------------------------------


def test_all_refusals_come_at_once() -> None:
    text = """
  graph @main(%x: float32[2,3]) {
    %a = cumsum(%x, $k) : float32[2,3]
    %v, %i = topk_v2(%a, $k) : float32[2,2], int32[2,2]
    %s = sign(%v) : float32[2,2] from "model.onnx: /head/Sign"
    return %s, %i
  }""".replace("%a =", "$k = constant int32[] [2]\n    %a =", 1).replace("cumsum(%x, $k)", "abs(%x)")
    assert refusal(text, MCU) == (
        "Lowering the model for target mcu-int8: 2 ops cannot run there:\n"
        "  topk_v2 'v': topk_v2 does not run on target mcu-int8: tflm registers no such kernel\n"
        "  sign 's' (model.onnx: /head/Sign): sign does not run on target mcu-int8: tflm registers no such kernel"
    )


def test_a_module_without_target_is_refused() -> None:
    module = parse_module(GROUPED.strip(), OP_DEFS)
    sentence = r"Pass 'legalize' needs a target: say for which device the model is compiled\."
    with pytest.raises(PassError, match=sentence):
        Legalize().run(module, PassContext())
