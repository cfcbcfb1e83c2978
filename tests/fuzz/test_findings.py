"""What fuzzing found, once each: the input in its smallest form, and the sentence it gets now."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.tflite import serialize
from edgec.compress.dead_channels import EliminateDeadChannels
from edgec.data.samples import InputSpec, load_samples
from edgec.driver.compile import compile_model
from edgec.driver.feeds import generated_feeds
from edgec.driver.options import CompileOptions
from edgec.driver.run_feeds import too_large_to_run
from edgec.errors import (
    DataError,
    ExportFailure,
    ImportFailure,
    LoweringError,
    ParseError,
    ProfileError,
    RuntimeFailure,
)
from edgec.frontends.onnx import load_onnx, read_onnx
from edgec.ir.dtype import DType
from edgec.ir.graph import Graph, Module
from edgec.ir.parser import parse_module
from edgec.ir.types import TensorType
from edgec.ops import OP_DEFS, build
from edgec.passes.base import PassContext
from edgec.schema.writer import write_model
from edgec.target.load import load_device

SPEC = [InputSpec("image", (1, 8, 8, 3), "float32", None)]


def model(
    nodes: Sequence[Any], constants: Sequence[Any] = (), inputs: Sequence[Any] = (), functions: Sequence[Any] = ()
) -> Any:
    given = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(list(nodes), "g", list(given), outputs, list(constants))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, functions=list(functions))


def refusal(proto: Any) -> str:
    with pytest.raises(ImportFailure) as caught:
        read_onnx(proto.SerializeToString(), "m.onnx")
    return str(caught.value)


def external(name: str, location: str, shape: tuple[int, ...] = (2, 3), dtype: int = TensorProto.FLOAT) -> Any:
    tensor = TensorProto(name=name, data_type=dtype, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


@pytest.mark.parametrize("inside", ["attribute", "branch"])
def test_external_data_of_inner_tensors_is_read_beside_the_model_only(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnx's own reader looks for it in the working directory."""
    data = np.arange(6, dtype=np.float32)
    folder, elsewhere = tmp_path / "model", tmp_path / "elsewhere"
    for path, values in ((folder, data), (elsewhere, data + 100)):
        path.mkdir()
        (path / "w.bin").write_bytes(values.tobytes())
    monkeypatch.chdir(elsewhere)

    def written(location: str) -> Path:
        tensor = external("w", location)
        if inside == "attribute":
            nodes = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"])]
            proto = model(nodes)
        else:
            outputs = [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)]
            branch = helper.make_graph([helper.make_node("Add", ["x", "w"], ["o"])], "b", [], outputs, [tensor])
            condition = numpy_helper.from_array(np.array(True), "c")
            proto = model([helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], [condition])
        (folder / "m.onnx").write_bytes(proto.SerializeToString())
        return folder / "m.onnx"

    (weight,) = (v for v in load_onnx(written("w.bin")).main.constants() if v.type.elements == 6)
    assert weight.array().reshape(-1).tolist() == data.tolist()
    with pytest.raises(ImportFailure, match=r"is refused: '\.\./elsewhere/w\.bin' leads out of the model's folder\.$"):
        load_onnx(written("../elsewhere/w.bin"))


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (external("w", "a" * 5000), "is no path (File name too long)"),
        (external("w", "loop.bin"), "is no path"),
        (external("w", "w.bin", dtype=77), "is of element type 77, which ONNX does not have"),
        (external("w", "w.bin", (0, 1 << 62)), "cannot be mapped"),
    ],
    ids=["long", "circle", "type", "shape"],
)
def test_odd_external_data(tensor: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(24))
    (tmp_path / "loop.bin").symlink_to("loop.bin")
    path = tmp_path / "m.onnx"
    path.write_bytes(model([helper.make_node("Add", ["x", "w"], ["y"])], [tensor]).SerializeToString())
    with pytest.raises(ImportFailure) as caught:
        load_onnx(path)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_tensor_attribute_without_a_type() -> None:
    node = helper.make_node("ConstantOfShape", ["s"], ["y"], value=TensorProto(dims=[1]))
    said = refusal(model([node], [numpy_helper.from_array(np.array([2, 3]), "s")]))
    assert "ConstantOfShape" in said


def test_a_map_over_something_that_is_no_sequence() -> None:
    """onnx's inliner crashes on it."""
    body = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["o"])], "body",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "ab"],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
    )  # fmt: skip
    assert "SequenceMap" in refusal(model([helper.make_node("SequenceMap", ["x", "x"], ["y"], body=body)]))


@pytest.mark.parametrize("version", [-1, 0, 1 << 40])
def test_a_function_of_an_opset_that_is_none(version: int) -> None:
    node = helper.make_node("Neg", ["a"], ["b"])
    function = helper.make_function("local", "F", ["a"], ["b"], [node], [helper.make_opsetid("", 1)])
    function.opset_import[0].version = version
    refusal(model([helper.make_node("F", ["x"], ["y"], domain="local")], functions=[function]))


def test_a_function_in_a_model_of_an_opset_beyond_32_bits() -> None:
    node = helper.make_node("Mul", ["a", "a"], ["r"])
    function = helper.make_function("local", "Square", ["a"], ["r"], [node], [helper.make_opsetid("", 17)])
    proto = model([helper.make_node("Square", ["x"], ["y"], domain="local")], functions=[function])
    proto.opset_import[0].version = -(1 << 31) - 1
    assert "it uses opset -2147483649; edgec reads" in refusal(proto)


def test_a_number_of_five_thousand_digits_in_the_text_form() -> None:
    text = f"graph @main(%x: float32[{'9' * 5000}]) {{\n  return %x\n}}\n"
    with pytest.raises(ParseError, match="line 1: a number has more digits than any value could"):
        parse_module(text, OP_DEFS)


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 5000, "x = " + "9" * 5000, '[input]\npath = "pictures"\nglob = "a**/*.png"\n'],
    ids=["nested", "digits", "glob"],
)  # fmt: skip
def test_odd_manifests(text: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "set.toml").write_text(text)
    with pytest.raises(DataError):
        load_samples(tmp_path / "set.toml", inputs=SPEC)


def test_an_array_header_that_does_not_end(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'shape': (1, \0\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"x\.npy"):
        load_samples(tmp_path / "x.npy", inputs=SPEC)


@pytest.mark.parametrize("key", ["extends", "target"])
def test_a_profile_that_names_what_no_file_can_be_called(key: str, tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(f'{key} = "{"[" * 5000}"\n')
    with pytest.raises(ProfileError) as caught:
        load_device(tmp_path / "d.toml")
    assert len(str(caught.value)) < 2000


def test_a_tflite_without_outputs_is_not_compiled(tmp_path: Path) -> None:
    tensor = {"shape": [1], "type": "FLOAT32", "buffer": 0, "name": "x"}
    tree = {"version": 3, "subgraphs": [{"tensors": [tensor], "inputs": [0]}], "buffers": [{"data": None}]}
    (tmp_path / "m.tflite").write_bytes(write_model(tree))
    with pytest.raises((LoweringError, RuntimeFailure)):
        compile_model(tmp_path / "m.tflite", CompileOptions(device="pixel4"))


def test_a_model_on_which_litert_aborts_ends_its_child_only(tmp_path: Path) -> None:
    """LiteRT 2.3 aborts on a comparison of int8 values that carry no scale."""
    given = [helper.make_tensor_value_info("x", TensorProto.INT8, [3, 4])]
    proto = model([helper.make_node("ThresholdedRelu", ["x"], ["y"])], inputs=given)
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises((RuntimeFailure, ImportFailure)):
        compile_model(path, CompileOptions(device="pixel4", scheme="fp32"))


def test_a_large_input_is_not_made_eight_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.driver.feeds.FEEDS_BYTES", 1 << 20)
    for elements, count in ((100, 8), (100 << 10, 2), (1 << 20, 1)):
        graph = Graph("main")
        graph.outputs = [graph.add_input("x", TensorType((1, elements), DType.FLOAT32))]
        assert len(generated_feeds(Module([graph]), count=8)) == count


@pytest.mark.parametrize(
    ("mebi_elements", "source_bytes", "said"),
    [
        (100, None, None),
        (300, None, "1.2 GiB"),
        (100, 219, "0.4 GiB of inputs and results at once are too much here for a model of 219 bytes"),
        (100, 1 << 20, None),
        (300, 1 << 30, "1.2 GiB"),
        (40, 219, None),
    ],
)
def test_a_model_of_gigabytes_is_not_run(mebi_elements: int, source_bytes: int | None, said: str | None) -> None:
    graph = Graph("main")
    graph.outputs = [graph.add_input("x", TensorType((1, mebi_elements << 20), DType.FLOAT32))]
    why = too_large_to_run(Module([graph]), source_bytes)
    assert why is None if said is None else said in str(why)


def test_numbers_beyond_64_bits_in_an_attribute() -> None:
    graph = Graph("main")
    x = graph.add_input("x", TensorType((2, 3), DType.FLOAT32))
    result = build(graph).emit("reshape", [x, build(graph).ints([3, 2])], new_shape=(3, 2))
    graph.outputs = [result]
    assert result.producer is not None
    result.producer.attributes["new_shape"] = (1 << 70, 2)
    with pytest.raises(ExportFailure, match=r"ReshapeOptions\.new_shape: not all elements are int32"):
        serialize(Module([graph]))


def test_dead_channels_of_an_absurd_width_are_not_looked_for() -> None:
    graph = Graph("main")
    x = graph.add_input("x", TensorType((1, 1, 1, 1 << 24), DType.FLOAT32))
    graph.outputs = [build(graph).emit("relu", [x])]
    start = time.process_time()
    assert not EliminateDeadChannels().run(Module([graph]), PassContext(None)).changed
    assert time.process_time() - start < 1


def test_a_zip_bomb_called_keras(tmp_path: Path) -> None:
    from edgec.frontends.tensorflow.worker import keras_config, keras_file, refusal

    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(100 << 20))
    with pytest.raises(refusal.Refusal, match="unpacks to"):
        keras_file.checked_keras(tmp_path / "m.keras")
    with pytest.raises(refusal.Refusal, match="reads its words from a file"):
        keras_config.refuse_code({"class_name": "StringLookup", "config": {"name": "l", "vocabulary": "/etc/passwd"}})


def test_a_diagonal_that_is_a_matrix() -> None:
    proto = model([helper.make_node("Trilu", ["x", "k"], ["y"])], inputs=[
        helper.make_tensor_value_info("x", TensorProto.INT64, [4, 1 << 24]),
        helper.make_tensor_value_info("k", TensorProto.INT64, [4, 1 << 24]),
    ])  # fmt: skip
    assert "its diagonal 'k' has shape [4, 16777216], it must be one number" in refusal(proto)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (f'path = "{"x" * 300}.npy"', "File name too long"),
        ('path = "x.npy"\n[input.preprocess]\nresize = 9999999999', "is too large a picture"),
        ('path = "x.npy"\n[input.preprocess]\nresize = [60000, 60000]', "60000x60000 is too large a picture"),
    ],
)
def test_absurd_sizes_in_manifests(tmp_path: Path, table: str, reason: str) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 9, 9, 3), np.uint8))
    manifest = tmp_path / "set.toml"
    manifest.write_text(f"[input]\n{table}\n")
    with pytest.raises(DataError, match=reason):
        load_samples(manifest, inputs=SPEC)


def test_a_message_is_never_longer_than_a_page() -> None:
    sizes = [*range(1, 20), "a" * 100_000]
    proto = model(
        [helper.make_node("Relu", ["x"], ["y"])], inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)]
    )
    message = refusal(proto)
    assert len(message) < 4100
    assert message.startswith("Reading 'm.onnx': input 'x': dimension 19 is 'aaa")
    assert message.endswith("(sizes of your own).")


def test_a_column_without_a_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8, 3), np.float32))
    (tmp_path / "labels.csv").write_text("file,label\na,0\nb,1\n")
    (tmp_path / "set.toml").write_text(
        '[input]\npath = "x.npy"\n[labels]\npath = "labels.csv"\ncolumn = ""\n[metric]\nkind = "top1"\n'
    )
    with pytest.raises(DataError):
        load_samples(tmp_path / "set.toml", inputs=SPEC)
