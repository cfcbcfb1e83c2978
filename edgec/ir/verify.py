"""The verifier: what must hold for every module, before and after every pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from edgec.errors import VerificationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Signature, Value
from edgec.ir.op_def import OpRegistry
from edgec.schema.defaults import default_attributes
from edgec.schema.tables import ENUMS, TABLES

CUSTOM = "custom"  # a custom op: attributes custom_code, custom_options, custom_options_format
OPAQUE = "opaque"  # a builtin that edgec carries without knowing it: attributes builtin, options, options_2
_CARRIED = {
    CUSTOM: {"custom_code", "custom_options", "custom_options_format"},
    OPAQUE: {"builtin", "options", "options_2"},
}
# Attributes that name a graph of the module, by opcode.
CALLED_GRAPHS = {
    "while": ("cond_subgraph_index", "body_subgraph_index"),
    "if": ("then_subgraph_index", "else_subgraph_index"),
    "call": ("subgraph",),
    "call_once": ("init_subgraph_index",),
}


def verify_module(module: Module, op_defs: OpRegistry) -> None:
    """Check every graph and signature of a module, and that control flow calls graphs that exist and never itself.

    Raises:
        VerificationError: an invariant is broken; the message names graph, op and value.
    """
    if not module.graphs:
        raise VerificationError("the module holds no graph")
    for graph in module.graphs:
        verify_graph(graph, op_defs)
    _verify_calls(module)
    for signature in module.signatures:
        _verify_signature(module, signature)


def verify_graph(graph: Graph, op_defs: OpRegistry) -> None:
    """Check definition before use, the use lists, constants, attributes, signatures of ops and inferred types.

    Raises:
        VerificationError: an invariant is broken.
    """
    defined: set[Value] = set()
    for value in graph.inputs:
        where = f"graph '{graph.name}': input '{value.name}'"
        if value in defined:
            raise VerificationError(f"graph '{graph.name}': a value stands twice among the inputs")
        if value.producer is not None:
            raise VerificationError(f"{where} is the result of {value.producer.describe()}")
        if value.is_constant:
            raise VerificationError(f"{where} holds constant data")
        _verify_uses(where, value)
        defined.add(value)
    checked: set[Value] = set()
    for op in graph.ops:
        _verify_operands(graph, op, defined, checked)
        _verify_results(graph, op)
        _verify_op(graph, op, op_defs)
        defined.update(op.results)
    _verify_outputs(graph, defined, checked)


def _verify_operands(graph: Graph, op: Op, defined: set[Value], checked: set[Value]) -> None:
    """`checked` collects constants, whose data and uses are looked at once however often they are used."""
    for index, value in enumerate(op.operands):
        if value is None:
            continue
        if (op, index) not in value._uses:
            raise VerificationError(f"{_operand(graph, op, index)} does not list this use")
        if value in defined or value in checked:
            continue
        if not value.is_constant and not value.is_variable:
            raise VerificationError(f"{_operand(graph, op, index)} is used before it is defined")
        _verify_leaf(_operand(graph, op, index), value)
        checked.add(value)


def _operand(graph: Graph, op: Op, index: int) -> str:
    value = op.operands[index]
    return f"graph '{graph.name}': {op.describe()}: operand {index} '{value.name if value else ''}'"


def _verify_results(graph: Graph, op: Op) -> None:
    for value in op.results:
        if value.producer is not op:
            raise VerificationError(f"{_result(graph, op, value)} has another producer")
        if value.is_constant:
            raise VerificationError(f"{_result(graph, op, value)} holds constant data")
        _verify_uses(_result(graph, op, value), value)


def _result(graph: Graph, op: Op, value: Value) -> str:
    return f"graph '{graph.name}': {op.describe()}: result '{value.name}'"


def _verify_uses(where: str, value: Value) -> None:
    for user, index in value._uses:
        if user.graph is None or user.optional_operand(index) is not value:
            raise VerificationError(f"{where} lists a use by {user.describe()} that is not there")


def _verify_leaf(where: str, value: Value) -> None:
    if value.producer is not None:
        what = "a constant" if value.is_constant else "defined nowhere in this graph"
        raise VerificationError(f"{where} is {what}, but has a producer")
    _verify_uses(where, value)
    if value.is_constant:
        _verify_constant(where, value)


def _verify_constant(where: str, value: Value) -> None:
    data = value.array()
    if value.sparsity is not None or value.dtype.is_opaque:
        return
    if tuple(data.shape) != value.shape or data.dtype != value.dtype.numpy:
        found = f"{data.dtype}{list(data.shape)}"
        raise VerificationError(f"{where}: constant data is {found}, its type is {value.type}")
    if value.dtype in _SUB_BYTE and data.size:
        low, high = _SUB_BYTE[value.dtype]
        least, most = int(data.min()), int(data.max())
        if least < low or most > high:
            raise VerificationError(f"{where}: {value.dtype.value} data spans {least}..{most}, beyond {low}..{high}")


_SUB_BYTE = {DType.INT2: (-2, 1), DType.INT4: (-8, 7), DType.UINT4: (0, 15)}


def _verify_outputs(graph: Graph, defined: set[Value], checked: set[Value]) -> None:
    for value, count in Counter(graph.outputs).items():
        where = f"graph '{graph.name}': output '{value.name}'"
        if value not in defined and not value.is_constant and not value.is_variable:
            raise VerificationError(f"{where} is never defined")
        if value not in defined and value not in checked:
            _verify_leaf(where, value)
        if value._outputs < count:
            raise VerificationError(f"{where} does not know that it is one")


def _verify_op(graph: Graph, op: Op, op_defs: OpRegistry) -> None:
    where = f"graph '{graph.name}': {op.describe()}"
    if op.opcode in _CARRIED:
        _verify_carried(where, op)
        return
    definition = op_defs.get(op.opcode)
    if definition is None:
        raise VerificationError(f"{where}: there is no op '{op.opcode}'")
    _verify_attributes(where, op, definition.options)
    try:
        definition.check_signature(op)
        inferred = definition.infer(op)
    except ValueError as error:
        raise VerificationError(f"{where}: {error}") from error
    if len(inferred) != len(op.results):
        raise VerificationError(f"{where}: has {len(op.results)} results, inference gives {len(inferred)}")
    for wanted, result in zip(inferred, op.results):
        same_shape = result.shape == wanted.shape or result.type.is_dynamic or wanted.is_dynamic
        if not same_shape or result.dtype is not wanted.dtype:
            raise VerificationError(f"{where}: result '{result.name}' is {result.type}, inference gives {wanted}")


def _verify_carried(where: str, op: Op) -> None:
    wanted = _CARRIED[op.opcode]
    if op.attributes.keys() != wanted:
        raise VerificationError(f"{where}: a {op.opcode} op has the attributes {', '.join(sorted(wanted))}")
    builtin = op.attributes.get("builtin", 0)
    if isinstance(builtin, str) and builtin not in ENUMS["BuiltinOperator"]:
        raise VerificationError(f"{where}: TFLite has no builtin '{builtin}'")


def _verify_attributes(where: str, op: Op, options: str | None) -> None:
    known = _attribute_names(options)
    if op.attributes.keys() != known:
        odd = min(op.attributes.keys() ^ known)
        what = f"attribute '{odd}' is missing" if odd in known else f"there is no attribute '{odd}'"
        raise VerificationError(f"{where}: {what}")
    for name, fits in _attribute_checks(options):
        if not fits(op.attributes[name]):
            raise VerificationError(f"{where}: attribute '{name}' cannot be {op.attributes[name]!r}")


def _is_int(value: Any) -> bool:
    return type(value) is int or isinstance(value, (int, np.integer))


def _is_number(value: Any) -> bool:
    return type(value) is float or isinstance(value, (int, float, np.integer, np.floating))


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_))


def _is_numbers(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_number(v) for v in value)


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


@cache
def _attribute_names(options: str | None) -> frozenset[str]:
    return frozenset(default_attributes(options))


@cache
def _attribute_checks(options: str | None) -> tuple[tuple[str, Callable[[Any], bool]], ...]:
    """What a value of each attribute of an options table must satisfy."""
    return tuple((field.name, _check_of(field.kind, field.enum)) for field in (TABLES[options] if options else ()))


def _check_of(kind: str, enum: str | None) -> Callable[[Any], bool]:
    if enum is not None:
        return lambda value: (isinstance(value, str) and value in ENUMS[enum]) or _is_int(value)
    if kind.startswith("vector:"):
        return _is_numbers
    by_kind = {"bool": _is_flag, "float32": _is_number, "float64": _is_number, "string": _is_text}
    return by_kind.get(kind, _is_int)


def _verify_calls(module: Module) -> None:
    """Called graphs exist, take what is passed and give what is expected, and no graph calls itself."""
    calls: list[set[int]] = []
    for graph in module.graphs:
        called: set[int] = set()
        for op in graph.ops:
            for name in CALLED_GRAPHS.get(op.opcode, ()):
                index = int(op.attributes[name])
                where = f"graph '{graph.name}': {op.describe()}: {name}"
                if not 0 <= index < len(module.graphs):
                    raise VerificationError(f"{where} is {index}, the module holds {len(module.graphs)} graphs")
                _verify_call(where, op, name, module.graphs[index])
                called.add(index)
        calls.append(called)
    _refuse_recursion(module, calls)


def _verify_call(where: str, op: Op, name: str, callee: Graph) -> None:
    passed = {"if": len(op.operands) - 1, "call_once": 0}.get(op.opcode, len(op.operands))
    expected = 1 if name == "cond_subgraph_index" else len(op.results)
    found = (len(callee.inputs), len(callee.outputs))
    if found != (passed, expected):
        raise VerificationError(
            f"{where} names graph '{callee.name}' of {found[0]} inputs and {found[1]} outputs, "
            f"needed are {passed} and {expected}"
        )


def _refuse_recursion(module: Module, calls: Sequence[set[int]]) -> None:
    """Strip graphs that call nothing left, round after round; what stays calls itself."""
    left = {index for index, called in enumerate(calls) if called}
    while left:
        ended = {index for index in left if not calls[index] & left}
        if not ended:
            raise VerificationError(f"graph '{module.graphs[min(left)].name}' calls itself, directly or by another")
        left -= ended


def _verify_signature(module: Module, signature: Signature) -> None:
    key, index = signature.key, signature.graph_index
    if not 0 <= index < len(module.graphs):
        raise VerificationError(f"signature '{key}' names graph {index}, there are {len(module.graphs)}")
    graph = module.graphs[index]
    sides = (("input", signature.inputs, len(graph.inputs)), ("output", signature.outputs, len(graph.outputs)))
    for what, entries, size in sides:
        for name, position in entries:
            if not 0 <= position < size:
                raise VerificationError(
                    f"signature '{key}': {what} '{name}' is number {position}, graph '{graph.name}' has {size}"
                )
