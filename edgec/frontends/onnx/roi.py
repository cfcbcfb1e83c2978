"""RoiAlign and MaxRoiPool: regions of interest of one size each."""

from __future__ import annotations

import math

import numpy as np

from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

MAX_SAMPLES = 1 << 26


def roi_align(node: Node, context: Translation) -> Value:
    """RoiAlign: bilinear samples in each bin of each region, by their mean or maximum; a fixed number of them."""
    x, rois, images = node.input(0), node.input(1), node.input(2)
    if x.type.rank != 4 or rois.shape[1:] != (4,) or images.shape != rois.shape[:1]:
        raise Refusal(f"regions {list(rois.shape)} of images {list(images.shape)} do not fit {list(x.shape)}")
    samples, mode = node.int("sampling_ratio", 0), node.attribute("mode", "avg")
    if samples < 1:
        raise Refusal("sampling_ratio 0 lets each region decide on the number of its samples; export it with a number")
    sizes = node.int("output_height", 1), node.int("output_width", 1)
    batch, channels, height, width = x.shape
    count = rois.shape[0] * math.prod(sizes) * samples**2
    if min(sizes) < 1 or count * channels > MAX_SAMPLES or mode not in ("avg", "max"):
        raise Refusal(f"mode '{mode}' with {count} samples of {channels} channels is not supported")
    half_pixel = node.opset >= 16 and node.attribute("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    regions = _Regions(context, context.cast(rois, DType.FLOAT32), node.float("spatial_scale", 1.0), half_pixel)
    vertical = regions.taps(1, sizes[0], samples, height)
    horizontal = regions.taps(0, sizes[1], samples, width)
    flat = context.reshape(context.to_channels_last(x), [batch * height * width, channels])
    image = context.mul(context.cast(images, DType.INT32), context.ints(height * width))
    corners = []
    for row, by_row in vertical:
        base = context.add(context.mul(row, context.ints(width)), context.reshape(image, [rois.shape[0], 1]))
        for column, by_column in horizontal:
            place, weight = _crossed(context, base, column, by_row, by_column, sizes, samples)
            corners.append(context.mul(context.emit("gather", [flat, place], axis=0), weight))
    return context.to_channels_first(_combined(context, corners, mode))


class _Regions:
    """Regions of interest, rows of x1, y1, x2, y2 in the image's pixels."""

    def __init__(self, context: Translation, rois: Value, scale: float, half_pixel: bool) -> None:
        self.context, self.half_pixel, self.count = context, half_pixel, rois.shape[0]
        scaled = context.mul(rois, context.like(rois, scale)) if scale != 1 else rois
        self.corners = context.sub(scaled, context.like(scaled, 0.5)) if half_pixel else scaled

    def _side(self, index: int) -> Value:
        return sliced(self.context, self.corners, [0, index], [self.count, 1])

    def taps(self, side: int, bins: int, samples: int, size: int) -> list[tuple[Value, Value]]:
        """The two neighbours of each sample along an axis, [regions, bins * samples] of positions and of weights."""
        context = self.context
        start, end = self._side(side), self._side(side + 2)
        length = context.sub(end, start)
        if not self.half_pixel:
            length = context.emit("maximum", [length, context.like(length, 1)])
        parts = (np.arange(bins * samples, dtype=np.float32) + 0.5) / (bins * samples)
        place = context.add(context.mul(length, context.constant(parts[None].astype(np.float32))), start)
        inside = context.cast(self._between(place, -1, size), DType.FLOAT32)
        place = context.emit("minimum", [context.emit("maximum", [place, context.like(place, 0)]),
                                         context.like(place, size - 1)])  # fmt: skip
        low = context.emit("floor", [place])
        high = context.emit("minimum", [context.add(low, context.like(low, 1)), context.like(low, size - 1)])
        part = context.sub(place, low)
        rest = context.sub(context.like(part, 1), part)
        return [
            (context.cast(low, DType.INT32), context.mul(rest, inside)),
            (context.cast(high, DType.INT32), context.mul(part, inside)),
        ]

    def _between(self, place: Value, low: float, high: float) -> Value:
        above = self.context.emit("greater_equal", [place, self.context.like(place, low)])
        return self.context.emit("logical_and", [
            above, self.context.emit("less_equal", [place, self.context.like(place, high)]),
        ])  # fmt: skip


def _crossed(
    context: Translation, rows: Value, columns: Value, by_row: Value, by_column: Value, sizes: tuple[int, int],
    samples: int,
) -> tuple[Value, Value]:  # fmt: skip
    """Places [regions, height, width, samples²] and weights of the same shape with an axis for the channels."""
    count, (height, width) = rows.shape[0], sizes

    def spread(value: Value, vertical: bool) -> Value:
        return context.reshape(value, [count, height, samples, 1, 1] if vertical else [count, 1, 1, width, samples])

    def ordered(value: Value) -> Value:
        return context.reshape(context.transpose(value, [0, 1, 3, 2, 4]), [count, height, width, samples**2])

    place = ordered(context.add(spread(rows, True), spread(columns, False)))
    weight = ordered(context.mul(spread(by_row, True), spread(by_column, False)))
    return place, context.reshape(weight, [*weight.shape, 1])


def _combined(context: Translation, corners: list[Value], mode: str) -> Value:
    """Corners [regions, height, width, samples, channels] summed, or the largest of them, then over the samples.

    The maximum is over the weighted corners, not over their sums: so the standard's runtimes have it.
    """
    found = corners[0]
    for corner in corners[1:]:
        found = context.emit("add" if mode == "avg" else "maximum", [found, corner])
    return context.emit("mean" if mode == "avg" else "reduce_max", [found, context.ints([3])])


def max_roi_pool(node: Node, context: Translation) -> Value:
    """MaxRoiPool of constant regions: the maximum of each bin."""
    x, rois = node.input(0), node.required_array(1)
    sizes, scale = [int(s) for s in node.attribute("pooled_shape", [])], np.float32(node.float("spatial_scale", 1.0))
    if x.type.rank != 4 or rois.ndim != 2 or rois.shape[1] != 5 or len(sizes) != 2 or min(sizes) < 1:
        raise Refusal(f"regions {list(rois.shape)} pooled to {sizes} do not fit {list(x.shape)}")
    if len(rois) * math.prod(sizes) > 4096:
        raise Refusal(f"{len(rois)} regions of {math.prod(sizes)} bins are too many")
    last = context.to_channels_last(x)
    pooled = [_pooled(context, last, region, sizes, scale) for region in rois]
    result = pooled[0] if len(pooled) == 1 else context.emit("concatenation", pooled, axis=0)
    return context.to_channels_first(context.reshape(result, [len(rois), *sizes, x.shape[1]]))


def _pooled(context: Translation, x: Value, region: np.ndarray, sizes: list[int], scale: np.float32) -> Value:
    """[bins, channels] of one region, whose corners are rounded to whole pixels."""
    image, *corners = int(region[0]), *(int(_rounded(c * scale)) for c in region[1:])
    bounds = []
    for axis, count in enumerate(sizes):
        low, high = corners[1 - axis], corners[3 - axis]
        step = np.float32(max(high - low + 1, 1)) / np.float32(count)
        size = x.shape[axis + 1]
        begins = [min(max(math.floor(i * step) + low, 0), size) for i in range(count)]
        ends = [min(max(math.ceil((i + 1) * step) + low, 0), size) for i in range(count)]
        bounds.append(list(zip(begins, ends)))
    rows = []
    for top, bottom in bounds[0]:
        for left, right in bounds[1]:
            if bottom <= top or right <= left:
                rows.append(context.constant(np.zeros((1, x.shape[3]), np.float32)))
                continue
            part = sliced(context, x, [image, top, left, 0], [1, bottom - top, right - left, x.shape[3]])
            rows.append(context.emit("reduce_max", [part, context.ints([1, 2])]))
    return context.emit("concatenation", rows, axis=0) if len(rows) > 1 else rows[0]


def _rounded(number: float) -> float:
    """Half away from zero, as C rounds."""
    return math.copysign(math.floor(abs(number) + 0.5), number)


TRANSLATIONS: dict[str, Translate] = {"RoiAlign": roi_align, "MaxRoiPool": max_roi_pool}
