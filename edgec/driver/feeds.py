"""Samples for calibration, checks and evaluation, made to fit a module's inputs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from edgec.data.samples import InputSpec, SampleSet, load_samples
from edgec.ir.dtype import DType
from edgec.ir.graph import Module, Value

CHECK_SAMPLES = 8
SEED = 20_261_122
MODEST_INTEGER = 2  # generated integer inputs stay below: they are mostly indices or masks


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
    return list(_generated(module, CHECK_SAMPLES))


def _generated(module: Module, count: int) -> Iterator[dict[str, np.ndarray]]:
    generator = np.random.default_rng(SEED)
    for _ in range(count):
        yield {v.name: _random(v, generator) for v in module.main.inputs}


def _random(value: Value, generator: np.random.Generator) -> np.ndarray:
    dtype = value.dtype.numpy
    if value.dtype.is_float:
        return generator.standard_normal(value.shape).astype(dtype)
    if value.dtype is DType.BOOL:
        return generator.integers(0, 2, value.shape).astype(dtype)
    if value.quant is not None:
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, value.shape, endpoint=True).astype(dtype)
    return generator.integers(0, MODEST_INTEGER, value.shape).astype(dtype)
