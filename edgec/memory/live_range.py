"""How long each tensor of a graph occupies the arena."""

from collections.abc import Iterator, Sequence

from edgec.errors import AllocationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.memory.allocate import plan_memory
from edgec.memory.plan import LiveRange

HANDLE_BYTES = 4
"""What TFLM reserves for an element of a resource tensor (TfLiteTypeSizeOf)."""


def planned_values(graph: Graph) -> tuple[Value, ...]:
    """The tensors that live in the arena: inputs and op results, but no constants, variables or intermediates.

    Nor results of var_handle: TFLM's kernel points them at persistent memory before it plans the arena.
    They stand in the order of the source file's tensors, then in the order of their ops. TFLM's own planner breaks
    ties by tensor index, so `greedy_by_size` reproduces it for a file that keeps this order.
    """
    in_use = dict.fromkeys(_arena_values(graph))
    declared = [value for value in dict.fromkeys(graph.declared) if value in in_use]
    return tuple(dict.fromkeys([*declared, *in_use]))


def arena_bytes(value: Value) -> int:
    """Bytes the tensor takes in TFLM's arena before rounding up: sub-byte elements stand unpacked, one a byte."""
    if value.dtype is DType.RESOURCE:
        return HANDLE_BYTES * value.type.elements
    return value.type.elements * -(-value.dtype.bits // 8)


def live_ranges(
    graph: Graph, order: Sequence[int] | None = None, module: Module | None = None
) -> tuple[LiveRange, ...]:
    """Live ranges of `planned_values(graph)`, in that order, then one for each op that runs other graphs.

    Step k is the k-th op in execution order: `order` lists positions in `graph.ops`, by default as they stand. As in
    TFLM, a graph input lives from step 0 to its last use, a result from its op to its last use (an unused one during
    its op), a graph output to the last step. Nothing shares bytes within one op: in-place results are not assumed.

    An op that runs other graphs of `module` (if, while, call, call_once) holds, during its own step, as much again as
    the largest plan among them: their tensors nest inside its step. TFLM interleaves them with the caller's tensors,
    which can only be smaller. Without `module` such ops are counted without what they run.

    Kernel scratch is not here: only the kernels know it, and it is measured by executing the artifact.

    Raises:
        AllocationError: a graph runs itself.
    """
    ops = list(graph.ops)
    ordered = ops if order is None else [ops[position] for position in order]
    step = {op: k for k, op in enumerate(ordered)}
    final = max(len(ordered) - 1, 0)
    ranges = [_range_of(value, step, final) for value in planned_values(graph)]
    if module is not None:
        ranges.extend(_callee_ranges(ordered, module, {}, (graph,)))
    return tuple(ranges)


def callees(op: Op) -> tuple[int, ...]:
    """Indices of the module's graphs that the op runs, from its attributes."""
    single = [value for name, value in op.attributes.items() if name == "subgraph" or name.endswith("subgraph_index")]
    return tuple(index for index in (*single, *op.attributes.get("branch_subgraph_indices", ())) if index >= 0)


def callee_bytes(op: Op, module: Module) -> int:
    """Bytes of the largest plan among the graphs that the op runs, 0 where it runs none."""
    return _callee_bytes(op, module, {}, () if op.graph is None else (op.graph,))


def _arena_values(graph: Graph) -> Iterator[Value]:
    produced = (result for op in graph.ops if op.opcode != "var_handle" for result in op.results)
    for source in (graph.inputs, produced):
        yield from (value for value in source if not value.is_constant and not value.is_variable)


def _range_of(value: Value, step: dict[Op, int], final: int) -> LiveRange:
    first = 0 if value.producer is None else step[value.producer]
    last = final if value.is_output else max([first, *(step[user] for user in value.users)])
    return LiveRange(value.name, arena_bytes(value), first, last)


def _callee_ranges(
    ops: Sequence[Op], module: Module, known: dict[int, int], path: tuple[Graph, ...]
) -> Iterator[LiveRange]:
    for step, op in enumerate(ops):
        size = _callee_bytes(op, module, known, path)
        if size:
            yield LiveRange(f"graphs run by {op.describe()}", size, step, step)


def _callee_bytes(op: Op, module: Module, known: dict[int, int], path: tuple[Graph, ...]) -> int:
    """Peak bytes of the largest graph that the op runs; `known` caches peaks by graph index, `path` finds recursion."""
    for index in callees(op):
        if index in known:
            continue
        callee = module.graphs[index]
        if callee in path:
            raise AllocationError(
                f"live ranges: {op.describe()} in graph '{path[-1].name}' runs graph '{callee.name}' again, so the "
                "memory it needs has no bound; remove the recursion"
            )
        inner = _callee_ranges(list(callee.ops), module, known, (*path, callee))
        known[index] = plan_memory([*live_ranges(callee), *inner]).peak_bytes
    return max((known[index] for index in callees(op)), default=0)
