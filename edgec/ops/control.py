"""Control flow and resources; results of the former come from graphs that the op cannot see."""

from __future__ import annotations

from dataclasses import replace

from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Op, Value
from edgec.ir.op_def import Infer, OpDef, Operand, Role
from edgec.ir.types import TensorType
from edgec.ir.verify import CALLED_GRAPHS
from edgec.ops.infer import own_types, plain

_VALUES = Operand("inputs", optional=True, variadic=True)
_RESOURCE = Operand("resource", Role.STATE)


def _infer_while(op: Op) -> list[TensorType]:
    types = own_types(op) if op.results else [plain(value) for value in _loop(op)]
    if len(types) != len(op.operands):
        raise ValueError(f"{len(op.operands)} loop variables go in, {len(types)} come out")
    for value, type_ in zip(_loop(op), types):
        if value.dtype is not type_.dtype:
            raise ValueError(f"loop variable '{value.name}' goes in as {value.dtype.value}, out as {type_.dtype.value}")
    return types


def _loop(op: Op) -> list[Value]:
    return [op.operand(i) for i in range(len(op.operands))]


def _infer_if(op: Op) -> list[TensorType]:
    condition = op.operand(0)
    if condition.dtype is not DType.BOOL or (condition.type.elements != 1 and not condition.type.is_dynamic):
        raise ValueError(f"the condition must be one bool, found {condition.type}")
    return _called_types(op)


def _called_types(op: Op) -> list[TensorType]:
    return own_types(op) if op.results else []


def _no_results(op: Op) -> list[TensorType]:
    return []


def _infer_assign(op: Op) -> list[TensorType]:
    _require_resource(op)
    op.operand(1)
    return []


def _require_resource(op: Op) -> None:
    if op.operand(0).dtype is not DType.RESOURCE:
        raise ValueError(f"'{op.operand(0).name}' must be a resource, found {op.operand(0).dtype.value}")


def _infer_read(op: Op) -> list[TensorType]:
    _require_resource(op)
    return own_types(op)


def _infer_handle(op: Op) -> list[TensorType]:
    """A handle; files differ in whether it is a scalar or has one element."""
    found = own_types(op)[0] if op.results else TensorType((), DType.RESOURCE)
    if found.dtype is not DType.RESOURCE or found.elements != 1:
        raise ValueError(f"gives one resource, found {found}")
    return [found]


def _infer_find(op: Op) -> list[TensorType]:
    _require_resource(op)
    keys, default = op.operand(1), op.operand(2)
    if op.results and keys.dtype is DType.STRING:  # converters leave the shape of what text leads to empty
        return [replace(own_types(op)[0], dtype=default.dtype)]
    return [TensorType(keys.shape, default.dtype, None, keys.type.signature)]


def _infer_import(op: Op) -> list[TensorType]:
    _require_resource(op)
    keys, values = op.operand(1), op.operand(2)
    if keys.shape != values.shape and not (keys.type.is_dynamic or values.type.is_dynamic):
        raise ValueError(f"{list(keys.shape)} keys for {list(values.shape)} values")
    return []


def _infer_size(op: Op) -> list[TensorType]:
    _require_resource(op)
    return [TensorType((1,), DType.INT64)]


def loop_trips(op: Op, module: Module) -> int | None:
    """How often a `while` runs its body where that is a constant, else None.

    Known is the form in which front ends write loops of a fixed number of steps: the condition is nothing but
    counter < constant, the counter starts at a constant and grows by a constant in the body.
    """
    condition = module.graphs[op.attributes["cond_subgraph_index"]]
    body = module.graphs[op.attributes["body_subgraph_index"]]
    test = condition.outputs[0].producer
    if test is None or test.opcode != "less" or test.operand(0) not in condition.inputs:
        return None
    position = condition.inputs.index(test.operand(0))
    start, limit = op.operand(position), test.operand(1)
    if start.data is None or limit.data is None or start.data.size != 1 or limit.data.size != 1:
        return None
    step = _growth(body, position)
    if step is None or step <= 0:
        return None
    distance = int(limit.data.reshape(-1)[0]) - int(start.data.reshape(-1)[0])
    return max(-(-distance // step), 0)


def _growth(body: Graph, position: int) -> int | None:
    """The constant that the body adds to a loop variable, None where it does something else with it."""
    step = body.outputs[position].producer
    if step is None or step.opcode != "add":
        return None
    operands = [step.operand(0), step.operand(1)]
    if body.inputs[position] not in operands:
        return None
    operands.remove(body.inputs[position])
    added = operands[0].data
    return int(added.reshape(-1)[0]) if added is not None and added.size == 1 and added.dtype.kind == "i" else None


def calls_of(op: Op, module: Module) -> list[tuple[int, int]]:
    """(graph index, times) of the graphs an op runs; once where the number is only known at run time."""
    trips = (loop_trips(op, module) if op.opcode == "while" else None) or 1
    times = {"cond_subgraph_index": trips + 1 if trips > 1 else 1, "body_subgraph_index": trips}
    return [(int(op.attributes[name]), times.get(name, 1)) for name in CALLED_GRAPHS.get(op.opcode, ())]


def _calls(opcode: str, options: str, operands: tuple[Operand, ...], infer: Infer) -> OpDef:
    return OpDef(opcode, opcode.upper(), options, operands, infer, results=None, has_side_effects=True)


OPS = (
    # The called graphs may assign variables, so none of these is dropped for unused results.
    _calls("while", "WhileOptions", (_VALUES,), _infer_while),
    _calls("if", "IfOptions", (Operand("condition", Role.PARAMETER), _VALUES), _infer_if),
    _calls("call", "CallOptions", (_VALUES,), _called_types),
    _calls("call_once", "CallOnceOptions", (), _no_results),
    OpDef("var_handle", "VAR_HANDLE", "VarHandleOptions", (), _infer_handle),
    OpDef("read_variable", "READ_VARIABLE", "ReadVariableOptions", (_RESOURCE,), _infer_read),
    OpDef("assign_variable", "ASSIGN_VARIABLE", "AssignVariableOptions", (_RESOURCE, Operand("value")), _infer_assign,
          results=0, has_side_effects=True),
    OpDef("hashtable", "HASHTABLE", "HashtableOptions", (), _infer_handle),
    OpDef("hashtable_find", "HASHTABLE_FIND", "HashtableFindOptions",
          (_RESOURCE, Operand("keys", Role.PARAMETER), Operand("default", Role.PARAMETER)), _infer_find),
    OpDef("hashtable_import", "HASHTABLE_IMPORT", "HashtableImportOptions",
          (_RESOURCE, Operand("keys", Role.PARAMETER), Operand("values", Role.PARAMETER)), _infer_import, results=0,
          has_side_effects=True),
    OpDef("hashtable_size", "HASHTABLE_SIZE", "HashtableSizeOptions", (_RESOURCE,), _infer_size),
)  # fmt: skip
