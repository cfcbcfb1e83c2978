"""Moving data between storage orders."""

from __future__ import annotations

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph
from edgec.ir.types import TensorType
from edgec.ops import build
from edgec.passes.layout.emitter import Emitter, reordered
from edgec.passes.layout.storage_order import StorageOrder
from edgec.runtime.evaluate import evaluate

TURNED_PAIR: StorageOrder = ((23, 1), (48, 23))  # of [48, 23]
TURNED_TRIPLE: StorageOrder = ((23, 12), (4, 276), (12, 1))  # of [4, 23, 12]


def test_orders_that_cut_the_elements_unevenly() -> None:
    """A shift of relative positions reads [48, 23] as [4, 23, 12], and both are held turned."""
    graph = Graph("main")
    held = graph.add_input("held", TensorType((23, 48), DType.FLOAT32))
    value = build(graph).emit("relu", [held])
    emitter = Emitter(graph)
    emitter.hold(value, TURNED_PAIR, value)
    graph.outputs = (emitter.fetch(value, TURNED_TRIPLE, (23, 4, 12)),)
    assert [op.opcode for op in graph.ops].count("transpose") == 2
    written = np.arange(1104, dtype=np.float32)
    given = {"held": reordered(written, TURNED_PAIR).reshape(23, 48)}
    found = evaluate(graph, given)[0]
    np.testing.assert_array_equal(found, reordered(written, TURNED_TRIPLE).reshape(23, 4, 12))
