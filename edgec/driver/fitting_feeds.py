"""Which generated inputs suit a model: values can decide whether it runs and how large its outputs are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgec.backends.tflite import serialize
from edgec.driver.feeds import Feeds
from edgec.driver.runner import feeds_in_source_layout
from edgec.driver.source import SourceModel
from edgec.errors import MissingExtra, RuntimeFailure
from edgec.ir.graph import Module
from edgec.ops.control import loop_trips
from edgec.runtime.isolated import run_isolated

TRIED = 3  # feeds of a model whose loops may not end
LOOP_SECONDS = 5.0  # what such a model may take for one


def ending_feeds(module: Module, feeds: Feeds) -> Feeds:
    """The generated feeds on which a module in LiteRT comes to an end; all of them where no loop depends on values.

    A step of zero makes a loop endless, in the source model as well. Each feed is tried in a child process.
    """
    if not _has_open_loop(module):
        return feeds
    artifact = serialize(module)
    return [feed for feed in feeds[:TRIED] if _ends(artifact, [feed[value.name] for value in module.main.inputs])]


def _has_open_loop(module: Module) -> bool:
    loops = (op for graph in module.graphs for op in graph.ops if op.opcode == "while")
    return any(loop_trips(op, module) is None for op in loops)


def _ends(artifact: bytes, inputs: list[np.ndarray]) -> bool:
    try:
        run_isolated("litert", artifact, inputs, timeout_s=LOOP_SECONDS)
    except RuntimeFailure:
        return False
    return True


def fitting_feeds(source: SourceModel, module: Module, feeds: Feeds, *, numbers: bool = True) -> tuple[Feeds, str]:
    """Those feeds on which the source runs and gives numbers of the sizes that its file states, and why not the others.

    A divisor may be zero, an index out of range, a mask may select fewer elements than the model states, or none: the
    softmax of nothing is no number, which counts where `numbers` are asked for.
    """
    complaints = [_complaint(source, module, feed, numbers=numbers) for feed in feeds]
    fitting = [feed for feed, complaint in zip(feeds, complaints) if complaint is None]
    return fitting, next(filter(None, complaints), "")


def _complaint(source: SourceModel, module: Module, feed: Mapping[str, np.ndarray], *, numbers: bool) -> str | None:
    try:
        runtime = source.runtime()
        outputs = runtime.run(feeds_in_source_layout(feed, module))
    except (RuntimeFailure, MissingExtra) as error:
        return str(error).rstrip(".")
    for value, got, stated in zip(module.main.outputs, map(np.shape, outputs), runtime.stated_shapes):
        if len(got) != len(stated) or any(isinstance(size, int) and size != n for n, size in zip(got, stated)):
            return f"output '{value.name}' has shape {list(got)} there, the model states {list(stated)}"
    for value, array in zip(module.main.outputs, outputs):
        if numbers and array.dtype.kind in "fc" and np.isnan(array).any():
            return f"output '{value.name}' is not a number there"
    return None
