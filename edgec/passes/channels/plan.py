"""Which orders of channels and which values put together anew cost least, and the graph written so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from edgec.ir.graph import Graph, Op, Value
from edgec.ops import build
from edgec.passes.channels.assembly import Assembler, Assembly, routing_cost
from edgec.passes.channels.order_classes import OrderClass, OrderClasses
from edgec.passes.channels.routing import Routing

SWEEPS = 3
MAX_WORK = 10_000_000  # channels looked at while orders are chosen
GAIN = 0.95  # a rewrite must come to less than this share of the present cost


class Plan:
    """The ends of all routes, the orders of their values and sources, and which networks of routes are worth it."""

    def __init__(self, graph: Graph, routing: Routing) -> None:
        self.graph = graph
        self.routing = routing
        self.classes = OrderClasses(graph, set(routing.ops))
        self.ends = routing.ends()
        self.routes = {end: routing.route(end).channels for end in self.ends}
        self.widths = [source.shape[-1] for source in routing.sources]
        self.chosen: list[Value] = []
        self._offsets = np.concatenate([[0], np.cumsum(self.widths)]).astype(np.int64)  # of each source in `_place`
        self._place = np.concatenate([np.arange(0), *map(np.arange, self.widths)])  # of each channel of each source
        self._work = 0
        self._routing_ops = set(routing.ops)
        self._ends_around: defaultdict[OrderClass, dict[Value, None]] = defaultdict(dict)
        for end in self.ends:
            if end.shape[-1] != routing.route(end).width:
                self.classes.of(end).divide(end.shape[-1])
            for order_class in self._classes_around(end):
                self._ends_around[order_class][end] = None
        self._around: dict[OrderClass, tuple[list[Value], list[int]]] = {}  # ends and sources of each class
        for number, source in enumerate(routing.sources):
            self._around.setdefault(self.classes.of(source), ([], []))[1].append(number)
        for end in self.ends:
            self._around.setdefault(self.classes.of(end), ([], []))[0].append(end)

    def improve(self) -> bool:
        """Choose orders, then networks; False where none is worth rewriting."""
        self._choose_orders()
        self.chosen = [end for network in self._networks() for end in self._settled(network)]
        return bool(self.chosen)

    def _classes_around(self, end: Value) -> list[OrderClass]:
        return [self.classes.of(end), *(self.classes.of(self.routing.sources[n]) for n in self._sources_of(end))]

    # -- orders ------------------------------------------------------------------------------------------------------

    def _choose_orders(self) -> None:
        around = self._around
        for order_class, (ends, sources) in around.items():
            if not order_class.is_fixed and not ends:
                self._set_order(order_class, sources, order_class.sorted_by(self._readers(sources)))
        for _ in range(SWEEPS):
            changed = False
            for order_class, (ends, sources) in around.items():
                if not order_class.is_fixed and self._work < MAX_WORK:
                    changed |= self._reorder(order_class, ends, sources)
            if not changed:
                return

    def _reorder(self, order_class: OrderClass, ends: Iterable[Value], sources: list[int]) -> bool:
        """Take the cheapest of the orders that suit an end, the readers, or nobody; False where that is the present."""
        candidates = [np.arange(order_class.width)]
        if sources:
            candidates.append(order_class.sorted_by(self._readers(sources)))
        for end in ends:
            if self.routes[end].shape[0] == order_class.width:
                candidates.append(order_class.sorted_by(self._places(end, as_written=True)))
        touched = list(self._ends_around[order_class])
        best, present = order_class.order, self._cost(touched)
        lowest = present
        for candidate in candidates:
            self._set_order(order_class, sources, candidate)
            cost = self._cost(touched)
            if cost < lowest:
                best, lowest = candidate, cost
        self._set_order(order_class, sources, best)
        return lowest < present

    def _readers(self, sources: list[int]) -> np.ndarray:
        """For each channel of the sources, and each end, the block of the end that reads it (else a large one)."""
        columns = []
        near = {end: None for n in sources for end in self._ends_around[self.classes.of(self.routing.sources[n])]}
        for end in near:
            route = self.routes[end]
            blocks = self.classes.of(end).blocks if len(route) == end.shape[-1] else np.zeros(len(route), np.int64)
            for number in sources:
                read = route[:, 0] == number
                if not read.any():
                    continue
                column = np.full(self.widths[number], np.iinfo(np.int64).max)
                column[route[read, 1]] = blocks[read]
                columns.append(column)
        return np.column_stack(columns) if columns else np.zeros((self.widths[sources[0]], 0), np.int64)

    def _places(self, end: Value, *, as_written: bool = False) -> np.ndarray:
        """(source, place) of an end's channels in the sources' present orders; `as_written`: in the end's own order."""
        route = self.routes[end]
        order_class = self.classes.of(end)
        if len(route) == order_class.width and not as_written:
            route = route[order_class.order]
        return np.column_stack([route[:, 0], self._place[self._offsets[route[:, 0]] + route[:, 1]]])

    def _set_order(self, order_class: OrderClass, sources: Iterable[int], order: np.ndarray) -> None:
        """Give a class an order, and its sources' channels their places in it."""
        order_class.order = order
        places = np.argsort(order)
        for number in sources:
            start = self._offsets[number]
            self._place[start : start + len(places)] = places

    # -- costs -------------------------------------------------------------------------------------------------------

    def _assembly(self, end: Value) -> Assembly:
        places = self._places(end)
        self._work += len(places)
        rows = end.type.elements // len(places)
        return Assembly.of(places, self.widths, rows, end.dtype.numpy.itemsize)

    def _cost(self, ends: Iterable[Value]) -> int:
        total, cut = 0, set()
        for end in ends:
            assembly = self._assembly(end)
            if assembly.is_gathered:
                total += assembly.gathered_cost
                continue
            total += assembly.joined_cost
            new = [run for run in assembly.slices() if run not in cut]
            total += sum(assembly.slice_cost(run) for run in new)
            cut.update(new)
        return total

    # -- networks ----------------------------------------------------------------------------------------------------

    def _networks(self) -> list[list[Value]]:
        """Ends in groups that share sources, or classes whose order has changed."""
        parent: dict[object, object] = {}

        def root(item: object) -> object:
            while item in parent:
                item = parent[item]
            return item

        def join(a: object, b: object) -> None:
            if root(a) is not root(b):
                parent[root(a)] = root(b)

        for end in self.ends:
            for number in self._sources_of(end):
                join(end, self.routing.sources[number])
            for order_class in self._classes_around(end):
                if not order_class.is_as_written:
                    join(end, order_class)
        groups: dict[object, list[Value]] = {}
        for end in self.ends:
            groups.setdefault(root(end), []).append(end)
        return list(groups.values())

    def _sources_of(self, end: Value) -> list[int]:
        return list(dict.fromkeys(self.routes[end][:, 0].tolist()))

    def _settled(self, network: list[Value]) -> list[Value]:
        """The ends of a network if rewriting it pays; else nothing, and its orders are as written."""
        present = sum(routing_cost(op) for op in self._ops_of(network))
        if self._cost(network) < GAIN * present:
            return network
        for end in network:
            for order_class in self._classes_around(end):
                self._set_order(order_class, self._around[order_class][1], np.arange(order_class.width))
        return []

    def _ops_of(self, network: list[Value]) -> list[Op]:
        """The routing ops before a network's ends."""
        found: dict[Op, None] = {}
        pending = [end.producer for end in network]
        while pending:
            op = pending.pop()
            if op is None or op in found or op not in self._routing_ops:
                continue
            found[op] = None
            pending += [v.producer for v in op.operands if v is not None]
        return list(found)

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self) -> int:
        """Permute constants for the new orders, put the chosen ends together anew; returns how many these are."""
        assemblies = {end: self._assembly(end) for end in self.chosen}
        for op, found in self.classes.contracts.items():
            values = {v for v in (*op.operands, *op.results) if v is not None and not v.is_constant and v.type.rank}
            classes = {value: self.classes.of(value) for value in values}
            orders = {value: c.order for value, c in classes.items() if not c.is_as_written}
            if orders:
                found.follow(op, orders, build(self.graph, before=op, source=op.source))
        assembler = Assembler(self.graph, self.routing.sources)
        for end, assembly in assemblies.items():
            assert end.producer is not None
            self._replace(end, assembler.emit(assembly, end, end.producer))
        for op in reversed(self.routing.ops):
            if not any(result.use_count for result in op.results):
                self.graph.erase(op)
        return len(assemblies)

    def _replace(self, end: Value, new: Value) -> None:
        """Let users read the new value, and an output keep its name."""
        if end.is_output and (new.producer is None or new.is_output or new in self.routing.sources):
            ints = build(self.graph).ints(end.shape)
            builder = build(self.graph, before=end.producer)
            new = builder.emit("reshape", [new, ints], quant=new.quant, new_shape=end.shape)
        if new not in self.routing.sources and not new.is_output:
            new.name = end.name
        self.graph.replace_all_uses(end, new)
