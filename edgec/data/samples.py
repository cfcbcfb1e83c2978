"""Sample sets: labelled or unlabelled model inputs, streamed from a manifest, an array file or a folder of pictures."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgec.data.labels import load_labels
from edgec.data.layout import Arrangement, InputSpec, arrangement, fitted, typed
from edgec.data.manifest import InputSource, Manifest, Metric, Selection, load_manifest
from edgec.data.preprocess import Preprocessor
from edgec.data.sources import Source, array_names, open_source
from edgec.errors import DataError

__all__ = ["InputSpec", "Sample", "SampleSet", "load_samples"]

Array = npt.NDArray[Any]
Feeds = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Sample:
    """One stored sample: its position in the file, how messages name it, its label, and its model inputs.

    `feeds` has one entry, or one a window; `label` is a class index, a target array, or None.
    """

    position: int
    name: str
    label: Array | None
    feeds: list[Feeds]


@dataclass(frozen=True, slots=True)
class _InputStream:
    """One model input's way from the stored sample to the feed."""

    spec: InputSpec
    source: Source
    table: InputSource
    preprocessor: Preprocessor

    def feeds_of(self, stored: Array, position: int) -> list[Array]:
        where = self.source.name_of(position)
        samples = self.preprocessor.apply(stored, where)
        return [self.feed_of(one, where) for one in samples]

    def feed_of(self, sample: Array, where: str) -> Array:
        how = self.arrangement_of(sample.shape, where)
        return typed(fitted(sample, self.spec, how), self.spec, where)

    def arrangement_of(self, shape: tuple[int, ...], where: str) -> Arrangement:
        known_hwc = (self.source.is_image or self.table.layout != "auto") and self.table.preprocess.reshape is None
        return arrangement(shape, self.spec, known_hwc, where)

    def notes(self, position: int) -> list[str]:
        """What the user should know about how the first sample was read."""
        stored = next(iter(self.source.iter_rows([position])))
        where = self.source.name_of(position)
        first = self.preprocessor.apply(stored, where)[0]
        how = self.arrangement_of(first.shape, where)
        self.feed_of(first, where)  # a set whose first sample is unfit fails here, early
        return [*self._range_notes(stored, first), *self._layout_notes(first.shape, how)]

    def _range_notes(self, stored: Array, first: Array) -> list[str]:
        is_float = np.dtype(self.spec.dtype).kind == "f"
        if stored.dtype.kind not in "iu" or not is_float or self.table.preprocess.sets_range:
            return []
        return [
            f"input '{self.spec.name}' takes {stored.dtype} values unscaled as float32 (the first sample spans "
            f"{first.min()} to {first.max()}); for another range, give scale, mean and std in a manifest"
        ]

    def _layout_notes(self, shape: tuple[int, ...], how: Arrangement) -> list[str]:
        name = self.spec.name
        if how == "ambiguous":
            return [f"samples of shape {shape} fit input '{name}' in both layouts and are read in the artifact's"]
        if how == "source":
            return [f"samples of shape {shape} stand in the source's layout and are transposed for input '{name}'"]
        return []


@dataclass(frozen=True)
class SampleSet:
    """Samples that can be iterated any number of times; labels and packed pictures (encoded) are held in memory.

    `len()` counts samples; `feed_count()` counts model inputs, which are more where a sample is cut into windows.
    `labels` are class indices [n] int64 (label offset applied), targets [n, ...] float32, or None. `notes` are
    sentences for the diagnostic log.
    """

    origin: str
    metric: Metric | None
    labels: Array | None
    notes: tuple[str, ...]
    output: int
    positive_class: int
    positions: tuple[int, ...]
    stored_count: int
    _streams: tuple[_InputStream, ...] = field(repr=False)
    _memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """The model inputs that the feeds are made for."""
        return tuple(stream.spec for stream in self._streams)

    @property
    def windowed(self) -> bool:
        """Whether a sample may have more than one feed."""
        return any(stream.table.preprocess.window is not None for stream in self._streams)

    def feed_count(self) -> int:
        """How many feeds `iter_feeds` yields (with windows this reads the set once)."""
        if not self.windowed:
            return len(self)
        if "feed_count" not in self._memo:
            self._memo["feed_count"] = sum(len(sample.feeds) for sample in self.iter_samples())
        return int(self._memo["feed_count"])

    def iter_samples(self) -> Iterator[Sample]:
        """Yield samples in order, each with its label and its feeds.

        Raises:
            DataError: a sample cannot be read, does not fit the input, or holds NaN or infinite values.
        """
        rows = [stream.source.iter_rows(self.positions) for stream in self._streams]
        for order, position in enumerate(self.positions):
            per_input = [stream.feeds_of(next(row), position) for stream, row in zip(self._streams, rows)]
            feeds = [dict(zip([spec.name for spec in self.inputs], arrays)) for arrays in zip(*per_input)]
            label = None if self.labels is None else self.labels[order]
            yield Sample(position, self._streams[0].source.name_of(position), label, feeds)

    def iter_feeds(self) -> Iterator[Feeds]:
        """Yield {input name: array} for every feed, in the artifact's layout and dtype, batch axis 1."""
        for sample in self.iter_samples():
            yield from sample.feeds

    def fingerprint(self) -> str:
        """SHA-256 (hex) over what the model sees: input names, dtypes, shapes, values, and the labels."""
        if "fingerprint" not in self._memo:
            digest = hashlib.sha256()
            for feeds in self.iter_feeds():
                for name, array in feeds.items():
                    digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
                    digest.update(np.ascontiguousarray(array).data)
            if self.labels is not None:
                digest.update(f"labels|{self.labels.dtype.str}|{self.labels.shape}|".encode())
                digest.update(np.ascontiguousarray(self.labels).data)
            self._memo["fingerprint"] = digest.hexdigest()
        return str(self._memo["fingerprint"])

    def describe(self) -> str:
        """One line: how many samples, from where, for which inputs, labelled and scored how."""
        wheres = dict.fromkeys(stream.source.describe() for stream in self._streams)
        names = ", ".join(f"'{spec.name}' {'x'.join(map(str, spec.shape))}" for spec in self.inputs)
        scored = f"metric {self.metric}" if self.metric else ("labelled" if self.labels is not None else "unlabelled")
        return f"{len(self)} of {self.stored_count} samples from {', '.join(wheres)} for {names}; {scored}"


def load_samples(spec: str | Path, *, inputs: Sequence[InputSpec], limit: int | None = None) -> SampleSet:
    """Open a manifest (.toml), a .npz or .npy file, or a folder of pictures as samples for a model's inputs.

    A bare .npz gives each of several inputs the array of its name; a single input takes `x`, else the first array.
    `limit` keeps that many samples, evenly spaced over the selection. The first sample is read and checked at once.

    Raises:
        DataError: nothing is there, it is malformed or empty, or it does not match the inputs.
    """
    path = Path(spec)
    if not inputs:
        raise DataError(f"loading samples from '{path}': the model has no inputs")
    if limit is not None and limit < 1:
        raise DataError(f"loading samples from '{path}': limit is {limit}, a whole number from 1 is needed")
    is_manifest = path.suffix.lower() == ".toml" and not path.is_dir()
    manifest = load_manifest(path) if is_manifest else _bare_manifest(path, inputs)
    base = path.parent.resolve() if is_manifest else Path()  # relative paths of a manifest start at its folder
    streams = tuple(_open_stream(one, table, base) for one, table in _pair(manifest, inputs, path))
    stored_count = _common_count(streams, path)
    positions = _limited(selected(manifest.select, stored_count, path), limit)
    notes = [note for stream in streams for note in stream.notes(positions[0])]
    labels = None
    if manifest.labels is not None:
        every, label_notes = load_labels(manifest.labels, base, streams[0].source, manifest.metric == "mean_error")
        labels = every[np.array(positions)]
        notes += label_notes
    return SampleSet(
        origin=str(path),
        metric=manifest.metric,
        labels=labels,
        notes=tuple(notes),
        output=manifest.output,
        positive_class=manifest.positive_class,
        positions=positions,
        stored_count=stored_count,
        _streams=streams,
    )


def selected(select: Selection, stored_count: int, path: Path) -> tuple[int, ...]:
    """Positions to read. The order of `indices` is kept; a shuffled choice is read in stored order.

    Shuffling sorts positions by SHA-256 of "seed:position", so a seed means the same choice everywhere and for ever;
    `count = n` and `start = n` with the same seed are disjoint and together complete.
    """
    if stored_count == 0:
        raise DataError(f"loading samples from '{path}': there are none in it")
    if select.indices is not None:
        beyond = [index for index in select.indices if index >= stored_count]
        if beyond:
            raise DataError(
                f"selecting samples of '{path}': select.indices names {beyond[0]}, allowed: 0 to {stored_count - 1}"
            )
        return select.indices
    order = list(range(stored_count))
    if select.shuffle_seed is not None:
        order.sort(key=lambda position: hashlib.sha256(f"{select.shuffle_seed}:{position}".encode()).digest())
    chosen = order[select.start :: select.stride]
    if not chosen:
        raise DataError(
            f"selecting samples of '{path}': select.start is {select.start}, allowed: 0 to {stored_count - 1}"
        )
    if select.count is not None and select.count > len(chosen):
        raise DataError(
            f"selecting samples of '{path}': select.count is {select.count}, start {select.start} and stride "
            f"{select.stride} leave {len(chosen)} of {stored_count}; ask for fewer"
        )
    return tuple(sorted(chosen[: select.count]))


def _limited(positions: tuple[int, ...], limit: int | None) -> tuple[int, ...]:
    if limit is None or limit >= len(positions):
        return positions
    return tuple(positions[order * len(positions) // limit] for order in range(limit))


def _bare_manifest(path: Path, inputs: Sequence[InputSpec]) -> Manifest:
    """The manifest that a bare file or folder stands for."""
    if len(inputs) == 1:
        return Manifest(input=InputSource(path=str(path)))
    names = [one.name for one in inputs]
    if path.suffix.lower() == ".npz" and path.is_file():
        missing = [name for name in names if name not in array_names(path)]
        if not missing:
            return Manifest(inputs={name: InputSource(path=str(path), array=name) for name in names})
    raise DataError(
        f"loading samples from '{path}': the model has {len(names)} inputs ({', '.join(names)}); "
        "give a .npz file with an array for each by that name, or a manifest with [inputs.NAME] tables"
    )


def _pair(manifest: Manifest, inputs: Sequence[InputSpec], path: Path) -> list[tuple[InputSpec, InputSource]]:
    names = [one.name for one in inputs]
    if manifest.input is not None:
        if len(inputs) == 1:
            return [(inputs[0], manifest.input)]
        raise DataError(
            f"reading manifest '{path}': [input] is for models with one input, this one has {len(names)} "
            f"({', '.join(names)}); give an [inputs.NAME] table for each"
        )
    tables = manifest.inputs or {}
    if set(tables) != set(names):
        raise DataError(
            f"reading manifest '{path}': it has [inputs] tables {', '.join(tables)}, the model's inputs are "
            f"{', '.join(names)}; name exactly these"
        )
    return [(one, tables[one.name]) for one in inputs]


def _open_stream(spec: InputSpec, table: InputSource, base: Path) -> _InputStream:
    path = base / table.path
    source = open_source(path.resolve() if ".." in path.parts else path, table)
    gray = len(spec.shape) == 4 and spec.shape[3] == 1
    return _InputStream(spec, source, table, Preprocessor(table, source.is_image, gray))


def _common_count(streams: Sequence[_InputStream], path: Path) -> int:
    counts = {stream.spec.name: len(stream.source) for stream in streams}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise DataError(f"loading samples from '{path}': the inputs have different numbers of samples: {listed}")
    return len(streams[0].source)
