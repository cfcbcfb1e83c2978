"""Which dimensions of a model's inputs stay open in the artifact, and which sizes they are tried at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgec.driver.shape_request import OPEN, Requests
from edgec.errors import ImportFailure, LoweringError
from edgec.ir.graph import Module
from edgec.ir.open_size import OpenSize
from edgec.target.target import Target

Dims = Mapping[str, Sequence[int | str]]
Sizes = dict[str, tuple[int, ...]]
BATCH = "the batch"
SMALL = 8  # a planned size below is taken for a count (a batch), which needs not be a multiple of anything
STEP = 32  # sizes that differ by it are alike to five halvings, which most networks do at most
# How a small and a larger planned size become those of a trial; the index tells the dimensions apart.
TRIALS: tuple[tuple[Callable[[int, int], int], Callable[[int, int], int]], ...] = (
    (lambda size, index: size + 1 + 2 * index, lambda size, index: size - 1 - 2 * index),
    (lambda size, index: size + 4 + index, lambda size, index: size // 2 + index),
    (lambda size, index: size + 6 + index, lambda size, index: size + STEP * (2 + index)),
    (lambda size, index: size + 3, lambda size, index: size - STEP * (index + 1)),
    (lambda size, index: size + 5, lambda size, index: size - 4 * (index + 1)),
    (lambda size, index: size + 2, lambda size, index: size + 3 + index),
    (lambda size, index: size + 7, lambda size, index: size + STEP),
    (lambda size, index: size + 8, lambda size, index: size + 2 * STEP),
)


@dataclass(frozen=True)
class OpenAxes:
    """Open dimensions by input and axis, both as in the source; dimensions of one key always have one size.

    `planned` holds the sizes of all inputs that memory and latency are planned for, in the source's order of axes.
    """

    keys: Mapping[str, Mapping[int, str]]
    planned: Mapping[str, tuple[int, ...]]

    @property
    def planned_of(self) -> dict[str, int]:
        """The planned size by key."""
        return {key: self.planned[name][axis] for name, axes in self.keys.items() for axis, key in axes.items()}

    def sizes_at(self, of: Mapping[str, int]) -> Sizes:
        """The sizes of all inputs where the open dimensions have the sizes `of` their keys, marked as `OpenSize`."""
        found: Sizes = {}
        for name, sizes in self.planned.items():
            keys = self.keys.get(name, {})
            found[name] = tuple(
                OpenSize(of.get(keys[axis], size)) if axis in keys else size for axis, size in enumerate(sizes)
            )
        return found

    def describe(self, of: Mapping[str, int] | None = None) -> str:
        """The open inputs for a message: `x=?,3,224?,224?`, or their shapes at the sizes `of` the keys."""
        sizes = self.sizes_at(of or {})
        texts = []
        for name, axes in self.keys.items():
            entries = [f"{s}{OPEN}" if axis in axes and of is None else str(s) for axis, s in enumerate(sizes[name])]
            texts.append(f"{name}={','.join(entries)}")
        return " ".join(texts)

    def first_sizes(self) -> dict[str, int]:
        """Sizes by key to translate the model at: as planned, but 2 for 1, whose axes passes may drop or broadcast."""
        return {key: max(size, 2) for key, size in self.planned_of.items()}

    def second_sizes(self) -> list[dict[str, int]]:
        """Sizes by key to translate the model at once more, the likeliest to work first.

        Each key has a size of its own, so that it can be told from the others; larger sizes come first, smaller ones
        follow for models whose tables end at the planned size.
        """
        planned = enumerate(self.first_sizes().items())
        larger, smaller = {}, {}
        for index, (key, size) in planned:
            larger[key] = size + 3 + 2 * index if size < SMALL else size + STEP * (index + 1)
            smaller[key] = size + 3 + 2 * index if size < SMALL else max(size - 3 * (index + 1), 3)
        return [larger, smaller] if smaller != larger else [larger]

    def trial_sizes(self) -> list[dict[str, int]]:
        """Sizes by key to run the artifact at: odd, smaller and larger ones, and multiples of the likely steps."""
        trials: list[dict[str, int]] = []
        for small, large in TRIALS:
            trial = {
                key: small(size, index) if size < SMALL else large(size, index)
                for index, (key, size) in enumerate(self.planned_of.items())
            }
            plausible = all(trial[key] >= max(size // 4, 1) for key, size in self.planned_of.items())
            if plausible and trial != self.planned_of and trial not in trials:
                trials.append(trial)
        return trials


def open_axes(module: Module, requests: Requests, doing: str) -> OpenAxes | None:
    """The dimensions that `requests` keep open, those of the same name in other inputs included; None for none.

    `module` is as the front end gave it; its `extra` says which dimensions the file leaves open.

    Raises:
        ImportFailure: the file fixes a dimension that shall stay open.
    """
    if not any(request.open_axes for request in requests.values()):
        return None
    dims: Dims = module.extra.get("input_dims", {})
    turned: Mapping[str, Sequence[int]] = module.extra.get("shape_axes", {})
    keys: dict[str, dict[int, str]] = {}
    for name, request in requests.items():
        for given in sorted(request.open_axes):
            axis = turned[name][given] if name in turned else given
            keys.setdefault(name, {})[axis] = _key(name, axis, dims, doing)
    named = {key for axes in keys.values() for key in axes.values()}
    for name, sizes in dims.items():
        for axis, dim in enumerate(sizes):
            if isinstance(dim, str) and (dim or _nameless(name, axis)) in named:
                keys.setdefault(name, {})[axis] = dim or _nameless(name, axis)
    planned = {value.name: value.shape for value in module.main.inputs}
    return OpenAxes({name: dict(sorted(keys[name].items())) for name in planned if name in keys}, planned)


def _key(name: str, axis: int, dims: Dims, doing: str) -> str:
    """What the dimension is called; raises ImportFailure where the file fixes it."""
    dim = dims[name][axis] if name in dims else ""
    if isinstance(dim, int):
        raise ImportFailure(
            f"{doing}: --shape keeps dimension {axis} of input '{name}' open, but it is fixed at {dim} in the model; "
            "export the model with that dimension dynamic, or give --shape a size without a question mark."
        )
    return dim or _nameless(name, axis)


def _nameless(name: str, axis: int) -> str:
    """The key of a dimension without a name: first ones are taken for the batch, which is one for all inputs."""
    return BATCH if axis == 0 else f"{name} dimension {axis}"


def check_target(open_: OpenAxes, target: Target) -> None:
    """Raise LoweringError where the target needs every size at compile time."""
    if target.rules.get("dynamic_shapes", True):
        return
    name, axes = next(iter(open_.keys.items()))
    raise LoweringError(
        f"Compiling for {target.name}: --shape keeps dimension {min(axes)} of input '{name}' open, but this target "
        f"plans all memory ahead; give --shape {name}=... a size without a question mark there."
    )
