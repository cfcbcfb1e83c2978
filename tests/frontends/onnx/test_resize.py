from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

Array = np.ndarray
RNG = np.random.default_rng(0)
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
RTOL = ATOL = 3e-5  # interpolation weights: positions reach 20, float32 keeps seven digits of them


def real(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def by_scales(compare: Any, x: Array, scales: list[float], opset: int = 13, **attributes: Any) -> Any:
    operands = [x, None, np.array(scales, np.float32)]
    return compare.check_node("Resize", operands, constants=[2], opset=opset, rtol=RTOL, atol=ATOL, **attributes)


def by_sizes(compare: Any, x: Array, sizes: list[int], opset: int = 13, **attributes: Any) -> Any:
    operands = [x, None, None, np.array(sizes, np.int64)]
    return compare.check_node("Resize", operands, constants=[3], opset=opset, rtol=RTOL, atol=ATOL, **attributes)


SIZES = [(8, 10), (4, 5), (3, 7), (2, 3), (1, 1), (9, 13)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_sizes(compare: Any, mode: str, coordinates: str, sizes: tuple[int, int]) -> None:
    x = real(1, 2, 4, 5)
    by_sizes(compare, x, [1, 2, *sizes], mode=mode, coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("scales", [(2, 2), (1.5, 2.6), (0.6, 0.8), (3, 1), (1.3333334, 0.5)], ids=str)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_scales(compare: Any, mode: str, coordinates: str, scales: tuple[float, float]) -> None:
    x = real(1, 2, 4, 5)
    by_scales(compare, x, [1, 1, *scales], mode=mode, coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("nearest_mode", NEAREST)
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_nearest_modes(compare: Any, nearest_mode: str, coordinates: str) -> None:
    for sizes in ((8, 10), (3, 7)):
        by_sizes(
            compare, real(1, 2, 4, 5), [1, 2, *sizes], mode="nearest", nearest_mode=nearest_mode,
            coordinate_transformation_mode=coordinates,
        )  # fmt: skip


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2, 2), (1.7, 3), (0.5, 0.6)], ids=str)
def test_opset_10_and_upsample(compare: Any, mode: str, scales: tuple[float, float]) -> None:
    x, every = real(1, 2, 4, 5), np.array([1, 1, *scales], np.float32)
    compare.check_node("Resize", [x, every], constants=[1], opset=10, mode=mode, rtol=RTOL, atol=ATOL)
    if min(scales) >= 1:
        compare.check_node("Upsample", [x, every], constants=[1], opset=9, mode=mode, rtol=RTOL, atol=ATOL)
        compare.check_node("Upsample", [x], opset=7, mode=mode, scales=every.tolist(), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize(
    ("mode", "coordinates", "nearest_mode", "opcode"),
    [
        ("nearest", "asymmetric", "floor", "resize_nearest_neighbor"),
        ("nearest", "half_pixel", "round_prefer_floor", "resize_nearest_neighbor"),
        *[("linear", coordinates, "floor", "resize_bilinear") for coordinates in COORDINATES],
    ],
)
def test_the_usual_forms_are_one_op(compare: Any, mode: str, coordinates: str, nearest_mode: str, opcode: str) -> None:
    attributes: dict[str, Any] = {"coordinate_transformation_mode": coordinates, "nearest_mode": nearest_mode}
    module = by_scales(compare, real(1, 3, 4, 5), [1, 1, 2, 2], mode=mode, **attributes)
    assert [op.opcode for op in module.main.ops] == ["transpose", opcode, "transpose"]


def test_other_ranks(compare: Any) -> None:
    by_scales(compare, real(2, 3, 5), [1, 1, 2], mode="nearest")
    by_scales(compare, real(2, 3, 5), [1, 1, 2], mode="linear")
    by_scales(compare, real(4, 5), [2, 3], mode="linear")
    by_scales(compare, real(1, 2, 3, 4, 3), [1, 1, 2, 2, 2], mode="nearest")
    by_scales(compare, real(1, 2, 3, 4, 3), [1, 1, 2, 2, 2], mode="linear")
    by_scales(compare, real(1, 4, 5, 3), [1, 2, 2, 1], mode="nearest")
    by_scales(compare, real(2, 2, 3, 3), [2, 2, 1, 1], mode="nearest")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
def test_nearest_of_integers(compare: Any, dtype: str) -> None:
    by_scales(compare, RNG.integers(0, 99, (1, 2, 3, 4)).astype(dtype), [1, 1, 2, 2], mode="nearest")


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("exclude_outside", [0, 1])
@pytest.mark.parametrize("sizes", [(4, 3), (2, 5), (8, 20), (3, 10)], ids=str)
def test_antialias(compare: Any, mode: str, exclude_outside: int, sizes: tuple[int, int]) -> None:
    by_sizes(
        compare, real(1, 2, 8, 10), [1, 2, *sizes], opset=18, mode=mode, antialias=1, exclude_outside=exclude_outside
    )


def test_named_axes_and_aspect_ratio(compare: Any) -> None:
    x = real(1, 2, 4, 6)
    by_sizes(compare, x, [8, 9], opset=18, mode="linear", axes=[2, 3])
    by_scales(compare, x, [2.0, 1.5], opset=18, mode="nearest", axes=[3, 2])
    for policy in ("not_larger", "not_smaller"):
        by_sizes(compare, x, [7, 8], opset=18, mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy)


def test_half_pixel_symmetric(compare: Any) -> None:
    mode: dict[str, Any] = {"coordinate_transformation_mode": "half_pixel_symmetric"}
    by_scales(compare, real(1, 1, 4, 5), [1, 1, 2.3, 0.6], opset=19, mode="linear", **mode)
    by_scales(compare, real(1, 1, 4, 5), [1, 1, 2.3, 0.6], opset=19, mode="nearest", **mode)


def test_cubic_parameters(compare: Any) -> None:
    by_scales(compare, real(1, 1, 5, 6), [1, 1, 1.7, 2], mode="cubic", cubic_coeff_a=-0.5)
    by_scales(compare, real(1, 1, 5, 6), [1, 1, 1.7, 2], mode="cubic", exclude_outside=1)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    wanted=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    mode=st.sampled_from(["nearest", "linear"]),
    coordinates=st.sampled_from(COORDINATES),
    nearest_mode=st.sampled_from(NEAREST),
)
def test_resize_is_onnxruntimes(
    compare: Any, size: tuple[int, int], wanted: tuple[int, int], mode: str, coordinates: str, nearest_mode: str
) -> None:
    x = np.arange(size[0] * size[1], dtype=np.float32).reshape(1, 1, *size)
    by_sizes(
        compare, x, [1, 1, *wanted], mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=nearest_mode
    )


def test_refusals(compare: Any) -> None:
    x, scales = real(1, 1, 4, 4), np.array([1, 1, 2, 2], np.float32)

    def refused(x: Array = x, opset: int = 13, **attributes: Any) -> str:
        return str(compare.refusal("Resize", [x, None, scales], constants=[2], opset=opset, **attributes))

    assert refused(coordinate_transformation_mode="tf_crop_and_resize") == "its input 1 is missing"
    odd = "coordinate_transformation_mode 'odd' has no TFLite counterpart"
    assert refused(coordinate_transformation_mode="odd") == odd
    rounds = "mode 'linear' on uint8 rounds as no TFLite kernel does"
    assert refused(x.astype(np.uint8), mode="linear") == rounds
    large = compare.refusal("Resize", [x, None, None, np.array([1, 1, 2**16, 2**16])], constants=[3], opset=13)
    assert large == "its result of shape [1, 1, 65536, 65536] is larger than 2 GiB"
    long = compare.refusal("Resize", [x, None, None, np.array([1, 1, 4, 2**22])], constants=[3], opset=13)
    assert long == "an axis of 4194304 is longer than the 1048576 that edgec resizes to"
    row, weights = real(1, 1, 1, 4096), np.array([1, 1, 1, 2**15])
    weighty = compare.refusal("Resize", [row, None, None, weights], constants=[3], opset=13, mode="cubic")
    assert weighty == "mode 'cubic' from 4096 to 32768 positions needs too many weights"
    reason = "its shape follows from numbers that are only known at run time, and the model states none"
    assert compare.refusal("Resize", [x, None, scales], opset=13) == reason
