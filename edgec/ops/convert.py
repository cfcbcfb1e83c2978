"""Changes of element type: casts, and the borders between real and quantized values."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Operand, QuantRule
from edgec.ir.types import TensorType
from edgec.ops.infer import attribute_dtype, derived, own_dtype, own_types, plain, result_like

X = Operand("input")
_QUANTIZED = (DType.INT8, DType.INT16, DType.UINT8, DType.INT32, DType.INT4, DType.INT2, DType.UINT4)
_NOT_QUANTIZED_FROM = (DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)


def _infer_quantize(op: Op) -> list[TensorType]:
    x = op.operand(0)
    if x.dtype not in (*_QUANTIZED, *_NOT_QUANTIZED_FROM):
        raise ValueError(f"cannot quantize {x.dtype.value}")
    dtype = own_types(op)[0].dtype  # the op states no type: that of its result rules
    if dtype not in _QUANTIZED:
        raise ValueError(f"cannot quantize to {dtype.value}")
    return [plain(x, dtype)]


def _infer_dequantize(op: Op) -> list[TensorType]:
    x = op.operand(0)
    if x.dtype not in (*_QUANTIZED, *_NOT_QUANTIZED_FROM):
        raise ValueError(f"cannot dequantize {x.dtype.value}")
    dtype = own_dtype(op, DType.FLOAT32)
    if not dtype.is_float:
        raise ValueError(f"cannot dequantize to {dtype.value}")
    return [plain(x, dtype)]


def _infer_cast(op: Op) -> list[TensorType]:
    # Kernels go by the result's type; older converters leave the attributes at their defaults.
    dtype = op.results[0].dtype if op.results else attribute_dtype(op, "out_data_type")
    return [plain(op.operand(0), dtype)]


def _infer_bitcast(op: Op) -> list[TensorType]:
    x = op.operand(0)
    dtype = own_types(op)[0].dtype
    if not dtype.bits or not x.dtype.bits:
        raise ValueError(f"cannot read {x.dtype.value} as {dtype.value}")
    if x.dtype.bits == dtype.bits:
        return [plain(x, dtype)]
    if x.dtype.bits > dtype.bits:  # one element becomes several along a new last axis
        return [derived(x, (*x.shape, x.dtype.bits // dtype.bits), (*range(x.type.rank), None), dtype)]
    count = dtype.bits // x.dtype.bits
    if not x.shape or x.shape[-1] != count:
        what = f"{list(x.shape)} of {x.dtype.value} cannot be read as {dtype.value}"
        raise ValueError(f"{what}: the last size must be {count}")
    return [derived(x, x.shape[:-1], range(x.type.rank - 1), dtype)]


def _per_channel(value: Value) -> bool:
    return value.quant is not None and len(value.quant.scale) > 1


def _quantize_version(op: Op) -> int:
    """1 to 8 bits, 2 to int16, 3 per channel, 4 int4, 5 int16 to int16 per tensor and later, 6 int2."""
    x, y = op.operand(0), op.result
    if DType.INT2 in (x.dtype, y.dtype):
        return 6
    if DType.INT4 in (x.dtype, y.dtype):
        return 4
    if _per_channel(y):
        return 3
    return 2 if y.dtype is DType.INT16 else 1


def _dequantize_version(op: Op) -> int:
    """1 uint8, 2 int8, 3 int16 and float16, 5 int8 per channel, 6 int4, 7 and later other small types."""
    x = op.operand(0)
    if x.dtype in (DType.INT2, DType.UINT4):
        return 9
    if x.dtype is DType.INT4:
        return 6
    if x.dtype is DType.INT8 and _per_channel(x):
        return 5
    return {DType.INT16: 3, DType.FLOAT16: 3, DType.INT8: 2}.get(x.dtype, 1)


_CAST_VERSIONS = (
    ((DType.INT2,), 9), ((DType.UINT4, DType.FLOAT8_E4M3FN, DType.FLOAT8_E5M2), 8), ((DType.BFLOAT16,), 7),
    ((DType.INT4,), 6), ((DType.FLOAT64, DType.FLOAT16), 5), ((DType.UINT16,), 4), ((DType.INT8,), 3),
    ((DType.UINT32,), 2),
)  # fmt: skip


def _cast_version(op: Op) -> int:
    dtypes = (op.operand(0).dtype, op.result.dtype)
    return next((version for kinds, version in _CAST_VERSIONS if any(d in kinds for d in dtypes)), 1)


def _fake_quant_version(op: Op) -> int:
    return 2 if op.attributes["narrow_range"] else 1


OPS = (
    OpDef("quantize", "QUANTIZE", "QuantizeOptions", (X,), _infer_quantize,
          quant=QuantRule((DType.INT8, DType.INT16)), version=_quantize_version, is_elementwise=True),
    OpDef("dequantize", "DEQUANTIZE", "DequantizeOptions", (X,), _infer_dequantize,
          quant=QuantRule((DType.INT8, DType.INT16)), version=_dequantize_version, is_elementwise=True),
    OpDef("cast", "CAST", "CastOptions", (X,), _infer_cast, version=_cast_version, is_elementwise=True),
    OpDef("bitcast", "BITCAST", "BitcastOptions", (X,), _infer_bitcast),
    OpDef("fake_quant", "FAKE_QUANT", "FakeQuantOptions", (X,), result_like(0), version=_fake_quant_version,
          is_elementwise=True),
    OpDef("densify", "DENSIFY", "DensifyOptions", (Operand("input"),), result_like(0)),
)  # fmt: skip
