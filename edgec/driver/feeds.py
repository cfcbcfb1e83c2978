"""Samples for calibration, checks and evaluation, made to fit a module's inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgec.data.samples import InputSpec, SampleSet, load_samples
from edgec.driver.input_domain import integer_domain
from edgec.ir.dtype import DType
from edgec.ir.graph import Module, Value

Feeds = Sequence[Mapping[str, np.ndarray]]
"""Inputs by name, in the module's own layout, one mapping a run."""

CHECK_SAMPLES = 8
FEEDS_BYTES = 64 << 20  # of all generated feeds, which are held at once; one is made in any case
PART = 1 << 20  # elements that are drawn at once
SEED = 20_261_122
MODEST_INTEGER = 2  # how many values an integer takes that nothing bounds
SET_SHARE = 0.75  # ones in a generated mask


def input_specs(module: Module) -> list[InputSpec]:
    """What each input of the module takes, with its shape in the source where that differs."""
    return [_spec(module, value) for value in module.main.inputs]


def _spec(module: Module, value: Value) -> InputSpec:
    permutation = module.input_layout.get(value.name)
    source_shape = None
    if permutation is not None:
        source_shape = tuple(value.shape[i] for i in np.argsort(permutation))
    quant = value.quant
    return InputSpec(
        value.name, value.shape, value.dtype.numpy.name, source_shape,
        scale=quant.scale[0] if quant else None, zero_point=quant.zero_point[0] if quant else 0,
    )  # fmt: skip


def open_samples(spec: str | Path, module: Module, limit: int | None = None) -> SampleSet:
    """The samples of a manifest, array or folder, as inputs of `module`; raises DataError."""
    return load_samples(spec, inputs=input_specs(module), limit=limit)


def check_feeds(module: Module, samples: SampleSet | None) -> list[dict[str, np.ndarray]]:
    """A few feeds to compare runs on: real samples where there are any, else seeded numbers."""
    if samples is not None:
        return list(islice(samples.iter_feeds(), CHECK_SAMPLES))
    return generated_feeds(module)


def generated_feeds(
    module: Module, *, positive: bool = False, count: int = CHECK_SAMPLES, shapes: Shapes | None = None
) -> list[dict[str, np.ndarray]]:
    """Seeded numbers that the module's inputs may take, in their own shapes or those of `shapes`.

    Floats are normally distributed, or from 0 to 1 where `positive`; those that are quantized at once take that range.
    Integers lie where the ops take them that use them as an index, masks and flags are mostly set, 8-bit integers
    without such a use take every value.
    """
    generator = np.random.default_rng(SEED)
    count = max(1, min(count, FEEDS_BYTES // max(sum(v.type.bytes for v in module.main.inputs), 1)))
    draws = {v.name: (_draw(module, v, positive), (shapes or {}).get(v.name, v.shape)) for v in module.main.inputs}
    return [{name: draw(generator, shape, n) for name, (draw, shape) in draws.items()} for n in range(count)]


def trial_inputs(module: Module) -> list[np.ndarray]:
    """One array an input in the module's order, to see that it runs: the first of `generated_feeds`.

    None at all where they would take more than feeds may, or are text or the like: whoever runs the module then goes by
    what the runtime says of its inputs.
    """
    inputs = module.main.inputs
    if any(v.dtype.is_opaque for v in inputs) or sum(v.type.bytes for v in inputs) > FEEDS_BYTES:
        return []
    return list(generated_feeds(module, count=1)[0].values())


Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Draw = Callable[[np.random.Generator, Shape, int], np.ndarray]


def _draw(module: Module, value: Value, positive: bool) -> Draw:
    """What makes the feeds of one input: a function of the generator, the shape and the feed's number."""
    dtype = value.dtype.numpy
    if value.dtype.is_float:
        limits = _quantized_range(value)
        if limits is not None:
            return _in_parts(dtype, lambda generator, count: generator.uniform(*limits, count))
        if positive:
            return _in_parts(dtype, lambda generator, count: generator.random(count))
        return _in_parts(dtype, lambda generator, count: generator.standard_normal(count))
    if dtype.kind == "c":
        return lambda generator, shape, _: np.asarray(generator.standard_normal((*shape, 2)) @ (1, 1j)).astype(dtype)
    if value.dtype is DType.BOOL:
        return partial(_mask, dtype)
    least, below_all = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max) + 1
    if value.quant is not None:
        return _between(dtype, least, below_all)
    domain = integer_domain(module, value)
    if domain.below is not None:
        below = min(domain.below, below_all)
        return _unlike(dtype, domain.low, below) if domain.differ else _between(dtype, domain.low, below)
    if dtype.itemsize == 1:  # a picture, most likely
        return _between(dtype, max(least, domain.low), below_all)
    if domain.low:
        return _between(dtype, domain.low, domain.low + MODEST_INTEGER)
    return partial(_mask, dtype)


def _in_parts(dtype: np.dtype[Any], draw: Callable[[np.random.Generator, int], np.ndarray]) -> Draw:
    """Drawn part by part: the same numbers as at once, without their 64-bit form as a whole."""

    def draw_all(generator: np.random.Generator, shape: Shape, _: int) -> np.ndarray:
        drawn = np.empty(math.prod(shape), dtype)
        for start in range(0, drawn.size, PART):
            part = drawn[start : start + PART]
            part[:] = draw(generator, part.size).astype(dtype)
        return drawn.reshape(shape)

    return draw_all


def _between(dtype: np.dtype[Any], low: int, below: int) -> Draw:
    return _in_parts(dtype, lambda generator, count: generator.integers(low, below, count))


def _unlike(dtype: np.dtype[Any], low: int, below: int) -> Draw:
    """Integers that differ along every axis, as far as there are enough of them: a Latin square, shuffled."""

    def draw(generator: np.random.Generator, shape: Shape, _: int) -> np.ndarray:
        diagonals = np.sum(np.indices(shape), axis=0) if shape else np.zeros((), np.int64)
        return np.asarray(low + generator.permutation(below - low)[diagonals % (below - low)]).astype(dtype)

    return draw


def _mask(dtype: np.dtype[Any], generator: np.random.Generator, shape: Shape, number: int) -> np.ndarray:
    """Zeros and ones: all ones in the first feed, then some zeros, but not in front: a row of none has no softmax."""
    ones = np.ones(shape, bool) if number == 0 else generator.random(shape) < SET_SHARE
    if shape:
        ones[..., :1] |= number % 2 == 0
    return np.asarray(ones).astype(dtype)


def _quantized_range(value: Value) -> tuple[float, float] | None:
    """What a float input may be without being clipped, where all that reads it are ops that quantize it alike."""
    found = {op.results[0].type.quant for op in value.users if op.opcode == "quantize"}
    quant = next(iter(found), None)
    if len(found) != 1 or quant is None or quant.is_per_channel or len(value.users) != 1:
        return None
    limits = np.iinfo(value.users[0].results[0].dtype.numpy)
    low, high = ((edge - quant.zero_point[0]) * quant.scale[0] for edge in (limits.min, limits.max))
    return float(low), float(high)
