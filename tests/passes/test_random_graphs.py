"""Random small graphs keep their outputs through a whole float pipeline, and a second run changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import float_graphs, random_feeds

from edgec.backends.tflite import serialize
from edgec.frontends.tflite import read_tflite
from edgec.ir.graph import Graph, Module
from edgec.ops import verify
from edgec.passes.base import Pass, PassContext
from edgec.passes.catalogue import PASSES
from edgec.passes.manager import run_passes
from edgec.runtime.evaluate import evaluate
from edgec.target.load import load_target

# Folding constants into weights and fusing change the order of float32 roundings: relative to the largest output.
TOLERANCE = 1e-5


def float_pipeline(target: str) -> list[Pass]:
    steps = load_target(target).pipeline.passes
    return [PASSES.create(step.name, step.options) for step in steps if step.name in PASSES]


@pytest.mark.parametrize("target", ["mobile-cpu"])
@settings(max_examples=60)
@given(graph=float_graphs())
def test_outputs_stay(target: str, graph: Graph) -> None:
    feeds = random_feeds(graph)
    before = evaluate(graph, feeds)
    module = Module([graph])
    context = PassContext(target=load_target(target))
    run_passes(module, float_pipeline(target), context)
    verify(module)
    after = evaluate(read_tflite(serialize(module)).main, feeds)
    assert [a.shape for a in after] == [b.shape for b in before]
    for old, new in zip(before, after):
        assert np.abs(old - new).max(initial=0) <= TOLERANCE * max(1.0, np.abs(old).max(initial=0))
    second = run_passes(module, float_pipeline(target), context)
    assert [record.name for record in second if record.changed] == []
