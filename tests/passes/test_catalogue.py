"""The catalogue is complete, and every pipeline names passes that exist."""

from __future__ import annotations

import importlib
import pkgutil
from inspect import isabstract

import pytest

import edgec.passes
from edgec.passes.base import Pass
from edgec.passes.catalogue import PASSES
from edgec.target import list_targets, load_target

COMPRESSION = {"prune_channels", "eliminate_dead_channels", "quantize"}  # the driver adds these


def defined() -> set[type[Pass]]:
    found = set()
    for info in pkgutil.walk_packages(edgec.passes.__path__, "edgec.passes."):
        for value in vars(importlib.import_module(info.name)).values():
            if isinstance(value, type) and issubclass(value, Pass) and not isabstract(value) and value.name:
                found.add(value)
    return found


def test_every_pass_is_in_the_catalogue() -> None:
    assert defined() == set(PASSES.values())


@pytest.mark.parametrize("name", list_targets())
def test_pipelines_name_passes_that_exist(name: str) -> None:
    steps = load_target(name).pipeline.passes
    assert {step.name for step in steps} - set(PASSES) <= COMPRESSION
    for step in steps:
        if step.name in PASSES:
            PASSES.create(step.name, step.options)
