"""Runs of the source model in its own runtime, on the feeds of the float module that was made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from edgec.driver.checks import Run
from edgec.driver.feeds import Feeds
from edgec.driver.kept_outputs import replayed
from edgec.driver.runner import feeds_in_source_layout
from edgec.driver.source import SourceModel
from edgec.driver.source_runtimes import SourceRuntime
from edgec.errors import EdgecError, MissingExtra, RuntimeFailure
from edgec.ir.graph import Module


@dataclass(frozen=True)
class SourceRun:
    """The source on some feeds, which `run` takes in their order; the runtime's name and its tolerance."""

    name: str
    tolerance: float | None
    run: Run


@dataclass
class SourceRuns:
    """Runs a source on feeds in the layout of `module`, each set from the initial state.

    Of a large model all runs are made at once and the runtime is gone before they are handed out, so that it is never
    in memory beside a runtime of ours. `make_ahead` does so while there is little else in memory; `on` then gives what
    came of it.
    """

    source: SourceModel
    module: Module
    _ahead: tuple[Feeds, SourceRun | EdgecError] | None = field(default=None, repr=False)

    def make_ahead(self, feeds: Feeds) -> None:
        """Run a large model now, and keep its outputs, or why there are none, for `on` with the same feeds."""
        if not self.source.is_large or not feeds:
            return
        try:
            self._ahead = (feeds, self._made(feeds))
        except (RuntimeFailure, MissingExtra) as error:
            self._ahead = (feeds, error)

    def on(self, feeds: Feeds) -> SourceRun:
        """The source on `feeds`; raises RuntimeFailure or MissingExtra, where it runs at once, or in its runs."""
        if self._ahead is not None and self._ahead[0] is feeds:
            made, self._ahead = self._ahead[1], None
            if isinstance(made, EdgecError):
                raise made
            return made
        if self.source.is_large:
            return self._made(feeds)
        runtime = self.source.runtime()
        return SourceRun(runtime.name, runtime.tolerance, partial(_run, runtime, self.module))

    def _made(self, feeds: Feeds) -> SourceRun:
        runtime = self.source.runtime()
        return SourceRun(runtime.name, runtime.tolerance, recorded(partial(_run, runtime, self.module), feeds))


def recorded(run: Run, feeds: Feeds) -> Run:
    """Runs at once; a run on the same feeds in their order then gives what `run` gave."""
    return replayed([run(feed) for feed in feeds])


def _run(runtime: SourceRuntime, module: Module, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return runtime.run(feeds_in_source_layout(feed, module))
