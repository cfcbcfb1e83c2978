"""GELU as exporters spell it becomes one op, and what only resembles it does not."""

import math
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, helper

Array = np.ndarray
ROOT, HALF, ONE = np.float32(math.sqrt(2)), np.float32(0.5), np.float32(1)
CONSTANTS = {"root": ROOT, "inverse": np.float32(math.sqrt(0.5)), "half": HALF, "one": ONE, "two": np.float32(2)}
X = np.linspace(-6, 6, 48, dtype=np.float32).reshape(2, 3, 8)


def nodes(*lines: str) -> list[NodeProto]:
    """Nodes from lines such as "y = Mul a b"."""
    found = []
    for line in lines:
        result, text = line.split(" = ")
        op_type, *operands = text.split()
        found.append(helper.make_node(op_type, operands, [result], name=result))
    return found


ERF = ("a = Div x root", "e = Erf a", "p = Add e one")
FORMS = {
    "x * p * 0.5": (*ERF, "m = Mul x p", "y = Mul m half"),
    "0.5 * x * p": (*ERF, "h = Mul x half", "y = Mul h p"),
    "x * (p * 0.5)": (*ERF, "h = Mul p half", "y = Mul x h"),
    "x * p / 2": (*ERF, "m = Mul p x", "y = Div m two"),
    "x / 2 * p": (*ERF, "m = Div x two", "y = Mul p m"),
    "1 + erf(x * sqrt(1/2))": ("a = Mul inverse x", "e = Erf a", "p = Add one e", "m = Mul p x", "y = Mul half m"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opset", [9, 14, 20])
def test_recognized(compare: Any, form: str, opset: int) -> None:
    model = compare.nodes_model(nodes(*FORMS[form]), {"x": X}, ["y"], constants=CONSTANTS, opset=opset)
    module = compare.check_onnx(model, {"x": X})
    assert [op.opcode for op in module.main.ops] == ["gelu"]
    assert [v.name for v in module.main.outputs] == ["y"]


@pytest.mark.parametrize("form", FORMS)
def test_inside_of_a_network(compare: Any, form: str) -> None:
    lines = ("x = Sub given two", *FORMS[form], "s = Mul y two", "z = Add s y")
    model = compare.nodes_model(nodes(*lines), {"given": X}, ["z"], constants=CONSTANTS)
    module = compare.check_onnx(model, {"given": X})
    assert [op.opcode for op in module.main.ops] == ["sub", "gelu", "mul", "add"]


def test_followed_by_products(compare: Any) -> None:
    lines = (*FORMS["x * p * 0.5"], "s = Mul y half", "z = Mul s x")
    module = compare.check_onnx(compare.nodes_model(nodes(*lines), {"x": X}, ["z"], constants=CONSTANTS), {"x": X})
    assert [op.opcode for op in module.main.ops] == ["gelu", "mul", "mul"]


def test_two_of_one_value(compare: Any) -> None:
    lines = (*FORMS["x * p * 0.5"], "a2 = Div y root", "e2 = Erf a2", "p2 = Add e2 one", "m2 = Mul y p2",
             "z = Mul m2 half")  # fmt: skip
    module = compare.check_onnx(compare.nodes_model(nodes(*lines), {"x": X}, ["z"], constants=CONSTANTS), {"x": X})
    assert [op.opcode for op in module.main.ops] == ["gelu", "gelu"]


def test_constants_of_float16(compare: Any) -> None:
    x = X.astype(np.float16)
    halves = {name: number.astype(np.float16) for name, number in CONSTANTS.items()}
    model = compare.nodes_model(nodes(*FORMS["x * p * 0.5"]), {"x": x}, ["y"], constants=halves)
    module = compare.check_onnx(model, {"x": x}, atol=1e-3)
    assert [op.opcode for op in module.main.ops] == ["gelu"]


OTHERS = {
    "another root": ("a = Div x two", *ERF[1:], "m = Mul x p", "y = Mul m half"),
    "another shift": (*ERF[:2], "p = Add e two", "m = Mul x p", "y = Mul m half"),
    "another factor": (*ERF, "m = Mul x p", "y = Mul m two"),
    "another value": (*ERF, "w = Add x one", "m = Mul w p", "y = Mul m half"),
    "no half": (*ERF, "y = Mul x p"),
    "a quotient": (*ERF, "h = Mul x half", "y = Div h p"),
    "a root over x": ("a = Div root x", *ERF[1:], "m = Mul x p", "y = Mul m half"),
    "a difference": (*ERF[:2], "p = Sub one e", "m = Mul x p", "y = Mul m half"),
}


@pytest.mark.parametrize("form", OTHERS)
def test_what_is_no_gelu_stays(compare: Any, form: str) -> None:
    x = X / 3 + np.float32(0.01)
    model = compare.nodes_model(nodes(*OTHERS[form]), {"x": x}, ["y"], constants=CONSTANTS)
    module = compare.check_onnx(model, {"x": x})
    assert len(module.main) > 6


@pytest.mark.parametrize("extra", ["e", "p", "m"])
def test_stays_where_an_inner_value_is_an_output(compare: Any, extra: str) -> None:
    model = compare.nodes_model(nodes(*FORMS["x * p * 0.5"]), {"x": X}, ["y", extra], constants=CONSTANTS)
    module = compare.check_onnx(model, {"x": X})
    assert len(module.main) > 6
