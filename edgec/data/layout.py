"""Fit one prepared sample into a model input: layout, batch axis, dtype.

A sample stands in the artifact's layout, or in the source model's (channels first) where only that fits its shape.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgec.errors import DataError

Array = npt.NDArray[Any]
Arrangement = Literal["artifact", "source", "ambiguous", "hwc_to_chw"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of the artifact: its shape with batch axis (-1 or 0 for a dynamic size), its dtype, and the shape
    the source model gave it (None where there is no other). `scale` and `zero_point` quantize real samples for an
    integer input: q = round(x / scale) + zero_point.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    source_shape: tuple[int, ...] | None = None
    scale: float | None = None
    zero_point: int = 0


def arrangement(shape: tuple[int, ...], spec: InputSpec, known_hwc: bool, where: str) -> Arrangement:
    """Which layout a sample of `shape` stands in; `known_hwc` where its axes are named, as for decoded pictures.

    Raises:
        DataError: it fits neither the artifact's nor the source's shape.
    """
    as_artifact = any(_fits(shape, wanted) for wanted in _sample_shapes(spec.shape))
    source = _channels_first(spec)
    as_source = source is not None and any(_fits(shape, wanted) for wanted in _sample_shapes(source, gray=False))
    if as_artifact:
        return "ambiguous" if as_source and not known_hwc and not _same_when_moved(shape) else "artifact"
    if known_hwc and len(shape) == 3 and _fits((shape[2], *shape[:2]), spec.shape[1:]):
        return "hwc_to_chw"
    if as_source and not known_hwc:
        return "source"
    raise DataError(_mismatch(shape, spec, source, where))


def fitted(sample: Array, spec: InputSpec, how: Arrangement) -> Array:
    """The sample in the artifact's layout, with its batch axis."""
    if how == "hwc_to_chw":
        return np.moveaxis(sample, -1, 0)[None]
    if how == "source":
        batched = sample if sample.ndim == len(spec.shape) else sample[None]
        return np.moveaxis(batched, 1, -1)
    if sample.ndim == len(spec.shape):
        return sample
    batched = sample[None]
    return batched if batched.ndim == len(spec.shape) else batched[..., None]


def typed(feed: Array, spec: InputSpec, where: str) -> Array:
    """The feed in the input's dtype: float32 for float inputs; an integer input takes its own dtype as stored values.

    Raises:
        DataError: values are NaN or infinite, or have no exact place in an integer input without a scale.
    """
    wanted = np.dtype(spec.dtype)
    if wanted.kind == "f":
        with np.errstate(over="ignore"):
            return _finite(np.asarray(feed, np.float32, order="C"), feed, where)
    if feed.dtype == wanted:
        return np.asarray(feed, order="C")
    limits = np.iinfo(wanted) if wanted.kind in "iu" else None
    real = _finite(feed, feed, where)
    if limits is None:
        return real.astype(wanted, order="C")
    if spec.scale is not None:
        whole = np.rint(real.astype(np.float64) / spec.scale) + spec.zero_point
        return np.asarray(np.clip(whole, limits.min, limits.max), wanted, order="C")
    whole = np.rint(real) if real.dtype.kind == "f" else real
    if (whole != real).any() or (whole.size and (whole.min() < limits.min or whole.max() > limits.max)):
        raise DataError(
            f"preparing {where} for input '{spec.name}': values from {real.min()} to {real.max()} of type {feed.dtype} "
            f"are not whole numbers within {wanted}; give whole numbers from {limits.min} to {limits.max}"
        )
    return whole.astype(wanted, order="C")


def _finite(cast: Array, stored: Array, where: str) -> Array:
    if cast.dtype.kind == "f" and not np.isfinite(cast).all():
        bad = int(np.count_nonzero(~np.isfinite(cast)))
        kind = "NaN" if np.isnan(stored).any() else "infinite values"
        raise DataError(
            f"preparing {where}: {bad} of its {cast.size} values are not finite ({kind}); repair it or leave it out"
        )
    return cast


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(size < 1 or size == have for have, size in zip(shape, wanted))


def _sample_shapes(shape: tuple[int, ...], gray: bool = True) -> list[tuple[int, ...]]:
    """The forms one sample may have: with batch axis, without it where that is 1, and (H, W) for (H, W, 1)."""
    if not shape:
        return [shape]
    forms = [(1, *shape[1:]) if shape[0] < 1 else shape]
    if forms[0][0] == 1:
        forms.append(shape[1:])
        if gray and len(shape) == 4 and shape[3] == 1:
            forms.append(shape[1:3])
    return forms


def _channels_first(spec: InputSpec) -> tuple[int, ...] | None:
    """The source's shape, where it is the artifact's with the channel axis moved to place 1."""
    if spec.source_shape is None or len(spec.shape) < 3:
        return None
    moved = (spec.shape[0], spec.shape[-1], *spec.shape[1:-1])
    if len(moved) != len(spec.source_shape):
        return None
    same = all(a < 1 or b < 1 or a == b for a, b in zip(moved, spec.source_shape))
    return moved if same else None


def _same_when_moved(shape: tuple[int, ...]) -> bool:
    """Whether moving the channel axis cannot change the order of the values (all axes but one have size 1)."""
    return sum(size != 1 for size in shape) <= 1


def _without_batch(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if len(shape) > 1 and shape[0] <= 1 else shape


def _mismatch(shape: tuple[int, ...], spec: InputSpec, source: tuple[int, ...] | None, where: str) -> str:
    wanted = str(_without_batch(spec.shape))
    if source is not None:
        wanted += f", or {_without_batch(source)} as in the source model"
    return (
        f"matching {where} to input '{spec.name}': found shape {shape}, wanted {wanted}; "
        "store samples in that shape, or give resize, crop, layout or reshape in a manifest"
    )
