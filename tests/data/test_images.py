"""Pictures: decoding, resize dimensions, crops and colour, worked out by hand."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgec.data.images import center_crop, convert_color, crop_box, decode_image, resize_image, resized_dims
from edgec.errors import DataError


def encoded(pixels: np.ndarray, file_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=file_format)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("dims", "size", "expected"),
    [
        ((375, 500), 256, (256, 341)),  # 256 * 500 / 375 = 341.33
        ((500, 375), 256, (341, 256)),
        ((283, 400), 256, (256, 361)),  # 256 * 400 / 283 = 361.84, rounded down
        ((256, 256), 224, (224, 224)),
        ((100, 7), 1, (14, 1)),
        ((375, 500), (96, 96), (96, 96)),
    ],
)
def test_resized_dims(dims: tuple[int, int], size: int | tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_dims(*dims, size) == expected


def test_area_resize_averages_blocks() -> None:
    image = np.array([[0, 4, 10, 10], [4, 8, 20, 20]], dtype=np.float32)[:, :, None]
    resized = resize_image(image, (1, 2), "area")
    assert resized.dtype == np.float32
    assert resized[:, :, 0].tolist() == [[4.0, 15.0]]


def test_bilinear_shrinking_is_antialiased() -> None:
    """Without antialiasing, halving a one-pixel checkerboard's width four times would keep only 0 or 255."""
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None]
    small = resize_image(board, (4, 4), "bilinear")
    assert small.dtype == np.uint8
    assert small.min() > 110
    assert small.max() < 145


def test_rgb_resize_equals_plane_by_plane() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    whole = resize_image(image, (5, 4), "bicubic")
    planes = [resize_image(image[:, :, channel : channel + 1], (5, 4), "bicubic") for channel in range(3)]
    np.testing.assert_array_equal(whole, np.concatenate(planes, axis=2))


def test_center_crop_leaves_the_larger_margin_below_and_right() -> None:
    image = np.arange(5 * 4).reshape(5, 4, 1)
    assert center_crop(image, (2, 3), "it")[:, :, 0].tolist() == [[4, 5, 6], [8, 9, 10]]


def test_crop_larger_than_the_picture() -> None:
    with pytest.raises(DataError) as caught:
        center_crop(np.zeros((4, 9, 3)), 8, "picture 'a.png'")
    assert str(caught.value) == (
        "cropping picture 'a.png': the picture is 4x9, smaller than the crop 8x8; resize it first or crop less"
    )


def test_crop_box() -> None:
    image = np.arange(12).reshape(3, 4, 1)
    assert crop_box(image, (1, 2, 2, 2), "it")[:, :, 0].tolist() == [[6, 7], [10, 11]]
    with pytest.raises(DataError) as caught:
        crop_box(image, (2, 0, 2, 2), "it")
    assert str(caught.value) == (
        "cropping it: crop_box [2, 0, 2, 2] (top, left, height, width) reaches outside of the picture, which is 3x4"
    )


def test_colors() -> None:
    red = np.array([[[200, 0, 0]]], dtype=np.uint8)
    assert convert_color(red, "bgr", "it").tolist() == [[[0, 0, 200]]]
    assert convert_color(red, "gray", "it").tolist() == [[[60]]]  # 0.299 * 200 = 59.8
    assert convert_color(red.astype(np.float32), "gray", "it")[0, 0, 0] == pytest.approx(59.8)
    assert convert_color(red[:, :, :1], "rgb", "it").tolist() == [[[200, 200, 200]]]


@pytest.mark.parametrize("file_format", ["PNG", "BMP"])
def test_decode_is_lossless(file_format: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_image(encoded(pixels, file_format), "it"), pixels)


def test_gray_file_becomes_rgb() -> None:
    pixels = np.array([[7, 9]], dtype=np.uint8)
    assert decode_image(encoded(pixels, "PNG"), "it").tolist() == [[[7, 7, 7], [9, 9, 9]]]


def test_sixteen_bit_picture_is_refused() -> None:
    """Pillow's own conversion to 8 bits would clip it to white."""
    with pytest.raises(DataError) as caught:
        decode_image(encoded(np.full((2, 2), 40000, dtype=np.uint16), "PNG"), "picture 'deep.png'")
    assert str(caught.value) == (
        "decoding picture 'deep.png': its pixels have mode I;16, convert it to 8 bits a channel"
    )


def test_broken_and_foreign_bytes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with pytest.raises(DataError) as caught:
        decode_image(b"not a picture", "picture 3 of 'p.npz'", ("JPEG",))
    assert str(caught.value) == (
        "decoding picture 3 of 'p.npz': not a readable JPEG picture: the bytes are not recognised"
    )
    with pytest.raises(DataError, match="not a readable JPEG picture"):
        decode_image(encoded(pixels, "PNG"), "it", ("JPEG",))
    with pytest.raises(DataError, match=r"^decoding it: not a readable PNG or JPEG or BMP picture: .*truncated"):
        decode_image(encoded(pixels, "JPEG")[:-200], "it")
    with pytest.raises(DataError, match=r"^decoding it: not a readable"):
        decode_image(tmp_path / "missing.png", "it")
