"""Binary and unary arithmetic, comparison and logic, with numpy broadcasting."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef, Operand, QuantRule, no_macs
from edgec.ir.types import TensorType
from edgec.ops.infer import broadcast_shapes, broadcast_signature, plain, require_same_dtype

A, B = Operand("a"), Operand("b")
X = Operand("input")
INTEGER = (DType.INT8, DType.INT16)


def _broadcast_type(op: Op, dtype: DType) -> TensorType:
    a, b = op.operand(0), op.operand(1)
    return TensorType(broadcast_shapes([a.shape, b.shape]), dtype, None, broadcast_signature([a, b]))


def _infer_binary(op: Op) -> list[TensorType]:
    return [_broadcast_type(op, require_same_dtype(op, 0, 1))]


def _infer_compare(op: Op) -> list[TensorType]:
    require_same_dtype(op, 0, 1)
    return [_broadcast_type(op, DType.BOOL)]


def _infer_unary(op: Op) -> list[TensorType]:
    return [plain(op.operand(0))]


def _multiplies(op: Op) -> int:
    return op.result.type.elements


def _version(op: Op) -> int:
    """1 in float, 2 for int8, 3 for int16 where the family has it."""
    dtype = op.operand(0).dtype
    return 2 if dtype in (DType.INT8, DType.INT16) else 1


def _binary(name: str, options: str | None, *, integer: bool = False, commutative: bool = False,
            same_scale: bool = False, multiplies: bool = False) -> OpDef:  # fmt: skip
    return OpDef(
        name, name.upper(), options, (A, B), _infer_binary, macs=_multiplies if multiplies else no_macs,
        quant=QuantRule(INTEGER if integer else (), same_scale=same_scale), version=_version,
        is_elementwise=True, is_commutative=commutative,
    )  # fmt: skip


def _compare(name: str, options: str) -> OpDef:
    return OpDef(
        name, name.upper(), options, (A, B), _infer_compare,
        quant=QuantRule((DType.INT8,), integer_results=True), version=_version, is_elementwise=True,
    )  # fmt: skip


def _unary(name: str, options: str | None = None, *, integer: bool = False) -> OpDef:
    return OpDef(
        name, name.upper(), options, (X,), _infer_unary,
        quant=QuantRule((DType.INT8,) if integer else ()), version=_version, is_elementwise=True,
    )  # fmt: skip


OPS = (
    _binary("add", "AddOptions", integer=True, commutative=True),
    _binary("sub", "SubOptions", integer=True),
    _binary("mul", "MulOptions", integer=True, commutative=True, multiplies=True),
    _binary("div", "DivOptions"),
    _binary("maximum", "MaximumMinimumOptions", integer=True, commutative=True, same_scale=True),
    _binary("minimum", "MaximumMinimumOptions", integer=True, commutative=True, same_scale=True),
    _binary("squared_difference", "SquaredDifferenceOptions", integer=True, commutative=True, multiplies=True),
    _binary("pow", "PowOptions"),
    _binary("floor_div", "FloorDivOptions"),
    _binary("floor_mod", "FloorModOptions"),
    _binary("atan2", "ATan2Options"),
    _binary("logical_and", "LogicalAndOptions", commutative=True),
    _binary("logical_or", "LogicalOrOptions", commutative=True),
    _binary("bitwise_xor", "BitwiseXorOptions", commutative=True),
    _binary("right_shift", "RightShiftOptions"),
    _compare("less", "LessOptions"),
    _compare("less_equal", "LessEqualOptions"),
    _compare("greater", "GreaterOptions"),
    _compare("greater_equal", "GreaterEqualOptions"),
    _compare("equal", "EqualOptions"),
    _compare("not_equal", "NotEqualOptions"),
    _unary("abs", "AbsOptions", integer=True),
    _unary("neg", "NegOptions"),
    _unary("exp", "ExpOptions", integer=True),
    _unary("log", integer=True),
    _unary("sqrt"),
    _unary("rsqrt", integer=True),
    _unary("square", "SquareOptions"),
    _unary("sin"),
    _unary("cos", "CosOptions"),
    _unary("floor"),
    _unary("ceil"),
    _unary("round"),
    _unary("sign", "SignOptions"),
    _unary("logical_not", "LogicalNotOptions"),
)
