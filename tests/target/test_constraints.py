"""Legality rules: the sentence each gives, and that legal ops pass."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from edgec.frontends.tflite import load_tflite
from edgec.ir.parser import parse_module
from edgec.ops import OP_DEFS
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.fix_batch import FixBatch
from edgec.target import load_target
from edgec.target.constraints import CONSTRAINTS, check_legality
from edgec.target.target import Target

MCU, PHONE = "mcu-int8", "mobile-cpu"
OLD_MCU = "mcu-int8 whose fully_connected reads one scale"
Q = 'quant {"scale": 0.25, "zero_point": 0}'
X8 = f"int8[1,2,2,2] {Q}"
W8 = f"$w = constant int8[1,1,1,2] {Q} [1, 2]"
CONV = '{padding = "SAME", stride_w = 1, stride_h = 1}'


def refusals(body: str, inputs: str, outputs: str, target: str, scheme: str | None = None) -> list[str]:
    text = f"graph @main({inputs}) {{\n{textwrap.dedent(body)}\nreturn {outputs}\n}}"
    found = check_legality(parse_module(text, OP_DEFS), _target(target), scheme)
    return [f"{refusal.rule}: {refusal}" for refusal in found]


def _target(name: str) -> Target:
    if name != OLD_MCU:
        return load_target(name)
    target = load_target(MCU)
    return target.model_copy(update={"rules": {**target.rules, "fully_connected_per_channel": False}})


CASES = [
    (
        "KernelExists: cos 'y': cos with int8 does not run on target mcu-int8: its kernel takes float32",
        f"%y = cos(%x) : {X8}", f"%x: {X8}", MCU,
    ),
    (
        "WeightsAreConstant: fully_connected 'y': its weights 'w' are computed at run time; make them a constant "
        "of the model",
        f"%y = fully_connected(%x, %w) : int8[1,3] {Q}", f"%x: int8[1,2] {Q}, %w: int8[3,2] {Q}", MCU,
    ),
    (
        "StaticShapes: abs 'y': the shape [-1, 2] of 'y' is only known at run time; fix the sizes of the model's "
        "inputs",
        "%y = abs(%x) : float32[1,2] signature [-1, 2]", "%x: float32[1,2] signature [-1, 2]", MCU,
    ),
    (
        "ConvolutionBias: conv_2d 'y': it has no bias; give it one of zeros",
        f"{W8}\n%y = conv_2d(%x, $w) {CONV} : int8[1,2,2,1] {Q}", f"%x: {X8}", PHONE,
    ),
    (
        "BiasDType: conv_2d 'y': its bias 'b' is int32, beside int16 data it must be int64",
        f"{W8}\n$b = constant int32[1] {Q} [1]\n%y = conv_2d(%x, $w, $b) {CONV} : int16[1,2,2,1] {Q}",
        f"%x: int16[1,2,2,2] {Q}", MCU,
    ),
    (
        "PerChannelFullyConnected: fully_connected 'y': its weights have 2 scales, one for each unit; quantize "
        "them per tensor",
        '$w = constant int8[2,2] quant {"scale": [0.5, 0.25], "zero_point": 0, "axis": 0} [1, 2, 3, 4]\n'
        f"%y = fully_connected(%x, $w) : int8[1,2] {Q}", f"%x: int8[1,2] {Q}", OLD_MCU,
    ),
    (
        "SmallWeights: fully_connected 'y': its weights are int4: TFLM unpacks int4 weights into the arena at "
        "full int8 size",
        f"$w = constant int4[2,2] {Q} [1, 2, 3, 4]\n%y = fully_connected(%x, $w) : int8[1,2] {Q}",
        f"%x: int8[1,2] {Q}", MCU,
    ),
    (
        "SmallWeights: depthwise_conv_2d 'y': its weights are int4, which the kernel of depthwise_conv_2d does not run "
        "right; use int8",
        f"$w = constant int4[1,1,1,2] {Q} [1, 2]\n$b = constant int32[2] {Q} [1, 2]\n"
        f"%y = depthwise_conv_2d(%x, $w, $b) {{stride_w = 1, stride_h = 1, depth_multiplier = 1}} : {X8}",
        f"%x: {X8}", PHONE,
    ),
    (
        "ConcatenationInputs: concatenation 'y': it joins 11 tensors, the kernel takes 10; join them in steps",
        f"%y = concatenation({', '.join(['%x'] * 11)}) {{axis = 1}} : int8[1,22] {Q}", f"%x: int8[1,2] {Q}", MCU,
    ),
    (
        "ActivationAttribute: concatenation 'y': its kernel does not apply the activation RELU; put an op of its own "
        "behind it",
        '%y = concatenation(%x, %x) {axis = 1, fused_activation_function = "RELU"} : float32[1,4]',
        "%x: float32[1,2]", PHONE,
    ),
    (
        "RankLimit: softmax 'y': 'x' has shape [1, 1, 1, 1, 1, 1, 2], the kernel takes rank 6; merge dimensions before "
        "it",
        "%y = softmax(%x) {beta = 1.0} : float32[1,1,1,1,1,1,2]", "%x: float32[1,1,1,1,1,1,2]", PHONE,
    ),
    (
        "RankLimit: strided_slice 'y': 'x' has shape [1, 1, 1, 1, 2], the kernel takes rank 4; merge dimensions before "
        "it",
        "$b = constant int32[5] [0, 0, 0, 0, 0]\n$e = constant int32[5] [1, 1, 1, 1, 2]\n"
        f"$s = constant int32[5] [1, 1, 1, 1, 1]\n%y = strided_slice(%x, $b, $e, $s) : int8[1,1,1,1,2] {Q}",
        f"%x: int8[1,1,1,1,2] {Q}", MCU,
    ),
    (
        "NarrowParameters: mean 'y': its parameter 'a' is int64, the kernel takes int32; cast it in the model",
        "$a = constant int64[1] [1]\n%y = mean(%x, $a) : float32[1]", "%x: float32[1,2]", PHONE,
    ),
    (
        "IndexDType: arg_max 'y': its result is int64, the kernel gives int32; ask for int32 in the model",
        '$a = constant int32[1] [1]\n%y = arg_max(%x, $a) {output_type = "INT64"} : int64[1]',
        f"%x: int8[1,2] {Q}", MCU,
    ),
    (
        "EmptyTensors: abs 'y': 'y' has shape [0, 2], which holds nothing; remove it from the model",
        f"%y = abs(%x) : int8[0,2] {Q}", f"%x: int8[0,2] {Q}", MCU,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "body", "inputs", "target"), CASES, ids=[c[0].split(":")[0] for c in CASES])
def test_each_rule_has_its_sentence(sentence: str, body: str, inputs: str, target: str) -> None:
    assert refusals(body, inputs, "%y", target) == [sentence]


def test_phones_take_weights_computed_at_run_time() -> None:
    assert refusals(
        "%y = fully_connected(%x, %w) : float32[1,3]", "%x: float32[1,2], %w: float32[3,2]", "%y", PHONE
    ) == []  # fmt: skip


def test_every_rule_is_tested() -> None:
    assert {case[0].split(":")[0] for case in CASES} == {rule.name for rule in CONSTRAINTS}


def test_borders_are_held_against_the_scheme() -> None:
    body = f"%y = quantize(%x) : int8[1,2] {Q}"
    assert refusals(body, "%x: float32[1,2]", "%y", MCU, "w8a8") == [
        "BorderDType: input 'x' is float32, target mcu-int8 takes int8 for scheme w8a8"
    ]
    assert refusals(body, "%x: float32[1,2]", "%y", PHONE, "w8a8") == []
    assert refusals(body, "%x: float32[1,2]", "%y", MCU, "fp32") == [
        "Scheme: scheme fp32 is refused for target mcu-int8: this target is for int8 only; float takes four times the "
        "bytes for weights and activations; use w8a8"
    ]


def test_float_ops_pass_where_their_quantized_kernel_exists() -> None:
    body = '$a = constant int32[] [1]\n%y = arg_max(%x, $a) {output_type = "INT32"} : int32[1]'
    assert refusals(body, "%x: float32[1,2]", "%y", MCU) == []


@pytest.mark.parametrize("name", ["kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "ad01_int8"])
def test_published_models_for_microcontrollers_are_legal(shared_data: Path, name: str) -> None:
    files = [path for path in (shared_data / "models" / "mlperf_tiny").rglob("*.tflite") if path.stem == name]
    if not files:
        pytest.skip(f"no {name}.tflite among the shared models")
    module = load_tflite(files[0])
    FixBatch().run(module, PassContext())
    assert check_legality(module, load_target(MCU), "w8a8") == []
