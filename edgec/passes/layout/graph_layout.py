"""The layout of one graph: its parts, the search over them, and the graph written anew."""

from __future__ import annotations

from edgec.ir.graph import Graph, Op, Value
from edgec.ops.infer import constant_ints
from edgec.passes.layout import weighted
from edgec.passes.layout.assignment import Assignment
from edgec.passes.layout.elementwise import CONVERSIONS
from edgec.passes.layout.emitter import Emitter
from edgec.passes.layout.part import BoundaryPart, FixedPart, Part, Slot, SpacePart, TransposePart, UniformPart
from edgec.passes.layout.rule import LayoutRule
from edgec.passes.layout.rules import RESHAPES, rule_and_parts
from edgec.passes.layout.storage_order import StorageOrder, as_written, channels_last, inverse, of_permutation

Layouts = dict[str, tuple[int, ...]]  # permutation by name of an input or output that changed its axes
BOUNDARY_RANKS = (3, 4, 5)
STOPS = (*RESHAPES, *(opcode for rule in weighted.RULES for opcode in rule.opcodes))
MAX_WALK = 1000  # ops looked at from an input or output


class GraphLayout:
    """Parts of every op, input and output; `choose` searches, `write` changes the graph."""

    def __init__(self, graph: Graph, *, free_boundary: bool) -> None:
        self.graph = graph
        self.free_boundary = free_boundary
        self.improved = False
        self.rules: dict[Op, LayoutRule | None] = {}
        self.parts: dict[Op, list[Part]] = {}
        for op in graph.ops:
            self.rules[op], self.parts[op] = rule_and_parts(op)
        self.inputs = {value: self._boundary(value, None) for value in graph.inputs}
        self.outputs = {value: self._boundary(value, -1) for value in dict.fromkeys(graph.outputs)}
        own = [part for parts in self.parts.values() for part in parts]
        self.assignment = Assignment([*self.inputs.values(), *self._variables(), *own, *self.outputs.values()])

    def _boundary(self, value: Value, operand: int | None) -> Part:
        slot = Slot(value, operand)
        movable = value.type.rank in BOUNDARY_RANKS and not value.type.is_dynamic and not _has_axis_scales(value)
        movable = movable and not (value in self.graph.inputs and value.is_output)
        if self.free_boundary and movable and self._stands_before_transpose(value, forward=operand is None):
            return BoundaryPart(None, [slot])
        return FixedPart(None, [slot])

    def _stands_before_transpose(self, value: Value, *, forward: bool) -> bool:
        """True where ops that keep the axes lie between an input and a transpose to channels last.

        For an output, between it and a transpose from channels last. Others (tokens, features) have no reason to
        change; to tell them from signals, which have rank 3 too, only conversions may lie between there.
        """
        rank = value.type.rank
        wanted = list(channels_last(rank)) if forward else inverse(channels_last(rank))
        seen, pending = {value}, [value]
        while pending and len(seen) < MAX_WALK:
            here = pending.pop()
            for op in here.users if forward else filter(None, [here.producer]):
                if op.opcode == "transpose":
                    if constant_ints(op.operand(1)) == wanted:
                        return True
                    continue
                if not isinstance(self.parts[op][0], UniformPart | SpacePart) or op.opcode in STOPS:
                    continue
                if rank == 3 and forward and op.opcode not in CONVERSIONS:
                    continue
                around = op.results if forward else [v for v in op.operands if v is not None and not v.is_constant]
                new = [v for v in around if v.type.rank == rank and v not in seen]
                seen.update(new)
                pending.extend(new)
        return False

    def _variables(self) -> list[Part]:
        """Parts that stand for values without producer which are no inputs."""
        given = {*self.graph.inputs}
        used = (v for op in self.graph.ops for v in op.operands if v is not None)
        loose = [v for v in dict.fromkeys([*used, *self.graph.outputs])
                 if v.producer is None and not v.is_constant and v not in given]  # fmt: skip
        return [FixedPart(None, [Slot(v)]) for v in loose]

    def improve(self) -> bool:
        """Search; returns whether a cheaper layout than the present one was found."""
        self.improved = self.assignment.improve()
        return self.improved

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, inputs: Layouts, outputs: Layouts) -> int:
        """Write the graph in the chosen orders; returns the number of changes, 0 where it stays as it is.

        `inputs` and `outputs` receive the permutation of those whose axes change.
        """
        emitter = Emitter(self.graph)
        self._write_inputs(emitter, inputs)
        retired = []
        for op in list(self.graph.ops):
            emitter.at(op)
            rule = self.rules[op]
            if rule is not None and not self._stays(op, rule, emitter):
                rule.write(op, self.parts[op], emitter)
                retired.append(op)
            else:
                _keep(op, emitter)
        self._write_outputs(emitter, outputs)
        for op in reversed(retired):
            self.graph.erase(op)
        if emitter.changes:
            live = set(self.graph.values())
            self.graph.declared = tuple(v for v in self.graph.declared if v in live)
        return emitter.changes

    def _stays(self, op: Op, rule: LayoutRule, emitter: Emitter) -> bool:
        part = self.parts[op][0]
        if isinstance(part, TransposePart):
            return _transpose_stays(op, part, emitter)
        if not all(p.is_as_written for p in self.parts[op]):
            return False
        if op.opcode in RESHAPES and self.improved:
            return False  # shapes are asked for anew
        if not rule.follows_shape:
            return True
        return all(v is None or v.is_constant or emitter.held_shape(v, _plain(v)) == v.shape for v in op.operands)

    def _write_inputs(self, emitter: Emitter, layouts: Layouts) -> None:
        tensors = []
        for value in self.graph.inputs:
            part = self.inputs[value]
            order = part.mode.orders[0]
            tensor = value
            if isinstance(part, BoundaryPart) and (order != _plain(value) or _is_same_order(value, part)):
                layouts[value.name] = part.permutation
                shape = tuple(value.shape[axis] for axis in part.permutation)
                tensor = Value(value.name, value.type.with_shape(shape), extra=value.extra)
                emitter.changes += 1
            emitter.hold(value, order, tensor)
            tensors.append(tensor)
        for part in self.assignment.parts:
            if isinstance(part, FixedPart) and part.op is None and part.slots[0].operand is None:
                emitter.hold(part.slots[0].value, part.slots[0].plain, part.slots[0].value)
        self.graph.inputs = tensors

    def _write_outputs(self, emitter: Emitter, layouts: Layouts) -> None:
        emitter.at(None)
        tensors: dict[Value, Value] = {}
        for value, part in self.outputs.items():
            order = part.mode.orders[0]
            shape = value.shape
            if isinstance(part, BoundaryPart) and order != _plain(value):
                layouts[value.name] = part.permutation
                shape = tuple(shape[axis] for axis in part.permutation)
            tensor = emitter.fetch(value, order, shape)
            if tensor is not value:
                taken = tensor.producer is None or tensor in self.outputs or tensor in tensors.values()
                if taken:
                    ints = emitter.builder.ints(shape)
                    tensor = emitter.emit("reshape", [tensor, ints], tensor.quant, new_shape=shape)
                tensor.name = value.name
            tensors[value] = tensor
        self.graph.outputs = [tensors[value] for value in self.graph.outputs]


def _plain(value: Value) -> StorageOrder:
    return as_written(value.type.elements)


def _has_axis_scales(value: Value) -> bool:
    return value.quant is not None and len(value.quant.scale) > 1


def _transpose_stays(op: Op, part: TransposePart, emitter: Emitter) -> bool:
    """A transpose stays where its data has to move just as it says."""
    x, (order, image) = op.operand(0), part.mode.orders
    if x.is_constant or image != _plain(op.result) or emitter.held_shape(x, _plain(x)) != x.shape:
        return False
    return order not in emitter.stored[x] and emitter.gathers(x, order, op.result.shape) is None


def _is_same_order(value: Value, part: BoundaryPart) -> bool:
    """True where channels last holds the data in the same order (one channel): only the shape is another."""
    return of_permutation(value.shape, part.permutation) == _plain(value) and bool(value.users)


def _keep(op: Op, emitter: Emitter) -> None:
    """Leave an op in place, on its operands as written."""
    for i, value in enumerate(op.operands):
        if value is None or value.is_constant:
            continue
        tensor = emitter.fetch(value, _plain(value), value.shape)
        if tensor is not value:
            op.set_operand(i, tensor)
            emitter.changes += 1
    for result in op.results:
        emitter.hold(result, _plain(result), result)
