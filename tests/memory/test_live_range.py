from collections.abc import Sequence

import numpy as np
import pytest

from edgec.errors import AllocationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import TensorType
from edgec.memory.live_range import arena_bytes, live_ranges, planned_values
from edgec.memory.plan import LiveRange


def value(name: str, size: int) -> Value:
    return Value(name, TensorType((size,), DType.INT8))


def emit(graph: Graph, opcode: str, operands: Sequence[Value | None], name: str, size: int, **attributes: int) -> Value:
    return graph.append(Op(opcode, operands, [value(name, size)], attributes, name=name)).result


def residual() -> Graph:
    """x -> a -> b -> add(a, b), with a constant, a variable and an unused result beside."""
    graph = Graph()
    x = graph.add_input("x", TensorType((10,), DType.INT8))
    constant = graph.constant(np.zeros(4, np.int8))
    state = Value("state", TensorType((8,), DType.INT8), is_variable=True)
    a = emit(graph, "relu", [x, constant, None], "a", 20)
    b = emit(graph, "relu", [a, state], "b", 30)
    emit(graph, "relu", [a], "unused", 5)
    graph.outputs = (emit(graph, "add", [a, b], "sum", 40), b)
    return graph


def test_by_hand() -> None:
    graph = residual()
    assert live_ranges(graph) == (
        LiveRange("x", 10, 0, 0),
        LiveRange("a", 20, 0, 3),
        LiveRange("b", 30, 1, 3),
        LiveRange("unused", 5, 2, 2),
        LiveRange("sum", 40, 3, 3),
    )
    assert [v.name for v in planned_values(graph)] == ["x", "a", "b", "unused", "sum"]


@pytest.mark.parametrize(
    ("dtype", "size"), [(DType.INT8, 7), (DType.INT4, 7), (DType.FLOAT32, 28), (DType.RESOURCE, 28), (DType.STRING, 0)]
)
def test_arena_bytes(dtype: DType, size: int) -> None:
    assert arena_bytes(Value("v", TensorType((7,), dtype))) == size


def test_resource_handles_take_no_arena() -> None:
    graph = Graph()
    handle = graph.append(Op("var_handle", [], [Value("handle", TensorType((), DType.RESOURCE))], name="handle")).result
    graph.outputs = (emit(graph, "read_variable", [handle], "state", 8),)
    assert live_ranges(graph) == (LiveRange("state", 8, 1, 1),)


def test_other_order() -> None:
    by_name = {r.name: (r.first, r.last) for r in live_ranges(residual(), order=(0, 2, 1, 3))}
    assert by_name == {"x": (0, 0), "a": (0, 3), "b": (2, 3), "unused": (1, 1), "sum": (3, 3)}


def test_output_lives_to_the_end_and_input_until_its_last_use() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType((4,), DType.INT8))
    early = emit(graph, "relu", [x], "early", 4)
    late = emit(graph, "add", [early, x], "late", 4)
    graph.outputs = (early, emit(graph, "relu", [late], "last", 4))
    assert [(r.first, r.last) for r in live_ranges(graph)] == [(0, 1), (0, 2), (1, 2), (2, 2)]


def test_declared_order_comes_first() -> None:
    graph = residual()
    by_name = {v.name: v for v in planned_values(graph)}
    graph.declared = (by_name["sum"], value("dropped", 1), by_name["b"])
    assert [r.name for r in live_ranges(graph)] == ["sum", "b", "x", "a", "unused"]


def test_graph_without_ops() -> None:
    graph = Graph()
    graph.outputs = (graph.add_input("x", TensorType((3,), DType.INT8)),)
    assert live_ranges(graph) == (LiveRange("x", 3, 0, 0),)
    assert live_ranges(Graph()) == ()


def calling(module: Module, graph: Graph, **attributes: int) -> None:
    x = graph.add_input("x", TensorType((16,), DType.INT8))
    opcode = "while" if "body_subgraph_index" in attributes else "call"
    graph.outputs = (emit(graph, opcode, [x], f"run_{graph.name}", 16, **attributes),)
    module.graphs.append(graph)


def test_called_graphs_are_held_during_the_call() -> None:
    module = Module(graphs=[])
    calling(module, Graph("main"), cond_subgraph_index=1, body_subgraph_index=2)
    module.graphs.append(residual())  # 20 + 30 + 40 bytes live at its step 3: 32 + 32 + 48 aligned
    calling(module, Graph("body"), subgraph=1)
    ranges = live_ranges(module.main, module=module)
    assert [r.name for r in ranges[:-1]] == ["x", "run_main"]
    assert ranges[-1] == LiveRange("graphs run by while 'run_main'", 16 + 16 + 112, 0, 0)
    assert len(live_ranges(module.main)) == 2


def test_recursion_is_refused() -> None:
    module = Module(graphs=[])
    calling(module, Graph("main"), subgraph=1)
    calling(module, Graph("inner"), subgraph=1)
    expected = (
        "^live ranges: call 'run_inner' in graph 'inner' runs graph 'inner' again, so the memory it needs has no "
        "bound; remove the recursion$"
    )
    with pytest.raises(AllocationError, match=expected):
        live_ranges(module.main, module=module)
