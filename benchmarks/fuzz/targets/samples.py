"""Samples for calibration and evaluation: manifests, array files, CSV labels and pictures."""

from __future__ import annotations

import io
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np

from fuzz.case import Case
from fuzz.mutate import mutate_bytes, mutate_text

MANIFESTS = (
    'metric = "top1"\n[input]\npath = "x.npz"\narray = "x"\nlayout = "hwc"\n[input.preprocess]\nscale = 0.5\n'
    'mean = 1.0\nstd = 2.0\ndtype = "float32"\n[labels]\narray = "y"\n[select]\ncount = 2\nshuffle_seed = 1\n',
    '[input]\npath = "x.npy"\n[input.preprocess]\nreshape = [8, 8, 3]\nresize = 9\ncrop = 8\n',
    '[input]\npath = "pictures"\nglob = "**/*.png"\n[input.preprocess]\nresize = [10, 9]\ncrop = 8\ncolor = "bgr"\n'
    '[labels]\ncsv = "labels.csv"\nfile_column = "file"\ncolumn = "label"\nclasses = ["cat", "dog"]\n',
    '[input]\npath = "packed.npz"\nencoding = "png"\nbytes = "jpeg"\noffsets = "offsets"\n[select]\nindices = [0, 1]\n',
    '[input]\npath = "x.npy"\n[input.preprocess]\nwindow = {length = 2, hop = 1}\n[labels]\nfolders = true\n',
    '[inputs.image]\npath = "pictures"\n[inputs.image.preprocess]\ncrop_box = [1, 1, 8, 8]\ncolor = "gray"\n',
)
CSV = "file,label\na.png,cat\nsub/b.png,dog\n"
MAINS = ("set.toml", "x.npz", "x.npy", "packed.npz", "pictures/a.png", "pictures/c.jpg", "pictures/d.bmp", "labels.csv")
MAX_SAMPLES = 4


def _picture(kind: str, mode: str = "RGB") -> bytes:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (11, 10, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind)
    return stream.getvalue()


@cache
def corpus() -> dict[str, bytes]:
    """One intact file of each kind."""
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (3, 8, 8, 3), np.uint8)
    npz, npy, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(npz, x=images, y=np.array([0, 1, 1]))
    np.save(npy, images.astype(np.float32))
    pictures = [_picture("PNG"), _picture("PNG", "L"), _picture("PNG", "P")]
    borders = np.cumsum([0, *map(len, pictures)])
    np.savez(packed, jpeg=np.frombuffer(b"".join(pictures), np.uint8), offsets=borders)
    return {
        "x.npz": npz.getvalue(), "x.npy": npy.getvalue(), "packed.npz": packed.getvalue(), "labels.csv": CSV.encode(),
        "pictures/a.png": pictures[0], "pictures/sub/b.png": pictures[1], "pictures/c.jpg": _picture("JPEG"),
        "pictures/d.bmp": _picture("BMP"),
    }  # fmt: skip


class SamplesTarget:
    """`load_samples` and the first samples it gives, for an image input of 8x8x3."""

    name = "samples"

    def make(self, random: Random) -> Case:
        """A new case: one file changed, read by its manifest or by itself."""
        files = dict(corpus())
        text = random.choice(MANIFESTS)
        changed = random.choice(MAINS)
        if changed == "set.toml" or random.random() < 0.2:
            text = mutate_text(random, text, MANIFESTS)
        if changed != "set.toml":
            words = [b"'descr': '|O'", b"(99999999999, 8, 8, 3)", b"'<f8'", b"\x93NUMPY", b"IHDR", b"PK\x01\x02"]
            donors = [random.choice(list(files.values()))]
            files[changed] = mutate_bytes(random, files[changed], donors, words)
        files["set.toml"] = text.encode("utf-8", "surrogatepass")
        bare = changed.startswith(("x.", "packed")) and random.random() < 0.4
        main = changed if bare else "pictures/a.png" if random.random() < 0.05 else "set.toml"
        return Case(main, files, mode="folder" if random.random() < 0.1 else "file")

    def run(self, path: Path, case: Case) -> None:
        """Open the samples and take a few."""
        from edgec.data.samples import InputSpec, load_samples

        if case.mode == "folder":
            path = path.parent / "pictures" if path.name == "set.toml" else path.parent
        spec = InputSpec("image", (1, 8, 8, 3), "float32", (1, 3, 8, 8))
        samples = load_samples(path, inputs=[spec], limit=MAX_SAMPLES)
        for _ in islice(samples.iter_feeds(), MAX_SAMPLES):
            pass
