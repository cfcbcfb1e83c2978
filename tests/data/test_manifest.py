"""The manifest: what it accepts, and the sentence it refuses the rest with."""

import re
from pathlib import Path

import pytest

from edgec.data.manifest import InputSource, LabelSource, Manifest, Preprocess, Selection, Window, load_manifest
from edgec.errors import DataError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "m.toml"
    path.write_text(text)
    return path


def refusal(tmp_path: Path, text: str) -> str:
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        load_manifest(path)
    message = str(caught.value)
    prefix = f"reading manifest '{path}': "
    assert message.startswith(prefix)
    return message.removeprefix(prefix)


def test_full_manifest(tmp_path: Path) -> None:
    manifest = load_manifest(
        written(
            tmp_path,
            """
            metric = "top5"
            [input]
            path = "p.npz"
            encoding = "jpeg"
            bytes = "raw"
            offsets = "borders"
            [input.preprocess]
            resize = 256
            resize_filter = "bicubic"
            crop = [224, 200]
            color = "bgr"
            mean = [1, 2.5, 3]
            std = 58
            [select]
            shuffle_seed = 3
            count = 10
            [labels]
            array = "y"
            offset = 1
            """,
        )
    )
    assert manifest.input is not None
    assert (manifest.input.bytes_array, manifest.input.offsets) == ("raw", "borders")
    steps = manifest.input.preprocess
    assert (steps.resize, steps.crop, steps.mean, steps.std) == (256, (224, 200), (1.0, 2.5, 3.0), 58.0)
    assert manifest.labels is not None
    assert (manifest.metric, manifest.select.count, manifest.labels.offset) == ("top5", 10, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[input]\npath = "a.npz"\n[input.preprocess]\nresize = "big"',
            "key 'input.preprocess.resize' is 'big', allowed: the short side in pixels, a whole number from 1, "
            "or [height, width]",
        ),
        (
            '[input]\npath = "a.npz"\n[input.preprocess]\nresize = [224]',
            "key 'input.preprocess.resize' is [224], allowed: the short side in pixels, a whole number from 1, "
            "or [height, width]",
        ),
        (
            'metric = "f1"\n[input]\npath = "a.npz"',
            "key 'metric' is 'f1', allowed: one of \"top1\", \"top5\", \"auc\", \"mean_error\", \"reconstruction_auc\"",
        ),
        (
            '[input]\npath = "a.npz"\n[input.preprocess]\nresise = 3',
            "key 'input.preprocess.resise' is unknown, allowed keys: color, crop, crop_box, dtype, mean, reshape, "
            "resize, resize_filter, scale, std, window",
        ),
        (
            "[input]\nglob = 3",
            "key 'input.path' is missing, needed: a .npz or .npy file or a folder of images, relative to the manifest; "
            "key 'input.glob' is 3, allowed: a pattern inside the folder, like \"**/*.png\"",
        ),
        (
            '[input]\npath = "a"\nencoding = "jpeg"\nbytes = 3',
            "key 'input.bytes' is 3, allowed: the name of the uint8 array that holds all encoded images joined",
        ),
        (
            '[input]\npath = "a.npz"\n[input.preprocess]\nstd = [1, 0, 1]',
            "key 'input.preprocess.std' is [1, 0, 1], allowed: a number above 0, "
            "or a list of one such number per channel",
        ),
        (
            '[input]\npath = "a.npz"\n[input.preprocess]\nmean = nan',
            "key 'input.preprocess.mean' is nan, allowed: a finite number, or a list of one number per channel, "
            "in the units after `scale`",
        ),
        ('[select]\ncount = true\n[input]\npath = "a"', "key 'select.count' is True, allowed: a whole number from 1"),
        (
            '[inputs.a]\npath = "a"\narray = 1',
            "key 'inputs.a.array' is 1, allowed: the name of an array in the .npz file",
        ),
        (
            '[input]\npath = "a"\n[select]\nindices = [1]\ncount = 1',
            "in 'select', indices cannot be combined with count",
        ),
        ("description = 'x'", "exactly one of [input] and [inputs.NAME] tables must be given"),
        ('metric = "auc"\n[input]\npath = "a"', 'metric "auc" needs a [labels] table'),
        (
            '[input]\npath = "a"\n[labels]\narray = "y"\ncsv = "l.csv"',
            "in 'labels', exactly one of array (or path), csv and folders = true must be given",
        ),
        (
            '[input]\npath = "a"\n[input.preprocess]\ncrop_box = [0, -1, 4, 4]',
            "in 'input.preprocess', crop_box is [0, -1, 4, 4], top and left must be at least 0, "
            "height and width at least 1",
        ),
        (
            '[input]\npath = "a"\nbytes = "b"',
            "in 'input', bytes and offsets need encoding, one of \"jpeg\", \"png\", \"bmp\"",
        ),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text) == message


def test_not_toml(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[input").startswith("it is not valid TOML: ")


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(DataError) as caught:
        load_manifest(path)
    assert str(caught.value) == f"reading manifest '{path}': No such file or directory; give a TOML file's path"


@pytest.mark.parametrize("page", ["docs/calibration-data.md", "calibration/README.md"])
def test_manifests_in_the_documentation_load(tmp_path: Path, page: str) -> None:
    text = (Path(__file__).resolve().parents[2] / page).read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```toml\n")[1:]]
    assert blocks
    for block in blocks:
        assert load_manifest(written(tmp_path, block)).metric == "top1"


def test_every_key_is_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/calibration-data.md").read_text(encoding="utf-8")
    for table in (Manifest, InputSource, Preprocess, Window, Selection, LabelSource):
        for name in table.model_fields:
            key = "bytes" if name == "bytes_array" else name
            named = re.search(rf"[`\[.]{key}\b|\b{key} = ", page)
            assert named, f"{table.__name__}.{key} is not documented"
