"""Image decoding, resizing, cropping and colour, through Pillow; arrays stand as height, width, channel."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgec.errors import DataError

if TYPE_CHECKING:
    from edgec.data.manifest import ResizeFilter

Array = npt.NDArray[Any]
MOST_PIXELS = 1 << 26  # of a resized picture

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
IMAGE_FORMATS = ("PNG", "JPEG", "BMP")
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, the weights Pillow's "L" mode uses
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def decode_image(data: bytes | Path, where: str, formats: tuple[str, ...] = IMAGE_FORMATS) -> Array:
    """Decode one picture to uint8 [height, width, 3], RGB; grey is repeated, alpha dropped, EXIF rotation ignored.

    Raises:
        DataError: the bytes are not an 8-bit picture in one of `formats`.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data) if isinstance(data, bytes) else data, formats=formats) as image:
            if image.mode not in _EIGHT_BIT_MODES:
                raise DataError(f"decoding {where}: its pixels have mode {image.mode}, convert it to 8 bits a channel")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = str(error) if not isinstance(error, UnidentifiedImageError) else "the bytes are not recognised"
        raise DataError(f"decoding {where}: not a readable {' or '.join(formats)} picture: {reason}") from error


def resized_dims(height: int, width: int, size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width after a resize: `size` is the exact (height, width), or the short side.

    The long side is rounded down: 375x500 with short side 256 becomes 256x341.
    """
    if isinstance(size, tuple):
        return size
    if height <= width:
        return size, max(1, size * width // height)
    return max(1, size * height // width), size


def resize_image(
    image: Array, size: int | tuple[int, int], resize_filter: "ResizeFilter", where: str = "a picture"
) -> Array:
    """Resize [height, width, channel]; antialiased when shrinking (except `nearest`), dtype uint8 or float32 kept.

    Raises:
        DataError: the result would have more than `MOST_PIXELS`.
    """
    from PIL import Image

    filters = {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "area": Image.Resampling.BOX,
    }
    height, width = resized_dims(image.shape[0], image.shape[1], size)
    if height * width > MOST_PIXELS:
        raise DataError(f"resizing {where}: {height}x{width} is too large a picture; give resize a smaller size")
    if (height, width) == image.shape[:2]:
        return image

    def resize_plane(plane: Array) -> Array:
        return np.asarray(Image.fromarray(plane).resize((width, height), filters[resize_filter]))

    if image.dtype == np.uint8 and image.shape[2] == 3:
        return resize_plane(np.ascontiguousarray(image))
    planes = image if image.dtype == np.uint8 else image.astype(np.float32)
    return _each_plane(planes, resize_plane)


def _each_plane(image: Array, change: Callable[[Array], Array]) -> Array:
    return np.stack([change(np.ascontiguousarray(image[:, :, channel])) for channel in range(image.shape[2])], axis=2)


def center_crop(image: Array, size: int | tuple[int, int], where: str) -> Array:
    """Cut the centred (height, width) out; an odd rest leaves the larger margin below and right."""
    height, width = (size, size) if isinstance(size, int) else size
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise DataError(
            f"cropping {where}: the picture is {image.shape[0]}x{image.shape[1]}, smaller than the crop "
            f"{height}x{width}; resize it first or crop less"
        )
    return image[top : top + height, left : left + width]


def crop_box(image: Array, box: tuple[int, int, int, int], where: str) -> Array:
    """Cut the box (top, left, height, width) out."""
    top, left, height, width = box
    if top + height > image.shape[0] or left + width > image.shape[1]:
        raise DataError(
            f"cropping {where}: crop_box {list(box)} (top, left, height, width) reaches outside of the picture, "
            f"which is {image.shape[0]}x{image.shape[1]}"
        )
    return image[top : top + height, left : left + width]


def convert_color(image: Array, color: str, where: str) -> Array:
    """Bring [height, width, 1 or 3] (grey or RGB) to `rgb`, `bgr` (both with 3 channels) or `gray` (with 1)."""
    channels = image.shape[2]
    if channels not in (1, 3):
        raise DataError(
            f"converting {where} to {color}: it has {channels} channels, 1 or 3 are needed; leave `color` out"
        )
    if color == "gray":
        return image if channels == 1 else _luma(image)
    full = np.repeat(image, 3, axis=2) if channels == 1 else image
    return full[:, :, ::-1] if color == "bgr" else full


def _luma(image: Array) -> Array:
    if image.dtype == np.uint8:
        from PIL import Image

        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"))[:, :, None]
    return (image.astype(np.float32) @ np.array(LUMA, dtype=np.float32))[:, :, None]
