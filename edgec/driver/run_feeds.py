"""What a module is run on for checks and timing, or why it is not run at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgec.data.samples import SampleSet
from edgec.driver.feeds import Feeds, check_feeds
from edgec.driver.fitting_feeds import ending_feeds
from edgec.ir.graph import Module

ANY_RUN_BYTES = 192 << 20  # in inputs and results of one op, whatever file asks for it
RUN_BYTES_PER_SOURCE_BYTE = 5000
MOST_RUN_BYTES = 1 << 30
ENDLESS = "a loop does not end on generated inputs; give real ones with --calibration"


@dataclass(frozen=True)
class RunFeeds:
    """Inputs to run a module on; `why_none` is stated where there are none."""

    feeds: Feeds
    why_none: str | None = None


def run_feeds(
    module: Module, samples: SampleSet | None, source_bytes: int, examples: Mapping[str, np.ndarray] | None = None
) -> RunFeeds:
    """A few real samples where there are any, else generated numbers on which the module comes to an end.

    `examples` are inputs in the source's layout that came with the model: they stand first among generated ones.
    `source_bytes` is the source file's size: without samples a few hundred bytes that ask for gigabytes are not run.
    """
    too_large = too_large_to_run(module, None if samples is not None else source_bytes)
    if too_large is not None:
        return RunFeeds([], too_large)
    feeds: Feeds = check_feeds(module, samples)
    if samples is None:
        example = _example_feed(module, examples or {})
        feeds = ending_feeds(module, feeds if example is None else [example, *feeds[1:]])
    return RunFeeds(feeds, None if feeds else ENDLESS)


def _example_feed(module: Module, examples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The examples in the module's own layout and types, None where one is missing or has another shape."""
    feed = {}
    for value in module.main.inputs:
        array = examples.get(value.name)
        if array is None:
            return None
        array = array.transpose(module.input_layout.get(value.name, range(array.ndim)))
        if array.shape != value.shape:
            return None
        feed[value.name] = np.ascontiguousarray(array.astype(value.dtype.numpy)).reshape(value.shape)
    return feed


def too_large_to_run(module: Module, source_bytes: int | None) -> str | None:
    """Why a module is not run here: what one op's operands and results take, or all inputs, passes the limit.

    The limit is 1 GiB, and where `source_bytes` is given 5,000 times that but no less than 192 MiB. None where all is
    within it; constants are in memory anyway and do not count.
    """
    values = [[v for v in (*op.operands, *op.results) if v and not v.is_constant] for op in module.main.ops]
    largest = max((sum(v.type.bytes for v in of_op) for of_op in (module.main.inputs, *values)), default=0)
    limit = MOST_RUN_BYTES
    if source_bytes is not None:
        limit = min(max(ANY_RUN_BYTES, source_bytes * RUN_BYTES_PER_SOURCE_BYTE), MOST_RUN_BYTES)
    if largest <= limit:
        return None
    said = f"{largest / (1 << 30):.1f} GiB of inputs and results at once are too much here"
    if largest > MOST_RUN_BYTES:
        return said
    return f"{said} for a model of {source_bytes:,} bytes; give real inputs with --calibration"
