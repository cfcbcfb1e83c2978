"""Gemm and MatMul against onnxruntime."""

from typing import Any

import numpy as np
import pytest


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(3 + len(shape) + sum(shape)).standard_normal(shape).astype(np.float32)


def opcodes(module: Any) -> list[str]:
    return [op.opcode for op in module.main.ops]


@pytest.mark.parametrize("opset", [7, 9, 11, 13])
@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm_with_stored_weights(compare: Any, opset: int, trans_a: int, trans_b: int) -> None:
    inputs = [random(*((4, 3) if trans_a else (3, 4))), random(*((5, 4) if trans_b else (4, 5))), random(5)]
    module = compare.check_node("Gemm", inputs, constants=(1, 2), opset=opset, transA=trans_a, transB=trans_b)
    assert opcodes(module) == [*(["transpose"] if trans_a else []), "fully_connected"]


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("beta", [1.0, 2.0, 0.0])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (1,), (), (3, 1), (3, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("constants", [(1, 2), (1,), ()], ids=["constant", "addend given", "all given"])
def test_gemm_addend(
    compare: Any, alpha: float, beta: float, shape: tuple[int, ...], constants: tuple[int, ...]
) -> None:
    inputs = [random(3, 4), random(4, 5), np.asarray(random(*shape), np.float32)]
    module = compare.check_node("Gemm", inputs, constants=constants, alpha=alpha, beta=beta)
    if constants == (1, 2) and shape in ((5,), (1, 5), (1,)):
        assert opcodes(module) == ["fully_connected"]


def test_gemm_without_addend(compare: Any) -> None:
    assert opcodes(compare.check_node("Gemm", [random(3, 4), random(4, 5)], constants=(1,))) == ["fully_connected"]
    assert opcodes(compare.check_node("Gemm", [random(3, 4), random(4, 5)])) == ["batch_matmul"]


def test_weights_that_already_stand_units_first_are_not_copied(compare: Any) -> None:
    weight = random(5, 4)
    module = compare.check_node("Gemm", [random(3, 4), weight, random(5)], constants=(1, 2), transB=1)
    (op,) = module.main.ops
    assert not op.operand(1).array().flags.owndata  # a view of the file's bytes


@pytest.mark.parametrize("opset", [7, 9, 13])
@pytest.mark.parametrize("constants", [(1,), (0,), ()], ids=["right stored", "left stored", "both given"])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (4,)),
        ((2, 2, 3, 4), (4, 5)),
        ((4,), (2, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((2, 1, 2, 3, 4), (2, 1, 2, 4, 5)),
        ((2, 1, 2, 2, 3, 4), (2, 1, 2, 2, 4, 5)),
    ],
    ids=str,
)
def test_matmul(compare: Any, opset: int, constants: tuple[int, ...], a: tuple[int, ...], b: tuple[int, ...]) -> None:
    module = compare.check_node("MatMul", [random(*a), random(*b)], constants=constants, opset=opset)
    used = "fully_connected" if constants == (1,) and len(b) <= 2 else "batch_matmul"
    assert used in opcodes(module)


@pytest.mark.parametrize(
    ("op_type", "inputs", "reason"),
    [
        ("MatMul", [np.ones((2, 2), np.int32)] * 2, "a matrix product of int32 is not supported"),
        ("MatMul", [np.float32(1), random(2, 2)], "an operand is a scalar"),
        ("Gemm", [random(2, 3, 4), random(4, 5)], "operands [2, 3, 4] and [4, 5] are no matrices"),
    ],
)  # fmt: skip
def test_refusals(compare: Any, op_type: str, inputs: list[np.ndarray], reason: str) -> None:
    assert compare.refusal(op_type, inputs) == reason
