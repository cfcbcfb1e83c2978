"""Sample sets: bare files, manifests, selection, labels, streaming, and what is refused."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgec.data.manifest import Selection
from edgec.data.samples import InputSpec, SampleSet, load_samples, selected
from edgec.errors import DataError

VECTOR = InputSpec("x", (1, 2))
PICTURE = InputSpec("image", (1, 4, 5, 3), source_shape=(1, 3, 4, 5))


def values(samples: SampleSet) -> list[list[float]]:
    return [next(iter(feeds.values())).reshape(-1).tolist() for feeds in samples.iter_feeds()]


def refusal(spec: Path, *inputs: InputSpec) -> str:
    with pytest.raises(DataError) as caught:
        list(load_samples(spec, inputs=inputs or (VECTOR,)).iter_feeds())
    return str(caught.value)


def manifest(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "set.toml"
    path.write_text(text)
    return path


def save_picture(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (5, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def test_bare_npz_takes_x(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", y=np.zeros((3, 2)), x=np.array([[1, 2], [3, 4]], dtype=np.float64))
    samples = load_samples(tmp_path / "a.npz", inputs=[VECTOR])
    feeds = list(samples.iter_feeds())
    assert [(feed["x"].dtype.name, feed["x"].shape) for feed in feeds] == [("float32", (1, 2))] * 2
    assert values(samples) == [[1, 2], [3, 4]]
    assert samples.labels is None
    assert samples.notes == ()


def test_bare_npz_without_x_takes_the_first_array(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", mfcc=np.array([[5.0, 6.0]]), extra=np.zeros((4, 2)))
    assert values(load_samples(tmp_path / "a.npz", inputs=[VECTOR])) == [[5, 6]]


def test_bare_npz_for_two_inputs_goes_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", left=np.array([[1.0, 2.0]]), right=np.array([[3.0]]))
    inputs = [InputSpec("right", (1, 1)), InputSpec("left", (1, 2))]
    (feed,) = load_samples(tmp_path / "a.npz", inputs=inputs).iter_feeds()
    assert {name: array.tolist() for name, array in feed.items()} == {"right": [[3.0]], "left": [[1.0, 2.0]]}
    assert refusal(tmp_path / "a.npz", inputs[0], InputSpec("up", (1, 1))) == (
        f"loading samples from '{tmp_path / 'a.npz'}': the model has 2 inputs (right, up); "
        "give a .npz file with an array for each by that name, or a manifest with [inputs.NAME] tables"
    )


def test_integers_are_cast_unscaled_and_noted(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 255]], dtype=np.uint8))
    samples = load_samples(tmp_path / "a.npy", inputs=[VECTOR])
    assert values(samples) == [[0.0, 255.0]]
    assert samples.notes == (
        "input 'x' takes uint8 values unscaled as float32 (the first sample spans 0 to 255); "
        "for another range, give scale, mean and std in a manifest",
    )


def test_a_stated_range_needs_no_note(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[0, 255]], dtype=np.uint8))
    path = manifest(tmp_path, '[input]\npath = "a.npy"\npreprocess = { scale = 1.0 }')
    assert load_samples(path, inputs=[VECTOR]).notes == ()


def test_source_layout_is_transposed_and_noted(tmp_path: Path) -> None:
    rows = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    np.save(tmp_path / "a.npy", rows)
    samples = load_samples(tmp_path / "a.npy", inputs=[PICTURE])
    feeds = [feed["image"] for feed in samples.iter_feeds()]
    np.testing.assert_array_equal(np.concatenate(feeds), rows.transpose(0, 2, 3, 1))
    assert samples.notes == (
        "samples of shape (3, 4, 5) stand in the source's layout and are transposed for input 'image'",
    )


def test_ambiguous_layout_is_the_artifacts_and_noted(tmp_path: Path) -> None:
    cube = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    np.save(tmp_path / "a.npy", cube)
    samples = load_samples(tmp_path / "a.npy", inputs=[InputSpec("x", (1, 3, 3, 3), source_shape=(1, 3, 3, 3))])
    (feed,) = samples.iter_feeds()
    np.testing.assert_array_equal(feed["x"], cube)
    assert samples.notes == ("samples of shape (3, 3, 3) fit input 'x' in both layouts and are read in the artifact's",)


def test_layout_chw_settles_the_ambiguity(tmp_path: Path) -> None:
    cube = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    np.save(tmp_path / "a.npy", cube)
    path = manifest(tmp_path, '[input]\npath = "a.npy"\nlayout = "chw"')
    samples = load_samples(path, inputs=[InputSpec("x", (1, 3, 3, 3), source_shape=(1, 3, 3, 3))])
    (feed,) = samples.iter_feeds()
    np.testing.assert_array_equal(feed["x"], cube.transpose(0, 2, 3, 1))
    assert samples.notes == ()


def test_folder_is_read_in_path_order_and_pictures_stay_hwc(tmp_path: Path) -> None:
    save_picture(tmp_path / "b" / "1.png", (30, 0, 0))
    save_picture(tmp_path / "a" / "2.bmp", (20, 0, 0))
    save_picture(tmp_path / "a" / "1.PNG", (10, 0, 0))
    (tmp_path / "notes.txt").write_text("no picture")
    samples = load_samples(tmp_path, inputs=[PICTURE])
    assert [feed["image"][0, 0, 0].tolist() for feed in samples.iter_feeds()] == [[10, 0, 0], [20, 0, 0], [30, 0, 0]]


def test_folder_with_labels_from_folder_names(tmp_path: Path) -> None:
    for name in ("zebra/1.png", "ant/1.png", "ant/2.png"):
        save_picture(tmp_path / "pictures" / name, (1, 2, 3))
    head = 'metric = "top1"\n[input]\npath = "pictures"\nglob = "*/*.png"\npreprocess = { std = 1 }\n'
    samples = load_samples(manifest(tmp_path, head + "[labels]\nfolders = true"), inputs=[PICTURE])
    assert samples.labels is not None
    assert samples.labels.tolist() == [0, 0, 1]
    folder = (tmp_path / "pictures").resolve()
    assert samples.notes == (
        f"2 class names from the folder names in '{folder}' are numbered in sorted order, from 'ant' = 0 to "
        "'zebra' = 1; give labels.classes if the model's outputs are in another order",
    )
    named = manifest(tmp_path, head + '[labels]\nfolders = true\noffset = 1\nclasses = ["zebra", "cow", "ant"]')
    samples = load_samples(named, inputs=[PICTURE])
    assert samples.labels is not None
    assert samples.labels.tolist() == [3, 3, 1]
    assert samples.notes == ()


def test_csv_labels_by_file_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        save_picture(tmp_path / "pictures" / name, (1, 2, 3))
    (tmp_path / "l.csv").write_text("file,class\nb.png,7\na.png,4\n")
    text = '[input]\npath = "pictures"\n[labels]\ncsv = "l.csv"\ncolumn = "class"\nfile_column = "file"'
    labels = load_samples(manifest(tmp_path, text), inputs=[PICTURE]).labels
    assert labels is not None
    assert labels.tolist() == [4, 7]
    (tmp_path / "l.csv").write_text("file,class\nb.png,7\n")
    assert refusal(manifest(tmp_path, text), PICTURE) == (
        f"reading labels from '{tmp_path / 'l.csv'}': no row for picture 'a.png'"
    )
    (tmp_path / "l.csv").write_text("file,class\nb.png,7\na.png,cat\n")
    assert refusal(manifest(tmp_path, text), PICTURE) == (
        f"reading labels from column 'class' of '{tmp_path / 'l.csv'}': sample 1 has label '7' among class names; "
        "give every sample a name, or every sample a number"
    )
    assert refusal(manifest(tmp_path, text.replace('"class"', '"label"')), PICTURE) == (
        f"reading labels from '{tmp_path / 'l.csv'}': no column 'label' among file, class"
    )


def test_packed_pictures(tmp_path: Path) -> None:
    parts = []
    for red in (10, 200):
        buffer = io.BytesIO()
        Image.new("RGB", (5, 4), (red, 0, 0)).save(buffer, format="PNG")
        parts.append(buffer.getvalue())
    offsets = np.array([0, len(parts[0]), len(parts[0]) + len(parts[1])])
    joined = np.frombuffer(b"".join(parts), dtype=np.uint8)
    np.savez(tmp_path / "p.npz", raw=joined, borders=offsets, y=np.array([1, 0]))
    text = '[input]\npath = "p.npz"\nencoding = "png"\nbytes = "raw"\noffsets = "borders"\n[labels]\narray = "y"'
    samples = load_samples(manifest(tmp_path, text), inputs=[PICTURE])
    assert [feed["image"][0, 0, 0, 0] for feed in samples.iter_feeds()] == [10, 200]
    assert samples.labels is not None
    assert samples.labels.tolist() == [1, 0]
    np.savez(tmp_path / "p.npz", raw=joined, borders=offsets[::-1].copy(), y=np.array([1, 0]))
    assert "array 'borders'" in refusal(manifest(tmp_path, text), PICTURE)


def test_selection() -> None:
    def chosen(**keys: object) -> tuple[int, ...]:
        return selected(Selection.model_validate(keys), 10, Path("a"))

    assert chosen() == tuple(range(10))
    assert chosen(start=1, stride=4) == (1, 5, 9)
    assert chosen(start=1, stride=4, count=2) == (1, 5)
    assert chosen(indices=[7, 0, 7]) == (7, 0, 7)
    first, rest = chosen(shuffle_seed=5, count=4), chosen(shuffle_seed=5, start=4)
    assert sorted(first + rest) == list(range(10))
    assert first == tuple(sorted(first))
    assert first == (2, 4, 6, 7)  # fixed for ever: SHA-256 of "5:position" decides
    assert chosen(shuffle_seed=6, count=4) != first


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"indices": [3, 10]}, "selecting samples of 'a': select.indices names 10, allowed: 0 to 9"),
        ({"start": 10}, "selecting samples of 'a': select.start is 10, allowed: 0 to 9"),
        (
            {"start": 2, "stride": 3, "count": 4},
            "selecting samples of 'a': select.count is 4, start 2 and stride 3 leave 3 of 10; ask for fewer",
        ),
    ],
)
def test_selection_beyond_the_data(keys: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        selected(Selection.model_validate(keys), 10, Path("a"))
    assert str(caught.value) == message


def test_limit_is_spread_evenly(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(20.0).reshape(10, 2))
    assert load_samples(tmp_path / "a.npy", inputs=[VECTOR], limit=4).positions == (0, 2, 5, 7)
    assert len(load_samples(tmp_path / "a.npy", inputs=[VECTOR], limit=99)) == 10


@pytest.mark.parametrize("order", [np.ascontiguousarray, np.asfortranarray], ids=["c", "fortran"])
def test_npz_rows_in_any_order(tmp_path: Path, order: object) -> None:
    rows = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    assert callable(order)
    np.savez_compressed(tmp_path / "a.npz", x=order(rows))
    indices = [299, 0, 150, 150, *range(200, 80, -1)]
    path = manifest(tmp_path, f'[input]\npath = "a.npz"\n[select]\nindices = {indices}')
    got = np.array(values(load_samples(path, inputs=[VECTOR])), dtype=np.float32)
    np.testing.assert_array_equal(got, rows[indices])


def test_a_large_npz_is_streamed(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((500, 64 * 1024), dtype=np.uint8))  # 32 MB once unpacked
    samples = load_samples(tmp_path / "a.npz", inputs=[InputSpec("x", (1, 64 * 1024))])
    tracemalloc.start()
    assert sum(1 for _ in samples.iter_feeds()) == 500
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 12e6  # 64 rows of 64 KiB twice, and a feed


def test_fingerprint_follows_content_not_the_file(tmp_path: Path) -> None:
    rows = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "b.npz", x=rows, y=np.array([0, 1, 0]))
    plain = load_samples(tmp_path / "a.npy", inputs=[VECTOR]).fingerprint()
    assert load_samples(tmp_path / "b.npz", inputs=[VECTOR]).fingerprint() == plain
    labelled = manifest(tmp_path, '[input]\npath = "b.npz"\n[labels]\narray = "y"')
    assert load_samples(labelled, inputs=[VECTOR]).fingerprint() != plain
    rows[2, 1] += 1e-3
    np.save(tmp_path / "a.npy", rows)
    assert load_samples(tmp_path / "a.npy", inputs=[VECTOR]).fingerprint() != plain


def test_windows_are_several_feeds_of_one_sample(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(2, 3, 2))
    path = manifest(tmp_path, '[input]\npath = "a.npy"\npreprocess = { window = { length = 2 } }')
    samples = load_samples(path, inputs=[InputSpec("x", (1, 4))])
    assert (len(samples), samples.feed_count()) == (2, 4)
    assert values(samples) == [[0, 1, 2, 3], [2, 3, 4, 5], [6, 7, 8, 9], [8, 9, 10, 11]]


def test_iteration_starts_anew_each_time(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(4.0).reshape(2, 2))
    samples = load_samples(tmp_path / "a.npy", inputs=[VECTOR])
    next(samples.iter_feeds())
    assert values(samples) == values(samples) == [[0, 1], [2, 3]]


def test_describe(tmp_path: Path) -> None:
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 2)), y=np.array([0, 1, 0]))
    path = manifest(tmp_path, 'metric = "top1"\n[input]\npath = "b.npz"\n[select]\ncount = 2\n[labels]\narray = "y"')
    file = (tmp_path / "b.npz").resolve()
    assert load_samples(path, inputs=[VECTOR]).describe() == (
        f"2 of 3 samples from '{file}' (array 'x') for 'x' 1x2; metric top1"
    )


def test_nan_names_the_sample(tmp_path: Path) -> None:
    rows = np.zeros((5, 2))
    rows[3, 1] = np.nan
    np.savez(tmp_path / "a.npz", x=rows)
    assert refusal(tmp_path / "a.npz") == (
        f"preparing sample 3 of '{tmp_path / 'a.npz'}' (array 'x'): 1 of its 2 values are not finite (NaN); "
        "repair it or leave it out"
    )


def test_empty_sets(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 2)))
    assert refusal(tmp_path / "a.npy") == f"loading samples from '{tmp_path / 'a.npy'}': there are none in it"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refusal(empty) == (f"reading folder '{empty}': it holds no pictures, looked for .png, .jpg, .jpeg, .bmp")
    np.savez(tmp_path / "none.npz")
    assert refusal(tmp_path / "none.npz") == f"reading '{tmp_path / 'none.npz'}': the file holds no arrays"


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "a.npz", x=objects)
    tail = "it holds pickled Python objects, which are not loaded for safety; save plain numeric arrays"
    assert refusal(tmp_path / "a.npy") == f"reading '{tmp_path / 'a.npy'}': {tail}"
    assert refusal(tmp_path / "a.npz") == f"reading array 'x' of '{tmp_path / 'a.npz'}': {tail}"


def test_unreadable_files(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.npz") == (
        f"reading samples from '{tmp_path / 'none.npz'}': there is no such file or folder"
    )
    (tmp_path / "a.wav").write_bytes(b"")
    assert refusal(tmp_path / "a.wav") == (
        f"reading samples from '{tmp_path / 'a.wav'}': '.wav' files are not supported, "
        "give a .npz or .npy file or a folder of PNG, JPEG or BMP pictures"
    )
    (tmp_path / "a.npz").write_bytes(b"no zip")
    assert refusal(tmp_path / "a.npz").startswith(f"reading '{tmp_path / 'a.npz'}': it is missing, damaged or not")
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00")
    assert refusal(tmp_path / "a.npy").startswith(f"reading '{tmp_path / 'a.npy'}': it is missing, damaged or not")


def test_damaged_npz_member(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, x=np.random.default_rng(0).normal(size=(50, 2)))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF  # inside the stored rows: the checksum no longer holds
    file.write_bytes(data)
    assert refusal(file).startswith(f"reading '{file}': it is missing, damaged or not what its name says: Bad CRC-32")


def test_wrong_array_and_wrong_tables(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 2)), y=np.zeros(2, dtype=int), names=np.array(["a", "b", "c"]))
    file = (tmp_path / "a.npz").resolve()
    path = manifest(tmp_path, '[input]\npath = "a.npz"\narray = "z"')
    assert refusal(path) == f"reading '{file}': it has no array 'z', it has 'x', 'y', 'names'"
    path = manifest(tmp_path, '[input]\npath = "a.npz"\narray = "names"')
    assert refusal(path) == f"reading array 'names' of '{file}': its values have type <U1, numbers are needed"
    path = manifest(tmp_path, '[input]\npath = "a.npz"\n[labels]\narray = "y"')
    assert refusal(path) == (f"reading labels from array 'y' of '{file}': found 2 for 3 samples, one each is needed")
    path = manifest(tmp_path, '[inputs.foo]\npath = "a.npz"')
    assert refusal(path) == (
        f"reading manifest '{path}': it has [inputs] tables foo, the model's inputs are x; name exactly these"
    )
    path = manifest(tmp_path, '[input]\npath = "a.npz"')
    assert refusal(path, VECTOR, InputSpec("b", (1, 2))) == (
        f"reading manifest '{path}': [input] is for models with one input, this one has 2 (x, b); "
        "give an [inputs.NAME] table for each"
    )


def test_inputs_of_different_lengths(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros((3, 2)), b=np.zeros((4, 2)))
    assert refusal(tmp_path / "a.npz", InputSpec("a", (1, 2)), InputSpec("b", (1, 2))) == (
        f"loading samples from '{tmp_path / 'a.npz'}': the inputs have different numbers of samples: 'a' 3, 'b' 4"
    )


def test_label_below_zero(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 2)), y=np.array([4, 0]))
    path = manifest(tmp_path, '[input]\npath = "a.npz"\n[labels]\narray = "y"\noffset = -1')
    assert refusal(path) == (
        f"reading labels from array 'y' of '{(tmp_path / 'a.npz').resolve()}': sample 1 has label 0, with offset -1 "
        "it falls below 0; change labels.offset"
    )
