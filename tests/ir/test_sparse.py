"""Sparse constants written out: as LiteRT's own `densify` does it, and never beyond what the file describes."""

from typing import Any

import numpy as np
import pytest

from edgec.backends.tflite import serialize
from edgec.errors import PassError
from edgec.frontends.tflite import read_tflite
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ir.sparse import dense_array
from edgec.ir.types import QuantParams, TensorType
from edgec.ops import build, verify
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.expand_sparse import ExpandSparse
from edgec.runtime.litert import LiteRTSession

Levels = tuple[tuple[int, ...], str, tuple[int, ...], tuple[int, ...]]
# traversal order, d(ense) or s(parse) by level, blocked dimensions, block sizes
ROWS: Levels = ((0, 1), "ds", (), ())
COLUMNS: Levels = ((1, 0), "ss", (), ())
BLOCKS_OF_4: Levels = ((0, 1, 2), "dsd", (1,), (4,))
BLOCKS_OF_4_BY_4: Levels = ((0, 1, 2, 3), "dsdd", (0, 1), (4, 4))
OF_RANK_4: Levels = ((0, 1, 2, 3), "ddds", (), ())
INDEX = {"Int32Vector": np.int32, "Uint16Vector": np.uint16, "Uint8Vector": np.uint8}


def encode(dense: np.ndarray, levels: Levels, kind: str = "Uint8Vector") -> tuple[np.ndarray, dict[str, Any]]:
    """A dense array in TFLite's sparse form: its values in order of the walk, and the description."""
    order, formats, blocked, blocks = levels
    rank = dense.ndim
    sizes = list(dense.shape)
    split: list[int] = []
    axes: list[int] = []
    for dim in range(rank):
        axes.append(dim)
        if dim in blocked:
            block = blocks[blocked.index(dim)]
            sizes[dim] //= block
            split += [sizes[dim], block]
            axes.append(rank + blocked.index(dim))
        else:
            split.append(sizes[dim])
    sizes += blocks
    nodes = [dense.reshape(split).transpose([axes.index(o) for o in order])]
    description = []
    for dim, form in zip(order, formats):
        if form == "d":
            description.append({"format": "DENSE", "dense_size": sizes[dim], "array_segments": None,
                                "array_indices": None})  # fmt: skip
            nodes = [node[i] for node in nodes for i in range(sizes[dim])]
            continue
        segments, indices, kept = [0], [], []
        for node in nodes:
            for i in range(sizes[dim]):
                if np.any(node[i]):
                    indices.append(i)
                    kept.append(node[i])
            segments.append(len(indices))
        description.append(
            {
                "format": "SPARSE_CSR",
                "dense_size": 0,
                "array_segments": ("Int32Vector", {"values": np.array(segments, np.int32)}),
                "array_indices": (kind, {"values": np.array(indices, INDEX[kind])}),
            }
        )
        nodes = kept
    values = np.array([np.asarray(node).item() for node in nodes], dense.dtype)
    return values, {
        "traversal_order": np.array(order, np.int32),
        "block_map": np.array(blocked, np.int32) if blocked else None,
        "dim_metadata": description,
    }


def thinned(shape: tuple[int, ...], dtype: DType) -> np.ndarray:
    rng = np.random.default_rng(0)
    dense = rng.integers(-5, 6, shape)
    dense[rng.random(shape) < 0.7] = 0
    return dense.astype(dtype.numpy)


def module_with(dense: np.ndarray, dtype: DType, levels: Levels) -> Module:
    """x + densify(w), behind a `dequantize` where w is no float32."""
    values, description = encode(dense, levels)
    quant = QuantParams.per_tensor(0.5) if dtype is DType.INT8 else None
    graph = Graph()
    b = build(graph)
    x = graph.add_input("x", TensorType(dense.shape, DType.FLOAT32))
    w = Value("w", TensorType(dense.shape, dtype, quant), values.view(np.uint8), sparsity=description)
    y = b.emit("densify", [w], quant=quant)
    if dtype is not DType.FLOAT32:
        y = b.emit("dequantize", [y])
    graph.outputs = [b.emit("add", [x, y])]
    return Module([graph])


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT16, DType.INT8])
@pytest.mark.parametrize(
    ("shape", "levels"),
    [
        ((8, 16), ROWS), ((8, 16), COLUMNS), ((8, 16), BLOCKS_OF_4), ((8, 16), BLOCKS_OF_4_BY_4),
        ((3, 3, 2, 8), OF_RANK_4),
    ],
)  # fmt: skip
def test_the_pass_writes_out_what_litert_densifies(dtype: DType, shape: tuple[int, ...], levels: Levels) -> None:
    dense = thinned(shape, dtype)
    sparse = serialize(module_with(dense, dtype, levels))
    module = read_tflite(sparse)
    assert ExpandSparse().run(module, PassContext()).changed
    assert not ExpandSparse().run(module, PassContext()).changed
    verify(module)
    assert "densify" not in [op.opcode for op in module.main.ops]
    zeros = np.zeros(shape, np.float32)
    [want] = LiteRTSession(sparse, xnnpack=False).run([zeros])
    [found] = LiteRTSession(serialize(module), xnnpack=False).run([zeros])
    assert want.tobytes() == found.tobytes()
    assert np.array_equal(found, dense.astype(np.float32) * (0.5 if dtype is DType.INT8 else 1))


def test_a_sparse_weight_of_an_op_becomes_dense_too() -> None:
    dense = thinned((8, 16), DType.FLOAT32)
    values, description = encode(dense, ROWS, "Uint16Vector")
    graph = Graph()
    x = graph.add_input("x", TensorType((1, 16), DType.FLOAT32))
    w = Value("w", TensorType((8, 16), DType.FLOAT32), values.view(np.uint8), sparsity=description)
    graph.outputs = [build(graph).emit("fully_connected", [x, w])]
    module = Module([graph])
    ExpandSparse().run(module, PassContext())
    op = module.main.last_op
    assert op is not None
    assert np.array_equal(op.operand(1).array(), dense)
    assert op.operand(1).sparsity is None


def test_rows_without_values() -> None:
    dense = np.zeros((200, 6), np.float32)
    dense[17, 2], dense[180, 5] = 3, -1
    values, description = encode(dense, ROWS)
    assert np.array_equal(dense_array(values.view(np.uint8), description, (200, 6), DType.FLOAT32), dense)


def test_a_shape_without_end_is_refused() -> None:
    values, description = encode(thinned((4, 8), DType.FLOAT32), ROWS)
    with pytest.raises(ValueError, match="written out it would take more than 512 MiB"):
        dense_array(values.view(np.uint8), description, (2**30, 2**30), DType.FLOAT32)


def broken(change: str) -> tuple[np.ndarray, dict[str, Any]]:
    values, description = encode(thinned((4, 8), DType.FLOAT32), ROWS)
    rows, columns = description["dim_metadata"]
    match change:
        case "order":
            description["traversal_order"] = np.array([0, 0], np.int32)
        case "size":
            rows["dense_size"] = 5
        case "segments":
            columns["array_segments"] = ("Int32Vector", {"values": np.array([0, 9, 3, 4, 99], np.int32)})
        case "index":
            indices = columns["array_indices"][1]["values"].copy()
            indices[0] = 8
            columns["array_indices"] = ("Uint8Vector", {"values": indices})
        case "values":
            values = values[:-1]
        case "missing":
            columns["array_segments"] = None
    return values, description


@pytest.mark.parametrize("change", ["order", "size", "segments", "index", "values", "missing"])
def test_a_description_that_contradicts_itself_is_refused(change: str) -> None:
    values, description = broken(change)
    with pytest.raises(ValueError, match=r".+"):
        dense_array(values.view(np.uint8), description, (4, 8), DType.FLOAT32)


def test_the_message_names_the_tensor() -> None:
    values, description = broken("size")
    graph = Graph()
    w = Value("w", TensorType((4, 8), DType.FLOAT32), values.view(np.uint8), sparsity=description)
    graph.outputs = [build(graph).emit("densify", [w])]
    with pytest.raises(PassError) as caught:
        ExpandSparse().run(Module([graph]), PassContext())
    assert str(caught.value) == (
        "Writing out the sparse tensor 'w': a dense level of 5 stands for a dimension of 4; the file is damaged."
    )
