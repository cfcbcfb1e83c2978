"""The comparison of the float module with the source model's own runtime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.driver.checks import compare_runs
from edgec.driver.runner import outputs_in_source_layout
from edgec.driver.verification import OVERWRITTEN
from edgec.errors import RuntimeFailure, TranslationFault
from edgec.runtime.litert import LiteRTSession
from edgec.target.load import load_device


def _model(path: Path, dtype: int) -> Path:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(helper.tensor_dtype_to_np_dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "g",
        [helper.make_tensor_value_info("x", dtype, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", dtype, [1, 4, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(("dtype", "tolerance"), [(TensorProto.FLOAT, 1e-5), (TensorProto.FLOAT16, 1e-2)])
def test_sources_of_both_widths_are_compared(tmp_path: Path, dtype: int, tolerance: float) -> None:
    report = compile_model(_model(tmp_path / "net.onnx", dtype), CompileOptions(device="rpi4", scheme="fp32")).report
    check = report.checks.float_vs_source
    assert check is not None, report.checks.notes
    assert check.passed
    assert check.max_rel_to_range is not None
    assert 0 < check.max_rel_to_range < tolerance


def test_a_wrong_translation_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _model(tmp_path / "net.onnx", TensorProto.FLOAT)
    where = "edgec.driver.verification.outputs_in_source_layout"
    monkeypatch.setattr(where, lambda a, m: [1.01 * x for x in outputs_in_source_layout(a, m)])
    with pytest.raises(TranslationFault) as caught:
        compile_model(path, CompileOptions(device="rpi4", scheme="fp32"))
    message = str(caught.value)
    assert message.startswith("Checking the translation of 'net.onnx': output 'y' departs from onnxruntime ")
    assert message.endswith("please report it (--no-check compiles all the same).")


@pytest.mark.parametrize("where", ["__init__", "run_raw"])
def test_a_float_module_that_does_not_run_is_no_failure_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeFailure("running a model of 9 bytes in LiteRT: node 3 failed to prepare")

    path = _model(tmp_path / "net.onnx", TensorProto.FLOAT)
    monkeypatch.setattr(f"edgec.driver.runner.ArtifactRunner.{where}", fail)
    with pytest.raises(TranslationFault) as caught:
        compile_model(path, CompileOptions(device="rpi4", scheme="fp32"))
    assert str(caught.value) == (
        "Checking the translation of 'net.onnx': the float module that was made of it does not run in LiteRT, please "
        "report it: running a model of 9 bytes in LiteRT: node 3 failed to prepare"
    )


def test_a_source_that_does_not_run_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeFailure("running 'net.onnx' in onnxruntime: killed by signal 11")

    path = _model(tmp_path / "net.onnx", TensorProto.FLOAT)
    monkeypatch.setattr("edgec.driver.source_runtimes.OnnxRuntime.run", fail)
    checks = compile_model(path, CompileOptions(device="rpi4", scheme="fp32")).report.checks
    assert checks.float_vs_source is None
    assert (
        "the source model could not be compared: running 'net.onnx' in onnxruntime: killed by signal 11" in checks.notes
    )


def _sums_around_reshapes(path: Path) -> Path:
    """A sum whose reshape is summed again before the sum itself is read, as in blocks of tokens on a grid."""
    bias = np.random.default_rng(0).standard_normal(8).astype(np.float32)
    nodes = [
        helper.make_node("Softmax", ["x"], ["a"], axis=-1),
        helper.make_node("Reshape", ["a", "rows"], ["a_rows"]),
        helper.make_node("Softmax", ["a_rows"], ["b_rows"], axis=-1),
        helper.make_node("Reshape", ["b_rows", "grid"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Reshape", ["sum", "rows"], ["sum_rows"]),
        helper.make_node("Add", ["sum_rows", "bias"], ["moved"]),
        helper.make_node("Softmax", ["moved"], ["c"], axis=-1),
        helper.make_node("Mul", ["c", "bias"], ["c_rows"]),
        helper.make_node("Reshape", ["c_rows", "grid"], ["d"]),
        helper.make_node("Add", ["sum", "d"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 4, 8]) for name in "xy"]
    constants = {"rows": np.array([1, 16, 8]), "grid": np.array([1, 4, 4, 8]), "bias": bias}
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_buffers_that_the_runtime_overwrites_are_no_fault_of_the_translation(tmp_path: Path) -> None:
    options = CompileOptions(device="rpi4", scheme="fp32")
    result = compile_model(_sums_around_reshapes(tmp_path / "net.onnx"), options)
    checks, x = result.report.checks, np.random.default_rng(1).standard_normal((1, 4, 4, 8)).astype(np.float32)
    assert checks.float_vs_source is not None
    assert checks.float_vs_source.passed
    shared, apart = (
        LiteRTSession(result.artifact, xnnpack=False, keep_intermediates=keep).run([x])[0] for keep in (False, True)
    )
    overwritten = bool(np.abs(shared - apart).max() > 1e-3)
    assert overwritten == any(note.message == OVERWRITTEN for note in result.report.diagnostics)
    np.testing.assert_allclose(LiteRTSession(result.artifact).run([x])[0], apart, atol=1e-5)


@pytest.mark.parametrize(("value", "off", "passed"), [(0.46, 1e-5, True), (0.46, 1e-2, False), (0.0, 1e-7, True)])
def test_a_constant_output_is_held_against_its_magnitude(value: float, off: float, passed: bool) -> None:
    reference, actual = [np.full((1, 4), value, np.float32)], [np.full((1, 4), value + off, np.float32)]
    check = compare_runs(lambda _: reference, lambda _: actual, [{}], ["y"], name="reference", tolerance=1e-3)
    assert check.passed is passed


def test_a_loaded_profile_is_a_device(tmp_path: Path) -> None:
    options = CompileOptions(device=load_device("rpi4"), scheme="fp32")
    assert compile_model(_model(tmp_path / "net.onnx", TensorProto.FLOAT), options).report.device.name == "rpi4"


@pytest.mark.parametrize(
    ("differing", "passed"), [(0, True), (1, True), (3, False)], ids=["none", "one tie in 2000", "too many"]
)
def test_integer_outputs_may_differ_where_two_tie(differing: int, passed: bool) -> None:
    want = np.arange(2000, dtype=np.int64) % 7
    have = want.copy()
    have[:differing] = 6
    check = compare_runs(lambda _: [want], lambda _: [have], [{}], ["y"], name="reference", tolerance=1e-3)
    assert check.passed is passed
    assert check.outputs[0].differing_share == differing / 2000


@pytest.mark.parametrize(("ours", "passed"), [(-np.inf, True), (np.finfo(np.float32).min, True), (0.0, False)])
def test_the_same_infinity_is_no_departure(ours: float, passed: bool) -> None:
    want, have = np.array([[1.0, 2.0, -np.inf]], np.float32), np.array([[1.0, 2.0, ours]], np.float32)
    check = compare_runs(lambda _: [want], lambda _: [have], [{}], ["y"], name="reference", tolerance=1e-3)
    assert check.passed is passed
    assert not check.finite
