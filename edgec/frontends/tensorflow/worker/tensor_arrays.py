"""Turns the tensor arrays of TF1 loops into tensor lists, which TFLite's converter can lower; a part of `worker`.

A TF1 recurrent layer keeps its time steps in a TensorArray: a resource, and a scalar, the flow, that orders what is
done with it. In a graph without side effects the flow can carry the contents themselves:

    TensorArrayV3(size)                       →  TensorListReserve(element shape, size), in the place of the flow
    TensorArrayScatterV3(_, range, x, flow)   →  TensorListFromTensor(x)
    TensorArrayReadV3(_, i, flow)             →  TensorListGetItem(flow, i)
    TensorArrayWriteV3(_, i, x, flow)         →  TensorListSetItem(flow, i, x)
    TensorArrayGatherV3(_, range, flow)       →  TensorListStack(flow)
    TensorArraySizeV3(_, flow)                →  TensorListLength(flow)

The edges of the loop that carry a flow then carry a list. The resource and its Enter are left without readers.
"""

from __future__ import annotations

import importlib
from typing import Any

CARRIERS = {"Enter", "RefEnter", "Merge", "Switch", "NextIteration", "Exit", "Identity"}
# Of each op on an array: which input is its flow. TensorArrayV3's is its second output.
FLOW_INPUT = {
    "TensorArrayScatterV3": 3, "TensorArrayReadV3": 2, "TensorArrayWriteV3": 3, "TensorArrayGatherV3": 2,
    "TensorArraySizeV3": 1,
}  # fmt: skip
# What becomes of each op: the list's, and its inputs as places among the old ones, None for the entries' shape.
REPLACEMENTS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "TensorArrayV3": ("TensorListReserve", (None, 0)),
    "TensorArrayScatterV3": ("TensorListFromTensor", (2, None)),
    "TensorArrayReadV3": ("TensorListGetItem", (2, 1, None)),
    "TensorArrayWriteV3": ("TensorListSetItem", (3, 1, 2)),
    "TensorArrayGatherV3": ("TensorListStack", (2, None)),
    "TensorArraySizeV3": ("TensorListLength", (1,)),
}


class Unfit(Exception):
    """Why the arrays of a graph cannot be lists; the rest of a sentence."""


def has_arrays(graph_def: Any) -> bool:
    """True where the graph keeps tensor arrays."""
    return any(node.op == "TensorArrayV3" for node in graph_def.node)


def without_arrays(graph_def: Any, shapes: dict[str, list[int] | None]) -> Any:
    """The graph with lists for arrays; `shapes` holds what is known of the tensors' shapes, by `name:port`.

    Raises:
        Unfit: an array has entries of unknown or of several shapes, or is used in another way.
    """
    result = type(graph_def)()
    result.CopyFrom(graph_def)
    _Lists(result, shapes).run()
    return result


class _Lists:
    def __init__(self, graph_def: Any, shapes: dict[str, list[int] | None]) -> None:
        self.tf = importlib.import_module("tensorflow")
        self.graph, self.shapes = graph_def, shapes
        self.nodes = {node.name: node for node in graph_def.node}
        arrays = [n for n in graph_def.node if n.op == "TensorArrayV3"]
        self.dtypes = {node.name: node.attr["dtype"].type for node in arrays}
        self.flows = self._followed({f"{name}:1": name for name in self.dtypes})
        self.element = {name: self._element_shape(name) for name in self.dtypes}

    def run(self) -> None:
        self._drop_resources()
        for node in list(self.nodes.values()):
            if node.op == "TensorArrayV3" or node.op in FLOW_INPUT:
                self._rewrite(node)
            elif node.op in CARRIERS and any(_port(name) in self.flows for name in node.input):
                node.attr["T"].type = self.tf.variant.as_datatype_enum
        for node in self.nodes.values():
            for i, name in enumerate(node.input):
                array = self.flows.get(name)
                if array is not None and name == f"{array}:1":
                    node.input[i] = array  # the list is the only output of what was the array

    def _followed(self, carried: dict[str, str]) -> dict[str, str]:
        """What carries the same, from tensor to array, to a fixed point: loops carry it around."""
        changed = True
        while changed:
            changed = False
            for node in self.nodes.values():
                source = next((name for name in _passed_on(node) if name in carried), None)
                ports = (0, 1) if node.op == "Switch" else (0,)
                for tensor in (f"{node.name}:{port}" for port in ports):
                    if source is not None and tensor not in carried:
                        carried[tensor], changed = carried[source], True
        return carried

    def _drop_resources(self) -> None:
        """Remove what carries the resources of the arrays into loops."""
        carried = self._followed({f"{name}:0": name for name in self.dtypes})
        for name in {tensor.split(":")[0] for tensor in carried} - set(self.dtypes):
            if self.nodes[name].op in CARRIERS:
                self.graph.node.remove(self.nodes.pop(name))

    def _element_shape(self, array: str) -> list[int]:
        """The shape of an array's entries, from what is put into it and what comes out."""
        found = []
        for node in self.nodes.values():
            if node.op not in FLOW_INPUT or self._array_of(node) != array:
                continue
            if node.op == "TensorArrayWriteV3":
                found.append(self.shapes.get(_port(node.input[2])))
            elif node.op != "TensorArraySizeV3":
                stacked = node.input[2] if node.op == "TensorArrayScatterV3" else node.name
                shape = self.shapes.get(_port(stacked))
                found.append(shape[1:] if shape is not None and node.op != "TensorArrayReadV3" else shape)
        declared = self.nodes[array].attr["element_shape"].shape
        if not declared.unknown_rank:
            found.append([dim.size for dim in declared.dim])
        known = [shape for shape in found if shape is not None and -1 not in shape]
        if not known or any(shape != known[0] for shape in known):
            raise Unfit(f"the entries of its tensor array '{array}' have no known shape")
        return known[0]

    def _array_of(self, node: Any) -> str:
        array = self.flows.get(_port(node.input[FLOW_INPUT[node.op]]))
        if array is None:
            raise Unfit(f"it uses a tensor array in '{node.name}' in a way that is not known")
        return array

    def _rewrite(self, node: Any) -> None:
        array = node.name if node.op == "TensorArrayV3" else self._array_of(node)
        inputs = list(node.input)
        if node.op in ("TensorArrayScatterV3", "TensorArrayGatherV3") and not self._is_whole_range(inputs[1]):
            raise Unfit(f"'{node.name}' takes only some entries of its tensor array")
        beside = inputs[{"TensorArrayV3": 0, "TensorArrayReadV3": 1, "TensorArraySizeV3": 1}.get(node.op, 2)]
        shape = self._constant(f"{node.name}/element_shape", self.element[array], beside)
        op, places = REPLACEMENTS[node.op]
        del node.input[:]
        node.input.extend([shape if place is None else inputs[place] for place in places])
        node.input.extend(name for name in inputs if name.startswith("^"))
        for name in list(node.attr):
            del node.attr[name]
        node.op = op
        if op != "TensorListLength":
            node.attr["element_dtype"].type = self.dtypes[array]
        if op in ("TensorListReserve", "TensorListFromTensor"):
            node.attr["shape_type"].type = self.tf.int32.as_datatype_enum
        if op == "TensorListStack":
            node.attr["num_elements"].i = -1

    def _is_whole_range(self, indices: str) -> bool:
        """True for 0, 1, … as TF1 writes it; that it goes to the end is how scatter and gather are used."""
        node = self.nodes[indices.split(":")[0]]
        if node.op == "Const":
            values = self.tf.make_ndarray(node.attr["value"].tensor).ravel().tolist()
            return bool(values == list(range(len(values))))
        if node.op != "Range":
            return False
        start, step = (self.nodes[node.input[i].split(":")[0]] for i in (0, 2))
        if start.op != "Const" or step.op != "Const":
            return False
        return [int(self.tf.make_ndarray(n.attr["value"].tensor)) for n in (start, step)] == [0, 1]

    def _constant(self, name: str, sizes: list[int], beside: str) -> str:
        """A new constant in the loop of the tensor `beside`; a control edge is what puts it there."""
        node = self.graph.node.add(name=name, op="Const", input=[f"^{beside.split(':')[0]}"])
        node.attr["dtype"].type = self.tf.int32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(self.tf.make_tensor_proto(sizes, self.tf.int32, [len(sizes)]))
        return name


def _passed_on(node: Any) -> list[str]:
    """The inputs whose contents a node passes on, by `name:port`."""
    if node.op in ("TensorArrayScatterV3", "TensorArrayWriteV3"):
        return [_port(node.input[3])]
    return [_port(name) for name in node.input if not name.startswith("^")] if node.op in CARRIERS else []


def _port(name: str) -> str:
    return name if ":" in name else f"{name}:0"
