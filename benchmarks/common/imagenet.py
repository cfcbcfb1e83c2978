"""The 500 shared ImageNet pictures, decoded and cropped once, and the fixed choice of calibration pictures."""

import io
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.locations import dataset

CALIBRATION_PICTURES = 128
_SEED = 20240607


@dataclass(frozen=True)
class Pictures:
    """`pixels` [500, 224, 224, 3] uint8 RGB, centre crop 16:240 of 256x256; `labels` [500] of 0..999."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def calibration(self) -> NDArray[np.int64]:
        """Sorted indices of the 128 pictures for calibration: a seeded draw without replacement."""
        drawn = np.random.default_rng(_SEED).permutation(len(self.labels))[:CALIBRATION_PICTURES]
        return np.sort(drawn)

    @property
    def held_out(self) -> NDArray[np.int64]:
        """Indices of the pictures that are not for calibration."""
        return np.setdiff1d(np.arange(len(self.labels)), self.calibration)

    def efficientnet_inputs(self) -> NDArray[np.float32]:
        """[500, 224, 224, 3] float32, (x - 127) / 128 as EfficientNet-Lite takes them, NHWC."""
        return (self.pixels.astype(np.float32) - np.float32(127)) / np.float32(128)


def load_pictures() -> Pictures:
    """Decode the shared pictures (libjpeg through Pillow)."""
    from PIL import Image

    archive = np.load(dataset("imagenet_sample/imagenet_sample_shared_500.npz"))
    jpeg, offsets = archive["jpeg"].tobytes(), archive["offsets"]
    pictures = []
    for begin, end in itertools.pairwise(offsets):
        picture = np.asarray(Image.open(io.BytesIO(jpeg[begin:end])).convert("RGB"))
        pictures.append(picture[16:240, 16:240])
    return Pictures(np.stack(pictures), archive["labels"].astype(np.int64))
