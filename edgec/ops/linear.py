"""Matrix products: fully connected layers (weights [units, inputs]), batched products and embedding tables."""

from __future__ import annotations

from edgec.ir.dtype import DType
from edgec.ir.graph import Op, Value
from edgec.ir.op_def import OpDef, Operand, QuantRule, Role
from edgec.ir.types import TensorType
from edgec.ops.conv import BIAS, INPUT, INTEGER, WEIGHT, result_dtype
from edgec.ops.infer import broadcast_shapes, derived, own_dtype, require_rank, unknown_shape


def _infer_fully_connected(op: Op) -> list[TensorType]:
    x, weight = op.operand(0), op.operand(1)
    require_rank(weight, 2)
    dtype = result_dtype(x, weight)
    units, inputs = weight.shape
    bias = op.optional_operand(2)
    if bias is not None and bias.type.elements != units:
        raise ValueError(f"bias '{bias.name}' has {bias.type.elements} elements for {units} units")
    result = _kept_rank(x, units, inputs, dtype) if op.attributes["keep_num_dims"] else _flat(x, units, inputs, dtype)
    if op.attributes["weights_format"] == "DEFAULT":
        return [result]
    return [result, TensorType(x.shape, DType.UINT8)]  # room for the shuffled input


def _kept_rank(x: Value, units: int, inputs: int, dtype: DType) -> TensorType:
    if not x.shape or (x.shape[-1] != inputs and (x.type.signature or x.shape)[-1] != -1):
        raise ValueError(f"{x.type.rank and x.shape[-1]} inputs do not fit weights [{units}, {inputs}]")
    return derived(x, (*x.shape[:-1], units), (*range(x.type.rank - 1), None), dtype)


def _flat(x: Value, units: int, inputs: int, dtype: DType) -> TensorType:
    moving = x.type.signature is not None and -1 in x.type.signature
    if not inputs or (x.type.elements % inputs and not moving):
        raise ValueError(f"{x.type.elements} input elements do not fit weights [{units}, {inputs}]")
    shape = (max(x.type.elements // inputs, 1) if moving else x.type.elements // inputs, units)
    return TensorType(shape, dtype, None, (-1, units) if moving else None)


def _fully_connected_macs(op: Op) -> int:
    return op.results[0].type.elements * op.operand(1).shape[1]


def _fully_connected_version(op: Op) -> int:
    """1 float, 2 shuffled weights, 3 hybrid (9 asymmetric, 12 per channel), 4 int8, 5 keep_num_dims, 6 no bias.

    7 is for int16 activations, 8 for sparse weights, 10 for int4 weights, 11 for a bias type of one's own, 13 for int4
    beside int16, 14 for int2. A kernel of a later version runs every earlier form.
    """
    x, weight, a = op.operand(0), op.operand(1), op.attributes
    wanted = [1]
    if weight.dtype is DType.INT2:
        wanted.append(14)
    if weight.dtype is DType.INT4:
        wanted.append(13 if x.dtype is DType.INT16 else 10)
    if x.dtype is DType.FLOAT32 and weight.dtype in (DType.INT8, DType.INT4, DType.INT2):
        per_channel = weight.quant is not None and len(weight.quant.scale) > 1
        wanted.append(12 if per_channel else 9 if a["asymmetric_quantize_inputs"] else 3)
    if x.dtype is DType.INT16:
        wanted.append(7 if a["quantized_bias_type"] == "FLOAT32" else 11)
    if weight.sparsity is not None:
        wanted.append(8)
    if op.optional_operand(2) is None:
        wanted.append(6)
    if a["keep_num_dims"]:
        wanted.append(5)
    if x.dtype is DType.INT8:
        wanted.append(4)
    if a["weights_format"] != "DEFAULT":
        wanted.append(2)
    return max(wanted)


def _infer_batch_matmul(op: Op) -> list[TensorType]:
    a, b = op.operand(0), op.operand(1)
    if a.dtype is not b.dtype and not (a.dtype is DType.FLOAT32 and b.dtype is DType.INT8):
        raise ValueError(f"{a.dtype.value} does not go with {b.dtype.value}")
    rows, inner = _matrix(a, op.attributes["adj_x"])
    other, columns = _matrix(b, op.attributes["adj_y"])
    if inner != other:
        raise ValueError(f"{list(a.shape)} and {list(b.shape)} have inner sizes {inner} and {other}")
    shape = (*broadcast_shapes([a.shape[:-2], b.shape[:-2]]), rows, columns)
    dtype = own_dtype(op, a.dtype) if a.dtype is DType.INT8 else a.dtype  # int8 products may be kept in int32
    if dtype not in (a.dtype, DType.INT32):
        raise ValueError(f"a product of {a.dtype.value} cannot be {dtype.value}")
    if a.type.is_dynamic or b.type.is_dynamic:
        return [TensorType(shape, dtype, None, _product_signature(op, shape))]
    return [TensorType(shape, dtype)]


def _matrix(x: Value, transposed: bool) -> tuple[int, int]:
    if x.type.rank < 2:
        raise ValueError(f"'{x.name}' must have at least rank 2, its shape is {list(x.shape)}")
    rows, columns = x.shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _product_signature(op: Op, shape: tuple[int, ...]) -> tuple[int, ...]:
    a, b = op.operand(0), op.operand(1)
    left, right = a.type.signature or a.shape, b.type.signature or b.shape
    batch = [-1 if -1 in _at(left, right, i) else shape[i] for i in range(-len(shape), -2)]
    rows = left[-1] if op.attributes["adj_x"] else left[-2]
    columns = right[-2] if op.attributes["adj_y"] else right[-1]
    return (*batch, -1 if rows == -1 else shape[-2], -1 if columns == -1 else shape[-1])


def _at(left: tuple[int, ...], right: tuple[int, ...], position: int) -> list[int]:
    return [dims[position] for dims in (left, right) if -position <= len(dims)]


def _batch_matmul_macs(op: Op) -> int:
    return op.result.type.elements * _matrix(op.operand(0), op.attributes["adj_x"])[1]


def _batch_matmul_version(op: Op) -> int:
    """1 float, 2 int8, 3 int16, 4 hybrid with asymmetric inputs."""
    a, b = op.operand(0), op.operand(1)
    if a.dtype is DType.FLOAT32 and b.dtype is DType.INT8:
        return 4 if op.attributes["asymmetric_quantize_inputs"] else 1
    return {DType.INT8: 2, DType.INT16: 3}.get(a.dtype, 1)


def _infer_embedding_lookup(op: Op) -> list[TensorType]:
    ids, table = op.operand(0), op.operand(1)
    require_rank(ids, 1)
    if table.type.rank < 2:
        raise ValueError(f"'{table.name}' must have at least rank 2, its shape is {list(table.shape)}")
    small = table.dtype in (DType.INT8, DType.UINT8, DType.INT4, DType.INT2)  # rows are dequantized on the way out
    dtype = own_dtype(op, DType.FLOAT32) if small else table.dtype
    if small and dtype not in (table.dtype, DType.FLOAT32, DType.FLOAT16):
        raise ValueError(f"a table of {table.dtype.value} cannot give {dtype.value}")
    return [derived(ids, (ids.shape[0], *table.shape[1:]), (0, *[None] * (table.type.rank - 1)), dtype)]


def _embedding_lookup_version(op: Op) -> int:
    """1 float, 3 int8, 4 int4 or scales per row, 5 int2."""
    table = op.operand(1)
    if table.dtype is DType.INT2:
        return 5
    if table.dtype is DType.INT4 or (table.quant is not None and len(table.quant.scale) > 1):
        return 4
    return 3 if table.dtype is DType.INT8 else 1


def _infer_embedding_lookup_sparse(op: Op) -> list[TensorType]:
    ids, indices, table = op.operand(0), op.operand(1), op.operand(4)
    require_rank(ids, 1)
    require_rank(indices, 2)
    if table.type.rank < 2 or indices.shape[1] < 1:
        raise ValueError(f"indices {list(indices.shape)} do not fit a table of {list(table.shape)}")
    return [unknown_shape((1,) * (indices.shape[1] - 1) + table.shape[1:], DType.FLOAT32)]


PER_CHANNEL = QuantRule(
    INTEGER, weight_axis=0,
    note="weight scales per unit need LiteRT 2 or TFLM; the 8-bit specification itself has one scale for the weights",
)  # fmt: skip

OPS = (
    OpDef(
        "fully_connected", "FULLY_CONNECTED", "FullyConnectedOptions", (INPUT, WEIGHT, BIAS), _infer_fully_connected,
        results=None, macs=_fully_connected_macs, quant=PER_CHANNEL, version=_fully_connected_version,
    ),
    OpDef(
        "batch_matmul", "BATCH_MATMUL", "BatchMatMulOptions", (Operand("a"), Operand("b")), _infer_batch_matmul,
        macs=_batch_matmul_macs, quant=QuantRule(INTEGER), version=_batch_matmul_version,
    ),
    OpDef(
        "embedding_lookup", "EMBEDDING_LOOKUP", None,
        (Operand("ids", Role.PARAMETER), Operand("table", Role.WEIGHT)), _infer_embedding_lookup,
        quant=QuantRule(weight_axis=0, note="an int8 or int4 table gives float rows"),
        version=_embedding_lookup_version,
    ),
    OpDef(
        "embedding_lookup_sparse", "EMBEDDING_LOOKUP_SPARSE", "EmbeddingLookupSparseOptions",
        (
            Operand("ids", Role.PARAMETER), Operand("indices", Role.PARAMETER), Operand("dense_shape", Role.PARAMETER),
            Operand("weights"), Operand("table", Role.WEIGHT),
        ),
        _infer_embedding_lookup_sparse,
    ),
)  # fmt: skip
