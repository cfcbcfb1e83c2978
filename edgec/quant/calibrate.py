"""Runs the float graph on real samples and keeps, tensor by tensor, the range of its values and their mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from edgec.backends.tflite import serialize
from edgec.errors import QuantizationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module, Value
from edgec.ops import OP_DEFS
from edgec.quant.observers import MinMaxObserver, Range, make_observer
from edgec.quant.options import RangeMethod
from edgec.runtime.litert import LiteRTSession

Feeds = Mapping[str, np.ndarray]
Progress = Callable[[int], None]
THREADS = 2


@dataclass(frozen=True)
class Ranges:
    """What calibration found: ranges by value, mean activations of some (in the value's shape), how many samples."""

    by_value: Mapping[Value, Range]
    means: Mapping[Value, np.ndarray]
    samples: int
    method: str


def calibrate(
    module: Module,
    feeds: Iterable[Feeds],
    method: RangeMethod = "minmax",
    percentile: float = 99.99,
    progress: Progress | None = None,
    *,
    values: Collection[Value] | None = None,
    means_of: Collection[Value] = (),
) -> Ranges:
    """Run the float graph in LiteRT and observe activations of the main graph, one sample at a time.

    `values` are the activations whose ranges are wanted (default: `values_to_observe`), `means_of` those whose mean
    over the samples is kept. Nothing else of a sample outlives its run. `progress` is called with the number of samples
    done.

    Raises:
        QuantizationError: there is no sample, or an activation is NaN or infinite.
        RuntimeFailure: LiteRT refuses the graph or a sample.
    """
    wanted = list(dict.fromkeys(values if values is not None else values_to_observe(module.main)))
    observers = {value: make_observer(method, percentile) for value in wanted}
    means = {value: _Mean() for value in means_of}
    samples = 0
    for arrays in activations(module, feeds, list(dict.fromkeys([*wanted, *means]))):
        samples += 1
        for value, array in arrays.items():
            if value in observers:
                observers[value].update(array)
            if value in means:
                means[value].update(array)
        if progress is not None:
            progress(samples)
    if not samples:
        raise QuantizationError(
            f"calibrating '{module.name}': the calibration set has no samples; give some with --calibration"
        )
    return Ranges(
        {value: _range(value, observer, samples) for value, observer in observers.items()},
        {value: mean.mean() for value, mean in means.items() if mean.usable},
        samples,
        method,
    )


def values_to_observe(graph: Graph) -> list[Value]:
    """Float activations whose range does not follow from that of another tensor: all but results of same-scale ops."""
    found = [value for value in graph.inputs if value.dtype is DType.FLOAT32]
    for op in graph.ops:
        definition = OP_DEFS.get(op.opcode)
        if definition is not None and definition.quant.same_scale:
            continue
        found += [value for value in op.results if value.dtype is DType.FLOAT32]
    return found


def activations(module: Module, feeds: Iterable[Feeds], values: Collection[Value]) -> Iterator[dict[Value, np.ndarray]]:
    """Yield for every feed the arrays of `values` (graph inputs or results of the main graph's ops).

    The values become outputs of the graph, so that XNNPACK runs as usual and writes exactly these.
    """
    graph = module.main
    inputs = [value for value in values if value.producer is None]
    results = [value for value in values if value.producer is not None]
    with _outputs(graph, results or list(graph.outputs)):
        session = LiteRTSession(serialize(Module(list(module.graphs), name=module.name)), threads=THREADS)
    for feed in feeds:
        arrays = session.run([feed[value.name] for value in graph.inputs])
        found = {value: np.asarray(feed[value.name]) for value in inputs}
        found.update(zip(results, arrays))
        yield found


@contextmanager
def _outputs(graph: Graph, values: list[Value]) -> Iterator[None]:
    kept = graph.outputs
    graph.outputs = values
    try:
        yield
    finally:
        graph.outputs = kept


class _Mean:
    """The mean of arrays of one shape; arrays of several shapes have none."""

    def __init__(self) -> None:
        self._total: np.ndarray | None = None
        self._count = 0
        self.usable = False

    def update(self, array: np.ndarray) -> None:
        if self._total is None:
            self._total, self.usable = array.astype(np.float32), True
        elif self._total.shape == array.shape:
            self._total += array
        else:
            self.usable = False
        self._count += 1

    def mean(self) -> np.ndarray:
        assert self._total is not None
        return np.asarray(self._total / np.float32(self._count))


def _range(value: Value, observer: MinMaxObserver, samples: int) -> Range:
    if observer.is_finite:
        return observer.range()
    producer = value.producer
    where = producer.describe() if producer is not None else "an input"
    raise QuantizationError(
        f"calibrating: '{value.name}' ({where}) held NaN or infinite values, or none at all, in {samples} samples, so "
        "that it has no range; check the samples' preprocessing, or leave the model in float"
    )
