"""Recurrent models from TensorFlow: what comes out is what TensorFlow gives, once and the second time."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgec.driver import CompileOptions, CompileResult, compile_model
from edgec.driver.foreign import load_tensorflow
from edgec.errors import ImportFailure
from edgec.frontends.tensorflow import convert_tensorflow
from edgec.runtime.litert import LiteRTSession

pytestmark = pytest.mark.tensorflow
Written = Callable[[str], Path]


def compiled(path: Path, python: str, **options: Any) -> CompileResult:
    result = compile_model(path, CompileOptions(device="rpi4", scheme="fp32", python=python, **options))
    check = result.report.checks.float_vs_source
    assert check is not None, result.report.checks.notes
    assert check.passed
    return result


@pytest.mark.parametrize("name", ["lstm.keras", "lstm", "gru.keras", "gru", "both_ways.keras", "both_ways"])
def test_sequences_agree_and_start_anew_on_each_run(written: Written, tf_python: str, name: str) -> None:
    result = compiled(written("recurrent") / name, tf_python)
    session = LiteRTSession(result.artifact)
    x = np.random.default_rng(0).standard_normal((1, 7, 3)).astype(np.float32)
    first, second = (session.run([x])[0].copy() for _ in range(2))
    assert np.ptp(first) > 0
    np.testing.assert_array_equal(first, second)


def test_a_list_that_a_loop_fills_has_a_fixed_size(written: Written, tf_python: str) -> None:
    module, _ = load_tensorflow(written("recurrent") / "lstm.keras", None, tf_python, (), ())
    assert Counter(op.opcode for graph in module.graphs for op in graph.ops)["dynamic_update_slice"] >= 1
    assert not any(value.type.is_dynamic for graph in module.graphs for value in graph.values())


def test_a_stateful_layer_goes_on_where_it_stopped(written: Written, tf_python: str) -> None:
    path = written("recurrent") / "stateful.keras"
    session = LiteRTSession(compiled(path, tf_python).artifact)
    source = convert_tensorflow(path, python=tf_python)
    x = np.random.default_rng(0).standard_normal((1, 7, 3)).astype(np.float32)
    steps = [(session.run([x])[0].copy(), source.run({source.inputs[0]: x})[0]) for _ in range(3)]
    for ours, theirs in steps:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(steps[0][0] - steps[1][0]).max() > 1e-3
    source.worker.close()


@pytest.mark.parametrize("batch", [1, 2])
def test_open_steps_and_batch_are_fixed_by_shape(written: Written, tf_python: str, batch: int) -> None:
    folder = written("recurrent")
    for name in ("open.keras", "open"):
        [given] = input_names(folder / name, tf_python)
        result = compiled(folder / name, tf_python, shapes={given: (batch, 9, 3)})
        assert [v.shape for v in result.module.main.outputs] == [(batch, 9, 4)]


def input_names(path: Path, python: str) -> list[str]:
    """The model's own names of its inputs, which the message about open dimensions names."""
    with pytest.raises(ImportFailure, match="is not fixed") as caught:
        convert_tensorflow(path, python=python)
    return [str(caught.value).split("of input '")[1].split("'")[0]]


def test_a_loop_of_tf1_becomes_a_while(written: Written, tf_python: str) -> None:
    names = {"inputs": ("x",), "outputs": ("all", "last")}
    result = compiled(written("recurrent") / "loop.pb", tf_python, **names)
    assert Counter(op.opcode for op in result.module.main.ops)["while"] == 1
    assert [(v.name, v.shape) for v in result.module.main.outputs] == [("all", (5, 1, 4)), ("last", (1, 4))]


def test_the_ends_of_a_loop_are_found(written: Written, tf_python: str) -> None:
    found = convert_tensorflow(written("recurrent") / "loop.pb", python=tf_python)
    assert (found.inputs, set(found.outputs)) == (("x",), {"all", "last"})
    found.worker.close()
