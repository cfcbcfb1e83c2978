"""Dimensions that stay open in the artifact: run at sizes nobody compiled for, or refused with the op's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

from edgec.driver import CompileOptions, CompileResult, compile_model
from edgec.driver.open_axes import OpenAxes
from edgec.driver.open_rewrite import SizeDependence, open_up
from edgec.driver.open_signatures import at_sizes
from edgec.errors import ImportFailure, LoweringError
from edgec.frontends.tflite import read_tflite
from edgec.ir.graph import Module
from edgec.ir.parser import parse_module
from edgec.ops import OP_DEFS
from edgec.runtime.litert import LiteRTSession

Entries = Sequence[int | str]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write(
    path: Path, nodes: list[NodeProto], inputs: dict[str, Entries], outputs: list[str], **constants: np.ndarray
) -> Path:
    infos = [
        helper.make_tensor_value_info(n, TensorProto.INT64 if n.startswith("ids") else TensorProto.FLOAT, dims)
        for n, dims in inputs.items()
    ]
    graph = helper.make_graph(
        nodes, "g", infos, [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def classifier(path: Path) -> Path:
    """Two convolutions and a flatten in front of a linear layer: sizes are fixed, the batch is open."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Reshape", ["r", "rows"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fw"], ["y"]),
        helper.make_node("Reshape", ["r", "columns"], ["z"]),
    ]
    rows, columns = np.array([-1, 8 * 64], np.int64), np.array([0, 8, -1], np.int64)
    return write(
        path, nodes, {"x": ["N", 3, 16, 16]}, ["y", "z"], w=numbers(8, 3, 3, 3), b=numbers(8), rows=rows,
        columns=columns, fw=numbers(8 * 64, 5),
    )  # fmt: skip


def pyramid(path: Path) -> Path:
    """Down by a strided convolution and up again onto a skip, then a global mean: height and width are open."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["c", "v"], ["d"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Resize", ["d", "", "scales"], ["u"], coordinate_transformation_mode="asymmetric",
                         nearest_mode="floor"),
        helper.make_node("Add", ["u", "c"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["g"]),
        helper.make_node("Mul", ["a", "g"], ["y"]),
    ]  # fmt: skip
    return write(
        path, nodes, {"x": ["N", 3, "H", "W"]}, ["y"], w=numbers(8, 3, 3, 3), b=numbers(8), v=numbers(8, 8, 3, 3),
        scales=np.array([1, 1, 2, 2], np.float32),
    )  # fmt: skip


def attention(path: Path) -> Path:
    """Self-attention of four heads, whose reshapes take batch and length from the ids' shape."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["e"]),
        helper.make_node("Shape", ["ids"], ["shape"]),
        helper.make_node("Concat", ["shape", "split"], ["heads"], axis=0),
        helper.make_node("Reshape", ["e", "heads"], ["h"]),
        helper.make_node("Transpose", ["h"], ["q"], perm=[0, 2, 1, 3]),
        helper.make_node("Transpose", ["h"], ["k"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["q", "k"], ["s"]),
        helper.make_node("Unsqueeze", ["mask", "axes"], ["m"]),
        helper.make_node("Add", ["s", "m"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "q"], ["o"]),
        helper.make_node("Transpose", ["o"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Concat", ["shape", "width"], ["joined"], axis=0),
        helper.make_node("Reshape", ["t", "joined"], ["y"]),
    ]
    return write(
        path, nodes, {"ids": ["B", "S"], "mask": ["B", "S"]}, ["y"], table=numbers(40, 16),
        split=np.array([4, 4], np.int64), width=np.array([16], np.int64), axes=np.array([1, 2], np.int64),
    )  # fmt: skip


def compiled(path: Path, scheme: str = "fp32", device: str = "rpi4", **shapes: Entries) -> CompileResult:
    return compile_model(path, CompileOptions(device, scheme=scheme, shapes=shapes))


def assert_runs_as_the_source(result: CompileResult, path: Path, feeds: dict[str, np.ndarray]) -> None:
    """The artifact, resized to the feeds, gives what onnxruntime gives; image inputs stand channels last in it."""
    wanted = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feeds)
    session = LiteRTSession(result.artifact)
    arrays = []
    for value in result.module.main.inputs:
        array = feeds[value.name]
        permutation = result.module.input_layout.get(value.name)
        array = array if permutation is None else np.ascontiguousarray(array.transpose(permutation))
        arrays.append(array.astype(value.dtype.numpy))
    found = session.run(arrays)
    for value, want, have in zip(result.module.main.outputs, wanted, found, strict=True):
        permutation = result.module.output_layout.get(value.name)
        want = want if permutation is None else want.transpose(permutation)
        assert have.shape == want.shape
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-4 * float(np.abs(want).max()))


def shapes_in_file(result: CompileResult) -> dict[str, list[int]]:
    main = read_tflite(result.artifact).main
    return {v.name: list(v.type.signature or v.shape) for v in (*main.inputs, *main.outputs)}


def note_of(result: CompileResult) -> str:
    return next(d.message for d in result.report.diagnostics if d.op == "open dimensions")


def test_an_open_batch_runs_at_any_size(tmp_path: Path) -> None:
    path = classifier(tmp_path / "net.onnx")
    result = compiled(path, x=["?", 3, 16, 16])
    shapes = shapes_in_file(result)
    assert shapes["x"] == [-1, 16, 16, 3]
    assert shapes["y"] == [-1, 5]
    assert shapes["z"][0] == -1
    assert [v.shape[0] for v in read_tflite(result.artifact).main.inputs] == [1]  # what is planned for
    for batch in (1, 3, 11):
        assert_runs_as_the_source(result, path, {"x": numbers(batch, 3, 16, 16, seed=batch)})
    assert result.report.artifact.inputs[0].shape == [-1, 16, 16, 3]
    assert note_of(result).startswith("x=1?,3,16,16 may be resized when run; memory and latency are those of x=1,3")
    assert "agrees with onnxruntime" in note_of(result)


def test_figures_are_those_of_the_planned_size(tmp_path: Path) -> None:
    path = classifier(tmp_path / "net.onnx")
    fixed, open_ = compiled(path), compiled(path, x=[-1, 3, 16, 16])
    assert open_.report.memory.planned_activation_bytes == fixed.report.memory.planned_activation_bytes
    assert open_.report.model.macs == fixed.report.model.macs
    four = compiled(path, x=["4?", 3, 16, 16])
    assert four.report.model.macs == 4 * (fixed.report.model.macs or 0)


def test_height_and_width_stay_open_at_odd_planned_sizes_too(tmp_path: Path) -> None:
    path = pyramid(tmp_path / "net.onnx")
    result = compiled(path, x=["?", 3, "32?", "48?"])
    assert shapes_in_file(result) == {"x": [-1, -1, -1, 3], "y": [-1, -1, -1, 8]}
    for shape in ((1, 3, 20, 30), (2, 3, 34, 18), (3, 3, 64, 64)):
        assert_runs_as_the_source(result, path, {"x": numbers(*shape)})


def test_a_shape_with_channels_last_keeps_the_right_dimensions_open(tmp_path: Path) -> None:
    result = compiled(pyramid(tmp_path / "net.onnx"), x=[1, "32?", 48, 3])
    assert shapes_in_file(result) == {"x": [1, -1, 48, 3], "y": [1, -1, 48, 8]}


def test_strided_windows_keep_their_padding_at_every_parity(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    ]
    path = write(tmp_path / "net.onnx", nodes, {"x": [1, 3, "H", "W"]}, ["y"], w=numbers(4, 3, 3, 3))
    for planned in ("24?", "25?"):
        result = compiled(path, x=[1, 3, planned, planned])
        for height, width in ((13, 14), (17, 18), (31, 20), (15, 16)):
            assert_runs_as_the_source(result, path, {"x": numbers(1, 3, height, width)})


@pytest.mark.parametrize("entries", [["?", "12?"], ["?", 12], [1, "12?"]])
def test_attention_keeps_batch_and_length_open(tmp_path: Path, entries: Entries) -> None:
    path = attention(tmp_path / "net.onnx")
    result = compiled(path, ids=entries)
    batches = (1, 4) if str(entries[0]).endswith("?") else (1,)
    lengths = (1, 5, 33) if str(entries[1]).endswith("?") else (12,)
    expected = [-1 if len(batches) > 1 else 1, -1 if len(lengths) > 1 else 12]
    assert shapes_in_file(result) == {"ids": expected, "mask": expected, "y": [*expected, 16]}
    for batch in batches:
        for length in lengths:
            ids = np.random.default_rng(1).integers(0, 40, (batch, length))
            assert_runs_as_the_source(result, path, {"ids": ids, "mask": numbers(batch, length)})


def test_quantized_artifacts_stay_open(tmp_path: Path) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=numbers(16, 3, 16, 16))
    options = CompileOptions("rpi4", scheme="w8a8", calibration=samples, shapes={"x": ["?", 3, 16, 16]})
    result = compile_model(classifier(tmp_path / "net.onnx"), options)
    session = LiteRTSession(result.artifact)
    batch = numbers(5, 16, 16, 3)
    together = session.run([batch])
    apart = [session.run([batch[i : i + 1]]) for i in range(5)]
    for index, output in enumerate(together):
        np.testing.assert_array_equal(output, np.concatenate([one[index] for one in apart]))
    assert "byte for byte with artifacts compiled for those sizes" in note_of(result)


@pytest.mark.parametrize("scheme", ["fp32", "w8a8"])
def test_a_tflite_file_stays_open(tmp_path: Path, scheme: str) -> None:
    np.savez(tmp_path / "samples.npz", x=numbers(16, 3, 16, 16))
    options = CompileOptions(
        "rpi4", scheme=scheme, calibration=tmp_path / "samples.npz", shapes={"x": ["?", 3, 16, 16]}
    )
    path = tmp_path / "open.tflite"
    path.write_bytes(compile_model(classifier(tmp_path / "net.onnx"), options).artifact)
    result = compile_model(path, CompileOptions("rpi4", shapes={"x": ["?", 16, 16, 3]}))
    assert shapes_in_file(result)["x"] == [-1, 16, 16, 3]
    assert "agrees with ai-edge-litert" in note_of(result)
    batch = numbers(6, 16, 16, 3)
    for want, have in zip(LiteRTSession(path).run([batch]), LiteRTSession(result.artifact).run([batch]), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)
    assert compile_model(path, CompileOptions("rpi4")).report.artifact.inputs[0].shape == [1, 16, 16, 3]


def test_a_tflite_file_that_states_one_shape_is_refused_by_the_op_that_does(tmp_path: Path) -> None:
    path = tmp_path / "fixed.tflite"
    path.write_bytes(compiled(classifier(tmp_path / "net.onnx")).artifact)
    with pytest.raises(SizeDependence, match=r"not read at another size: .*reshape 'z' does not take the new shape: "):
        compile_model(path, CompileOptions("rpi4", shapes={"x": ["?", 16, 16, 3]}))


def test_without_the_source_runtime_translations_are_compared(tmp_path: Path) -> None:
    options = CompileOptions("rpi4", scheme="fp32", shapes={"x": ["?", 3, 16, 16]}, check=False)
    result = compile_model(classifier(tmp_path / "net.onnx"), options)
    assert "agrees with translations for those sizes" in note_of(result)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_microcontroller_needs_every_size(tmp_path: Path) -> None:
    with pytest.raises(
        LoweringError,
        match=r"^Compiling for mcu-int8: --shape keeps dimension 0 of input 'x' open, but this target plans all memory "
        r"ahead; give --shape x=\.\.\. a size without a question mark there\.$",
    ):
        compiled(classifier(tmp_path / "net.onnx"), device="stm32l4r5", x=["?", 3, 16, 16])


def test_a_dimension_that_the_model_fixes_cannot_stay_open(tmp_path: Path) -> None:
    with pytest.raises(
        ImportFailure, match=r"--shape keeps dimension 2 of input 'x' open, but it is fixed at 16 in the model; "
    ):
        compiled(classifier(tmp_path / "net.onnx"), x=[1, 3, "16?", 16])


def test_numbers_that_follow_from_the_size_are_refused_by_name(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], start=1, end=2),
        helper.make_node("Cast", ["shape"], ["length"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["x", "length"], ["y"]),
    ]
    path = write(tmp_path / "net.onnx", nodes, {"x": ["N", "S"]}, ["y"])
    assert shapes_in_file(compiled(path, x=["?", 12])) == {"x": [-1, 12], "y": [-1, 12]}
    with pytest.raises(SizeDependence, match=r"'y' .*reads constant .*, which follows from the size\.$"):
        compiled(path, x=["?", "12?"])


def test_an_artifact_that_departs_at_another_size_names_the_first_op(tmp_path: Path) -> None:
    """SAME_LOWER pads an odd size otherwise than an even one, which no constant padding can."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["y"], auto_pad="SAME_LOWER", strides=[2, 2]),
    ]
    path = write(tmp_path / "net.onnx", nodes, {"x": [1, 3, "H", "W"]}, ["y"], w=numbers(4, 3, 3, 3))
    with pytest.raises(
        SizeDependence, match=r": as x=1,3,23,21 it computes something else than the source; the first op to differ is "
    ):
        compiled(path, x=[1, 3, "24?", "24?"])


def test_loops_are_refused(tmp_path: Path) -> None:
    a, b = Module(), Module()
    a.graphs.append(a.main)
    with pytest.raises(SizeDependence, match=r"^Trying: the model has loops or branches, "):
        open_up(a, b, "Trying")


# -- the parts ---------------------------------------------------------------------------------------------------------


def test_a_module_at_other_sizes_is_a_copy() -> None:
    module = parse_module(
        "graph @main(%x: float32[1,4,4,2]) {\n %p = max_pool_2d(%x) {filter_height = 2, filter_width = 2, "
        "stride_h = 2, stride_w = 2, padding = \"VALID\"} : float32[1,2,2,2]\n return %p\n}", OP_DEFS,
    )  # fmt: skip
    copy = at_sizes(module, {"x": (3, 9, 4, 2)}, "Trying").module
    assert copy.main.outputs[0].shape == (3, 4, 2, 2)
    assert module.main.outputs[0].shape == (1, 2, 2, 2)
    with pytest.raises(SizeDependence, match=r"^Trying: max_pool_2d 'p': a window of 2 does not fit into 1 "):
        at_sizes(module, {"x": (3, 1, 4, 2)}, "Trying")


def test_trial_sizes_differ_from_those_compiled() -> None:
    axes = OpenAxes({"x": {0: "N", 2: "H", 3: "W"}}, {"x": (1, 3, 32, 48)})
    compiled_at = [axes.planned_of, axes.first_sizes(), *axes.second_sizes()]
    trials = axes.trial_sizes()
    assert len(trials) >= 4
    assert len({tuple(trial.items()) for trial in trials}) == len(trials)
    assert all(trial not in compiled_at for trial in trials)
    assert {trial["H"] % 2 for trial in trials} == {0, 1}
    assert axes.describe() == "x=1?,3,32?,48?"
    assert axes.describe(trials[0]) == "x=2,3,29,43"
