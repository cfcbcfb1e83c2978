"""Models whose values decide whether they run: generated inputs that do not suit are no fault of the translation."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgec.driver import fitting_feeds
from edgec.driver.compile import compile_model
from edgec.driver.options import CompileOptions
from edgec.errors import RuntimeFailure


def write_compress(folder: Path, kept: int) -> Path:
    """Rows of a picture where a mask says so, declared to be `kept` of 4."""
    graph = helper.make_graph(
        [helper.make_node("Compress", ["x", "mask"], ["y"], name="rows", axis=0)],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3]),
         helper.make_tensor_value_info("mask", TensorProto.BOOL, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [kept, 3])],
    )  # fmt: skip
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def options(**more: object) -> CompileOptions:
    return CompileOptions("host", scheme="fp32", **more)  # type: ignore[arg-type]


def test_inputs_that_do_not_suit_are_left_out(tmp_path: Path) -> None:
    report = compile_model(write_compress(tmp_path, 3), options()).report
    found = report.checks.float_vs_source
    assert found is not None
    assert found.passed
    assert 0 < (found.samples or 0) < 8  # generated masks have 3 ones at times
    assert report.latency.ms is not None


def test_where_none_suits_the_report_says_that_nothing_ran(tmp_path: Path) -> None:
    report = compile_model(write_compress(tmp_path, 0), options()).report
    assert report.checks.float_vs_source is None
    assert any("generated inputs" in note and "[0, 3]" in note for note in report.checks.notes), report.checks.notes
    assert report.latency.ms is None


def test_real_samples_that_do_not_suit_are_an_error(tmp_path: Path) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.ones((2, 4, 3), np.float32), mask=np.ones((2, 4), bool))
    with pytest.raises(RuntimeFailure) as caught:
        compile_model(write_compress(tmp_path, 2), options(calibration=samples))
    message = str(caught.value)
    assert message.startswith("Checking 'net.onnx' on its calibration samples: the model does not run on all of them")
    assert "has shape [4, 3] there, the model states [2, 3]" in message


STANDING = {"start": np.int32(0), "limit": np.int32(5), "step": np.int32(0)}


def write_range(folder: Path) -> Path:
    """Three numbers from `start` on in steps of `step`, by a loop that runs until `limit`: a step of 0 never ends."""
    folder.mkdir(exist_ok=True)
    integer = [helper.make_tensor_value_info(n, TensorProto.INT32, []) for n in ("start", "limit", "step")]
    body = helper.make_graph(
        [helper.make_node("Add", ["now", "step"], ["next"]), helper.make_node("Less", ["next", "limit"], ["goes_on"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("going", TensorProto.BOOL, []),
         helper.make_tensor_value_info("now", TensorProto.INT32, [])],
        [helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("next", TensorProto.INT32, [])],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Less", ["start", "limit"], ["first"]),
         helper.make_node("Loop", ["", "first", "start"], ["last"], body=body)],
        "net", integer, [helper.make_tensor_value_info("last", TensorProto.INT32, [])],
    )  # fmt: skip
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_loop_that_does_not_end_on_generated_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting_feeds, "LOOP_SECONDS", 1.5)
    monkeypatch.setattr("edgec.driver.run_feeds.check_feeds", lambda *_: [STANDING])
    report = compile_model(write_range(tmp_path), options()).report
    assert any("a loop does not end" in note for note in report.checks.notes)
    assert report.latency.ms is None


def test_a_loop_that_ends_is_compared(tmp_path: Path) -> None:
    samples = tmp_path / "samples.npz"
    start, limit, step = np.array([[0, 4], [5, 4], [2, 1]], np.int32)
    np.savez(samples, start=start, limit=limit, step=step)
    report = compile_model(write_range(tmp_path), options(calibration=samples)).report
    assert report.checks.float_vs_source is not None
    assert report.checks.float_vs_source.identical
