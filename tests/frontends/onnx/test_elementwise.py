from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(0)
Array = np.ndarray


def real(*shape: int, dtype: str = "float32") -> Array:
    return (RNG.standard_normal(shape) * 2).astype(dtype)


def integers(*shape: int, dtype: str = "int32", low: int = -50, high: int = 50) -> Array:
    found = RNG.integers(max(low, np.iinfo(dtype).min), high, shape).astype(dtype)
    return np.where(found == 0, 1, found).astype(dtype)


BROADCASTS = [
    ((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 3), ()), ((), (4,)), ((2, 3, 4, 5), (3, 1, 5)),
    ((2, 1, 4, 1, 3), (3, 4, 2, 1)), ((2, 1, 3, 1, 2, 2), (4, 1, 3, 1, 2)),
]  # fmt: skip


@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_broadcasts(compare: Any, op_type: str, shapes: Any) -> None:
    compare.check_node(op_type, [real(*shapes[0]), real(*shapes[1])])


@pytest.mark.parametrize("opset", [7, 13, 14])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
def test_arithmetic_with_a_constant(compare: Any, op_type: str, opset: int) -> None:
    module = compare.check_node(op_type, [real(2, 3, 4), real(3, 1)], constants=[1], opset=opset)
    assert [op.opcode for op in module.main.ops] == [op_type.lower()]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint32"])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul"])
def test_integer_arithmetic_wraps(compare: Any, op_type: str, dtype: str) -> None:
    high = min(int(np.iinfo(dtype).max), 60000)
    a, b = integers(3, 4, dtype=dtype, high=high), integers(4, dtype=dtype, high=high)
    if dtype in ("int32", "int64"):
        compare.check_node(op_type, [a, b], opset=14)
    else:  # onnxruntime has no kernels for the other ones
        compare.check_node(op_type, [a, b], opset=14, oracle="reference")


@pytest.mark.parametrize("dtype", ["int32", "int8", "uint8", "int16"])
def test_integer_division_truncates_toward_zero(compare: Any, dtype: str) -> None:
    low = 1 if dtype == "uint8" else -20
    a, b = np.array([7, -7, 7, -7, 1, 0], np.int32), np.array([2, 2, -2, -2, 3, 5], np.int32)
    if dtype == "uint8":
        a, b = np.abs(a), np.abs(b)
    oracle = "onnxruntime" if dtype == "int32" else "reference"
    compare.check_node("Div", [a.astype(dtype), b.astype(dtype)], opset=14, oracle=oracle)
    if dtype == "int32":
        compare.check_node("Div", [integers(50, low=-200, high=200), integers(50, low=low, high=20)], opset=14)


def test_float16_is_computed_in_float32(compare: Any) -> None:
    a, b = real(3, 4, dtype="float16"), real(4, dtype="float16")
    module = compare.check_node("Div", [a, b], rtol=1e-3)
    assert [op.opcode for op in module.main.ops] == ["div"]


UNARY = {
    "Sqrt": (0.0, 9.0), "Exp": (-5.0, 5.0), "Log": (0.01, 20.0), "Abs": (-3.0, 3.0), "Neg": (-3.0, 3.0),
    "Reciprocal": (0.2, 5.0), "Floor": (-3.0, 3.0), "Ceil": (-3.0, 3.0), "Sign": (-1.0, 1.0), "Sin": (-6.0, 6.0),
    "Cos": (-6.0, 6.0), "Tan": (-1.4, 1.4), "Asin": (-1.0, 1.0), "Acos": (-1.0, 1.0), "Atan": (-20.0, 20.0),
    "Sinh": (-4.0, 4.0), "Cosh": (-4.0, 4.0), "Asinh": (-9.0, 9.0), "Acosh": (1.0, 9.0), "Atanh": (-0.99, 0.99),
    "Round": (-3.0, 3.0), "Erf": (-4.0, 4.0),
}  # fmt: skip


@pytest.mark.parametrize("op_type", UNARY)
def test_unary(compare: Any, op_type: str) -> None:
    x = np.linspace(*UNARY[op_type], 101, dtype=np.float32).reshape(1, 101)  # holds both ends and the middle
    compare.check_node(op_type, [x])


def test_round_takes_halves_to_even(compare: Any) -> None:
    compare.check_node("Round", [np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.49, 3.51], np.float32)], rtol=0, atol=0)


def test_erf_stays_within_a_millionth_at_and_around_zero(compare: Any) -> None:
    tiny = np.array([0.0, -0.0, 1e-30, -1e-20, 1e-8, -1e-4, 1e-3, 0.02, 6, -6, 40, -40], np.float32)
    compare.check_node("Erf", [tiny], rtol=0, atol=1e-6)
    compare.check_node("Erf", [np.linspace(-5, 5, 4001, dtype=np.float32)], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
@pytest.mark.parametrize("op_type", ["Abs", "Neg", "Sign"])
def test_integer_magnitude_and_sign(compare: Any, op_type: str, dtype: str) -> None:
    compare.check_node(op_type, [np.array([[-7, 0, 5], [1, -1, 100]], dtype)])


@pytest.mark.parametrize("exponent", [1, 2, 3, 4, 0.5, -0.5, -1, 1.7])
def test_constant_powers(compare: Any, exponent: float) -> None:
    base = np.abs(real(3, 4)) + 0.1
    compare.check_node("Pow", [base, np.array(exponent, np.float32)], constants=[1])


@pytest.mark.parametrize(
    ("exponent", "opcodes"),
    [(1, []), (2, ["mul"]), (3, ["mul", "mul"]), (0.5, ["sqrt"]), (-0.5, ["rsqrt"]), (-1, ["div"]), (2.5, ["pow"])],
)
def test_constant_powers_become_cheap_ops(compare: Any, exponent: float, opcodes: list[str]) -> None:
    model, _ = compare.node_model("Pow", [real(2, 2), np.array([exponent], np.float32)], constants=[1])
    from edgec.frontends.onnx import read_onnx

    assert [op.opcode for op in read_onnx(model.SerializeToString()).main.ops] == opcodes


def test_powers_of_other_types(compare: Any) -> None:
    compare.check_node("Pow", [np.abs(real(3, 4)), real(4)])
    compare.check_node("Pow", [np.abs(real(3, 4)), np.array([1, 2, 3, 5], np.int64)], constants=[1])
    compare.check_node("Pow", [integers(3, 4, low=-5, high=5), np.array([0, 1, 2, 5], np.int32)], constants=[1])
    compare.check_node("Pow", [integers(3, low=-5, high=5, dtype="int64"), np.array(3, np.int64)], constants=[1])


@pytest.mark.parametrize("dtype", ["int32", "int64", "int8"])
def test_integer_mod_has_the_divisors_sign(compare: Any, dtype: str) -> None:
    a, b = np.array([-4, 7, 5, 4, -7, 8], dtype), np.array([2, -3, 8, -2, 3, 5], dtype)
    compare.check_node("Mod", [a, b])


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_fmod_has_the_dividends_sign(compare: Any, dtype: str) -> None:
    a, b = np.array([-4.3, 7.2, 5, 4.3, -7.2, 8, 0], dtype), np.array([2.1, -3.4, 8, -2.1, 3.4, 5, 3], dtype)
    compare.check_node("Mod", [a, b], fmod=1)


@pytest.mark.parametrize("opset", [8, 13])
@pytest.mark.parametrize("op_type", ["Min", "Max", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_variadic(compare: Any, op_type: str, count: int, opset: int) -> None:
    compare.check_node(op_type, [real(2, 3), real(3), real(2, 1), real(1)][:count], opset=opset)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "float16"])
def test_extremes_of_other_types(compare: Any, dtype: str) -> None:
    a, b = (RNG.integers(0, 99, s).astype(dtype) for s in ((2, 3), (3,)))
    for op_type in ("Min", "Max"):
        compare.check_node(op_type, [a, b])


@pytest.mark.parametrize("opset", [9, 11, 13])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
@pytest.mark.parametrize("op_type", ["Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"])
def test_comparison(compare: Any, op_type: str, dtype: str, opset: int) -> None:
    if op_type.endswith("OrEqual"):
        opset = max(opset, 12)
    if op_type == "Equal" and opset < 11 and dtype == "float32":
        opset = 11
    a, b = (RNG.integers(0, 3, s).astype(dtype) for s in ((2, 3, 4), (3, 1)))
    compare.check_node(op_type, [a, b], opset=opset)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8"])
def test_equal_of_small_types(compare: Any, dtype: str) -> None:
    a, b = (RNG.integers(0, 2, s).astype(dtype) for s in ((2, 3, 4), (3, 1)))
    compare.check_node("Equal", [a, b], opset=19)


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor"])
def test_logic(compare: Any, op_type: str) -> None:
    compare.check_node(op_type, [RNG.random((2, 3, 4)) < 0.5, RNG.random((3, 1)) < 0.5])


def test_not(compare: Any) -> None:
    compare.check_node("Not", [RNG.random((2, 3)) < 0.5])


@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "uint8", "float16"])
def test_where_broadcasts_all_operands(compare: Any, dtype: str) -> None:
    x, y = (RNG.integers(0, 99, s).astype(dtype) for s in ((2, 1, 4), (3, 1)))
    oracle = "reference" if dtype == "float16" else "onnxruntime"
    compare.check_node("Where", [RNG.random((3, 4)) < 0.5, x, y], opset=16, oracle=oracle)


def test_not_a_number_and_infinity(compare: Any) -> None:
    x = np.array([0, np.nan, np.inf, -np.inf, 1], np.float32)
    compare.check_node("IsNaN", [x])
    compare.check_node("IsInf", [x])
    compare.check_node("IsInf", [x], detect_negative=0)
    compare.check_node("IsInf", [x], detect_positive=0)


def test_erf_of_infinities_and_large_numbers(compare: Any) -> None:
    compare.check_node("Erf", [np.array([-np.inf, -1e30, -5.5, -0.0, 0, 3.9, 7, 1e38, np.inf], np.float32)])


def test_bits(compare: Any) -> None:
    a, b = integers(2, 3, dtype="uint8", low=0, high=255), np.array([1, 2, 3], np.uint8)
    compare.check_node("BitwiseXor", [a, b], opset=18)
    compare.check_node("BitwiseNot", [a], opset=18)
    compare.check_node("BitShift", [a, b], direction="RIGHT")
    compare.check_node("BitShift", [a, b], constants=[1], direction="LEFT")


def test_refusals(compare: Any) -> None:
    whole, half = np.ones(2, np.int32), np.ones(2, np.float32)
    assert compare.refusal("Mod", [half, half]) == "floats need fmod=1"
    negative = compare.refusal("Pow", [whole, np.array([-1, -2], np.int32)], constants=[1])
    assert negative == "an integer base needs exponents that are not negative"
    signed = compare.refusal("BitShift", [whole.astype(np.uint8), half], constants=[1], direction="LEFT")
    assert signed == "TFLite has no kernel for it in float32"
    wide = compare.refusal("BitShift", [whole.astype(np.uint64)] * 2, direction="LEFT")
    assert wide == "TFLite has no kernel for it in uint64"


LONGS = np.array([0, 1, -1, 7, -7, 10**12 + 7, -(10**12) - 7, 2**53 + 1, 2**62 + 12345, -(2**62) - 999], np.int64)


@pytest.mark.parametrize("divisor", [1, -1, 2, 3, -10, 1000003, 2**31 + 1, -(2**40) - 1, 2**61 + 3])
def test_division_of_int64_is_exact(compare: Any, divisor: int) -> None:
    divisors = np.full_like(LONGS, divisor)
    compare.check_node("Div", [LONGS, divisors])
    compare.check_node("Mod", [LONGS, divisors], fmod=1)
    compare.check_node("Div", [LONGS, np.array(divisor)], constants=[1])


def test_division_of_random_int64_is_exact(compare: Any) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-(2**62), 2**62, 2000) >> rng.integers(0, 60, 2000)
    y = rng.integers(-(2**62), 2**62, 2000) >> rng.integers(0, 60, 2000)
    compare.check_node("Div", [x, np.where(y == 0, 1, y)])


def test_powers_of_int64_are_exact(compare: Any) -> None:
    bases, exponents = np.array([0, 1, -1, 2, -2, 3, -3, 10, 7]), np.array([5, 63, 63, 62, 61, 39, 39, 18, 0])
    compare.check_node("Pow", [bases, exponents], oracle="reference")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32])
def test_left_shifts_by_numbers_of_run_time(compare: Any, dtype: Any) -> None:
    x = RNG.integers(0, np.iinfo(dtype).max, (4, 5)).astype(dtype)
    shift = RNG.integers(0, np.iinfo(dtype).bits, (4, 5)).astype(dtype)
    oracle = "onnxruntime" if dtype != np.uint16 else "reference"
    compare.check_node("BitShift", [x, shift], direction="LEFT", oracle=oracle)
