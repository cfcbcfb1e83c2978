"""The verifier: what must hold for every module, before and after every pass."""

from __future__ import annotations

from edgec.errors import VerificationError
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import OpRegistry

CUSTOM = "custom"  # a custom op: attributes custom_code, custom_options, custom_options_format
OPAQUE = "opaque"  # a builtin that edgec carries without knowing it: attributes builtin, options, options_2


def verify_module(module: Module, op_defs: OpRegistry) -> None:
    """Check every graph and signature of a module.

    Raises:
        VerificationError: an invariant is broken; the message names graph, op and value.
    """
    for graph in module.graphs:
        verify_graph(graph, op_defs)
    for signature in module.signatures:
        _verify_signature(module, signature.key, signature.graph_index, signature.inputs, signature.outputs)


def verify_graph(graph: Graph, op_defs: OpRegistry) -> None:
    """Check definition before use, the use lists, constants, signatures of ops and inferred types.

    Raises:
        VerificationError: an invariant is broken.
    """
    defined: set[Value] = set(graph.inputs)
    if len(defined) != len(graph.inputs):
        raise VerificationError(f"graph '{graph.name}': a value stands twice among the inputs")
    for op in graph.ops:
        _verify_operands(graph, op, defined)
        _verify_op(graph, op, op_defs)
        defined.update(op.results)
    for value in graph.outputs:
        if value not in defined and not value.is_constant and not value.is_variable:
            raise VerificationError(f"graph '{graph.name}': output '{value.name}' is never defined")


def _verify_operands(graph: Graph, op: Op, defined: set[Value]) -> None:
    for index, value in enumerate(op.operands):
        if value is None:
            continue
        where = f"graph '{graph.name}': {op.describe()}: operand {index} '{value.name}'"
        if (op, index) not in value._uses:
            raise VerificationError(f"{where} does not list this use")
        if value.is_constant:
            _verify_constant(where, value)
        elif value not in defined and not value.is_variable:
            raise VerificationError(f"{where} is used before it is defined")
    for value in op.results:
        if value.producer is not op:
            raise VerificationError(
                f"graph '{graph.name}': {op.describe()}: result '{value.name}' has another producer"
            )
        if value.is_constant:
            raise VerificationError(f"graph '{graph.name}': {op.describe()}: result '{value.name}' holds constant data")


def _verify_constant(where: str, value: Value) -> None:
    data = value.array()
    if value.sparsity is not None or value.dtype.is_opaque:
        return
    if tuple(data.shape) != value.shape or data.dtype != value.dtype.numpy:
        found = f"{data.dtype}{list(data.shape)}"
        raise VerificationError(f"{where}: constant data is {found}, its type is {value.type}")


def _verify_op(graph: Graph, op: Op, op_defs: OpRegistry) -> None:
    if op.opcode in (CUSTOM, OPAQUE):
        return
    definition = op_defs.get(op.opcode)
    if definition is None:
        raise VerificationError(f"graph '{graph.name}': {op.describe()}: there is no op '{op.opcode}'")
    try:
        definition.check_signature(op)
        inferred = definition.infer(op)
    except ValueError as error:
        raise VerificationError(f"graph '{graph.name}': {op.describe()}: {error}") from error
    if len(inferred) != len(op.results):
        raise VerificationError(
            f"graph '{graph.name}': {op.describe()}: has {len(op.results)} results, inference gives {len(inferred)}"
        )
    for wanted, result in zip(inferred, op.results):
        same_shape = result.shape == wanted.shape or result.type.is_dynamic or wanted.is_dynamic
        if not same_shape or result.dtype is not wanted.dtype:
            raise VerificationError(
                f"graph '{graph.name}': {op.describe()}: result '{result.name}' is {result.type}, "
                f"inference gives {wanted}"
            )


def _verify_signature(
    module: Module, key: str, index: int, inputs: tuple[tuple[str, int], ...], outputs: tuple[tuple[str, int], ...]
) -> None:
    if not 0 <= index < len(module.graphs):
        raise VerificationError(f"signature '{key}' names graph {index}, there are {len(module.graphs)}")
    graph = module.graphs[index]
    for what, entries, size in (("input", inputs, len(graph.inputs)), ("output", outputs, len(graph.outputs))):
        for name, position in entries:
            if not 0 <= position < size:
                raise VerificationError(
                    f"signature '{key}': {what} '{name}' is number {position}, graph '{graph.name}' has {size}"
                )
