"""Binary and unary arithmetic, comparison and logic, with numpy broadcasting."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op
from edgec.ir.op_def import OpDef, Operand, QuantRule, no_macs
from edgec.ir.types import TensorType
from edgec.ops.infer import broadcast_shapes, broadcast_signature, plain, require_same_dtype
from edgec.ops.version import INT8_2, INT8_2_INT16_3, Version, by_broadcast, by_dtype

A, B = Operand("a"), Operand("b")
X = Operand("input")
INT8, INT16, INT32, INT64, UINT32, STRING = (
    DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.UINT32, DType.STRING,
)  # fmt: skip
INTEGER = (INT8, INT16)


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


def _infer_add_n(op: Op) -> list[TensorType]:
    first = op.operand(0)
    for index in range(1, len(op.operands)):
        require_same_dtype(op, 0, index)
        other = op.operand(index)
        if other.shape != first.shape and not (other.type.is_dynamic or first.type.is_dynamic):
            raise ValueError(f"operands must have one shape, found {list(first.shape)} and {list(other.shape)}")
    return [plain(first)]


def _mul_version(op: Op) -> int:
    """1, 2 int8, 3 int8 with a product scale at or above the result's, 4 int16, 5 int64, 6 complex, 7 plain int16."""
    a, b = op.operand(0), op.operand(1)
    if a.dtype is INT16:
        return 7 if a.quant is None else 4
    if a.dtype is INT8 and a.quant and b.quant and op.result.quant:
        product = a.quant.scale[0] * b.quant.scale[0]
        return 3 if product >= op.result.quant.scale[0] else 2
    return {INT8: 2, INT64: 5, DType.COMPLEX64: 6, UINT32: 7}.get(a.dtype, 1)


def _add_version(op: Op) -> int:
    """1, 2 int8, 3 int16 with any scales, 4 int64, 5 plain int16."""
    a = op.operand(0)
    if a.dtype is INT16:
        return 5 if a.quant is None else 3
    return {INT8: 2, INT64: 4}.get(a.dtype, 1)


def _abs_version(op: Op) -> int:
    """1, 2 8-bit, 3 quantized int16, 4 plain int16, 5 int32."""
    x = op.operand(0)
    if x.dtype is INT16:
        return 4 if x.quant is None else 3
    return {INT8: 2, DType.UINT8: 2, INT32: 5}.get(x.dtype, 1)


_FLOAT_ONLY = QuantRule()


def _binary(name: str, options: str | None, quant: QuantRule = _FLOAT_ONLY, *, version: Version | int = 1,
            commutative: bool = False, multiplies: bool = False) -> OpDef:  # fmt: skip
    return OpDef(
        name, name.upper(), options, (A, B), _infer_binary, macs=_multiplies if multiplies else no_macs,
        quant=quant, version=version, is_elementwise=True, is_commutative=commutative,
    )  # fmt: skip


def _compare(name: str, options: str, version: Version, *activations: DType, commutative: bool = False) -> OpDef:
    return OpDef(
        name, name.upper(), options, (A, B), _infer_compare,
        quant=QuantRule(activations, integer_results=True), version=version, is_elementwise=True,
        is_commutative=commutative,
    )  # fmt: skip


def _unary(name: str, options: str | None = None, *activations: DType, version: Version | int = 1) -> OpDef:
    return OpDef(
        name, name.upper(), options, (X,), _infer_unary, quant=QuantRule(activations), version=version,
        is_elementwise=True,
    )  # fmt: skip


_RESCALES = QuantRule(INTEGER)
_ANY_SCALE_INT16 = QuantRule(INTEGER, note="int16 takes scales other than powers of two with pot_scale_int16 = false")
_SAME = QuantRule(INTEGER, same_scale=True)
_EXTREME = by_broadcast({INT8: 2, INT16: 4}, beyond_rank_4=3)

OPS = (
    _binary("add", "AddOptions", _ANY_SCALE_INT16, version=_add_version, commutative=True),
    _binary("sub", "SubOptions", _ANY_SCALE_INT16, version=by_broadcast({INT8: 2, INT64: 4, INT16: 5}, 3)),
    _binary("mul", "MulOptions", _RESCALES, version=_mul_version, commutative=True, multiplies=True),
    _binary("div", "DivOptions", _RESCALES, version=by_broadcast({}, beyond_rank_4=2)),
    _binary("maximum", "MaximumMinimumOptions", _SAME, version=_EXTREME, commutative=True),
    _binary("minimum", "MaximumMinimumOptions", _SAME, version=_EXTREME, commutative=True),
    _binary(
        "squared_difference",
        "SquaredDifferenceOptions",
        QuantRule((INT8,)),
        version=by_dtype(INT8_2),
        commutative=True,
        multiplies=True,
    ),
    _binary("pow", "PowOptions"),
    _binary("floor_div", "FloorDivOptions", version=by_dtype({DType.FLOAT32: 2, INT8: 3, INT16: 3})),
    _binary("floor_mod", "FloorModOptions", version=by_dtype({INT8: 2, INT16: 2})),
    _binary("atan2", "ATan2Options"),
    _binary("logical_and", "LogicalAndOptions", commutative=True),
    _binary("logical_or", "LogicalOrOptions", commutative=True),
    _binary("bitwise_xor", "BitwiseXorOptions", commutative=True),
    _binary("right_shift", "RightShiftOptions"),
    OpDef(
        "add_n",
        "ADD_N",
        "AddNOptions",
        (Operand("values", variadic=True),),
        _infer_add_n,
        is_elementwise=True,
        is_commutative=True,
    ),
    _compare("less", "LessOptions", by_dtype(INT8_2_INT16_3), INT8, INT16),
    _compare("less_equal", "LessEqualOptions", by_dtype(INT8_2), INT8, INT16),
    _compare("greater", "GreaterOptions", by_dtype(INT8_2), INT8, INT16),
    _compare("greater_equal", "GreaterEqualOptions", by_dtype(INT8_2_INT16_3), INT8, INT16),
    _compare("equal", "EqualOptions", by_dtype({INT8: 2, STRING: 3, INT16: 4}), INT8, INT16, commutative=True),
    _compare("not_equal", "NotEqualOptions", by_dtype({INT8: 2, STRING: 3}), INT8, INT16, commutative=True),
    _unary("abs", "AbsOptions", INT8, INT16, version=_abs_version),
    _unary("neg", "NegOptions"),  # the int8 kernel negates integers whatever the zero point
    _unary("exp", "ExpOptions", INT8, INT16, version=by_dtype({INT8: 2, INT16: 2})),
    _unary("log", None, INT8, INT16, version=by_dtype({INT8: 2, INT16: 2})),
    _unary("sqrt", None, INT8, INT16, version=by_dtype({INT8: 2, INT16: 2})),
    _unary("rsqrt", None, INT8, INT16, version=by_dtype(INT8_2_INT16_3)),
    _unary("square", "SquareOptions"),
    _unary("sin"),
    _unary("cos", "CosOptions"),
    _unary("floor"),
    _unary("ceil"),
    _unary("round"),
    _unary("sign", "SignOptions", version=by_dtype({INT32: 2})),
    _unary("logical_not", "LogicalNotOptions"),
)
