"""Dead `if` and `while` ops, and graphs that nothing calls any more."""

import numpy as np

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.types import TensorType
from edgec.ops import build, verify
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.eliminate_dead_code import EliminateDeadCode

FLOATS, FLAG = TensorType((2,), DType.FLOAT32), TensorType((), DType.BOOL)


def branch(name: str, opcode: str, *, with_state: bool = False) -> Graph:
    graph = Graph(name)
    builder = build(graph)
    result = builder.emit(opcode, [graph.add_input("x", FLOATS)])
    if with_state:
        handle = builder.emit("var_handle", [], result_types=[TensorType((), DType.RESOURCE)])
        builder.emit_op("assign_variable", [handle, result])
    graph.outputs = [result]
    return graph


def conditional(builder: object, condition: Value, x: Value, first: int) -> Value:
    op: Op = builder.emit_op(  # type: ignore[attr-defined]
        "if", [condition, x], result_types=[FLOATS], then_subgraph_index=first, else_subgraph_index=first + 1
    )
    return op.results[0]


def module_of_two(*, first_has_state: bool) -> Module:
    """One `if` whose result nobody uses over graphs 1 and 2, one that is the output over graphs 3 and 4."""
    main = Graph("main")
    builder = build(main)
    x, condition = main.add_input("x", FLOATS), main.add_input("c", FLAG)
    unused = conditional(builder, condition, x, 1)
    builder.emit("exp", [unused])
    main.outputs = [conditional(builder, condition, x, 3)]
    parts = [
        branch("a", "abs", with_state=first_has_state),
        branch("b", "neg"),
        branch("c", "sqrt"),
        branch("d", "exp"),
    ]
    module = Module([main, *parts])
    verify(module)
    return module


def test_an_unused_if_goes_with_its_graphs() -> None:
    module = module_of_two(first_has_state=False)
    assert EliminateDeadCode().run(module, PassContext()).changed
    verify(module)
    assert [graph.name for graph in module.graphs] == ["main", "c", "d"]
    assert [op.opcode for op in module.main.ops] == ["if"]
    assert not EliminateDeadCode().run(module, PassContext()).changed


def test_an_if_whose_branch_assigns_a_variable_stays() -> None:
    module = module_of_two(first_has_state=True)
    EliminateDeadCode().run(module, PassContext())
    verify(module)
    assert [graph.name for graph in module.graphs] == ["main", "a", "b", "c", "d"]
    assert [op.opcode for op in module.main.ops] == ["if", "if"]


def test_what_a_dropped_graph_called_goes_too() -> None:
    module = module_of_two(first_has_state=False)
    inner = Graph("outer_branch")
    builder = build(inner)
    x = inner.add_input("x", FLOATS)
    condition = builder.constant(np.array(True))
    inner.outputs = [conditional(builder, condition, x, 1)]
    module.graphs.append(inner)
    for op in list(module.main.ops):
        if op.opcode == "if":
            op.attributes |= {"then_subgraph_index": 5, "else_subgraph_index": 5}
    verify(module)
    module.main.outputs = [module.main.inputs[0]]
    EliminateDeadCode().run(module, PassContext())
    verify(module)
    assert [graph.name for graph in module.graphs] == ["main", "c", "d"]  # those were never called to begin with
