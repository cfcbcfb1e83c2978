"""External data is read only from regular files inside the model's own folder."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.errors import ImportFailure
from edgec.frontends.onnx import load_onnx

WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def _model(folder: Path, location: str, **fields: str) -> Path:
    weight = numpy_helper.from_array(WEIGHT, "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **fields}.items():
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [weight],
    )
    path = folder / "net.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.bin").write_bytes(WEIGHT.tobytes())
    inside = tmp_path / "model"
    inside.mkdir()
    (inside / "weights.bin").write_bytes(b"\0" * 8 + WEIGHT.tobytes())
    return inside


def test_data_beside_the_model_is_read(folder: Path) -> None:
    module = load_onnx(_model(folder, "weights.bin", offset="8", length="24"))
    (weight,) = (v for v in module.main.constants() if v.type.elements == 6)
    assert sorted(np.asarray(weight.array()).reshape(-1).tolist()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("location", ["../secret.bin", "sub/../../secret.bin", "", "weights.bin\0"])
def test_ways_out_are_refused(folder: Path, location: str) -> None:
    with pytest.raises(ImportFailure) as caught:
        load_onnx(_model(folder, location))
    assert str(caught.value) == (
        "Reading 'net.onnx': external data of initializer 'w' is refused: "
        f"'{location}' leads out of the model's folder."
    )


def test_absolute_paths_are_refused(folder: Path) -> None:
    with pytest.raises(ImportFailure, match=r"is refused: '/.*secret\.bin' leads out of the model's folder\.$"):
        load_onnx(_model(folder, str(folder.parent / "secret.bin")))


def test_links_that_lead_out_are_refused(folder: Path) -> None:
    (folder / "link.bin").symlink_to(folder.parent / "secret.bin")
    with pytest.raises(ImportFailure) as caught:
        load_onnx(_model(folder, "link.bin"))
    assert str(caught.value) == (
        "Reading 'net.onnx': external data of initializer 'w' is refused: "
        "'link.bin' is a link that leads out of the model's folder."
    )


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"offset": "16", "length": "24"}, "names 24 bytes at 16 of 'weights.bin', which has 32 bytes."),
        ({"offset": "8", "length": "20"}, "names 20 bytes at 8 of 'weights.bin', which has 32 bytes."),
        ({"offset": "-8", "length": "24"}, "names 24 bytes at -8 of 'weights.bin', which has 32 bytes."),
        ({"offset": "x"}, "has an offset or length that is no number."),
    ],
)
def test_places_outside_of_the_file_are_refused(folder: Path, fields: dict[str, str], end: str) -> None:
    with pytest.raises(ImportFailure) as caught:
        load_onnx(_model(folder, "weights.bin", **fields))
    assert str(caught.value) == f"Reading 'net.onnx': external data of initializer 'w' {end}"


def test_missing_data_is_named(folder: Path) -> None:
    with pytest.raises(ImportFailure, match=r"is missing: there is no file 'gone\.bin' beside the model\.$"):
        load_onnx(_model(folder, "gone.bin"))


def test_the_onnx_library_agrees_on_the_format(folder: Path) -> None:
    path = folder / "saved.onnx"
    model = onnx.load(_model(folder, "weights.bin", offset="8", length="24"))
    onnx.save(model, path, save_as_external_data=True, location="all.bin", size_threshold=0)
    (weight,) = (v for v in load_onnx(path).main.constants() if v.type.elements == 6)
    assert sorted(np.asarray(weight.array()).reshape(-1).tolist()) == [0, 1, 2, 3, 4, 5]
