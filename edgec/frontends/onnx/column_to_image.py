"""Col2Im: every element of the image gathers the columns that lie on it, and adds them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import explicit_pads, positive_ints
from edgec.frontends.onnx.shape import required_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value

MAX_GATHERED = 1 << 24


def column_to_image(node: Node, context: Translation) -> Value:
    """Col2Im of blocks over any number of axes."""
    x, image, block = node.input(0), required_ints(node, 1), required_ints(node, 2)
    rank = len(image)
    if len(block) != rank or not rank or min(*image, *block) < 1 or math.prod(image) > MAX_GATHERED:
        raise Refusal(f"blocks {block} do not fit an image of {image}")
    places = _places(node, image, block)
    rows, columns = places.shape
    if x.type.rank != 3 or x.shape[2] != columns or x.shape[1] % rows:
        raise Refusal(f"columns {list(x.shape)} do not fit {columns} blocks {block} in an image of {image}")
    batch, channels, count = x.shape[0], x.shape[1] // rows, rows * columns
    sources = _sources(places.reshape(-1), math.prod(image))
    if sources.size > MAX_GATHERED:
        raise Refusal(f"an image of {image} from blocks {block} takes {sources.size} elements")
    flat = context.reshape(x, [batch * channels, count])
    if (sources == count).any():
        flat = context.emit("pad", [flat, context.constant(np.array([[0, 0], [0, 1]], np.int32))])
    gathered = context.emit("gather", [flat, context.constant(sources.astype(np.int32))], axis=1)
    if sources.shape[1] > 1:
        gathered = context.emit("sum", [gathered, context.ints([2])])
    return context.reshape(gathered, [batch, channels, *image])


def _places(node: Node, image: Sequence[int], block: Sequence[int]) -> np.ndarray:
    """int64 [taps, blocks]: the element of the image each tap of each block lies on, -1 in the padding."""
    rank = len(image)
    strides, dilations = positive_ints(node, "strides", rank), positive_ints(node, "dilations", rank)
    found = np.zeros((1, 1), np.int64)
    outside = np.zeros((1, 1), np.bool_)
    for size, taps, stride, dilation, (before, after) in zip(
        image, block, strides, dilations, explicit_pads(node, rank)
    ):
        blocks = (size + before + after - (taps - 1) * dilation - 1) // stride + 1
        if blocks < 1 or blocks * taps * found.size > MAX_GATHERED:
            raise Refusal(f"blocks {list(block)} do not fit an image of {list(image)}")
        own = np.arange(taps)[:, None] * dilation + np.arange(blocks) * stride - before
        shape = found.shape[0] * taps, found.shape[1] * blocks
        found = (found[:, None, :, None] * size + own[None, :, None, :]).reshape(shape)
        beyond = (own < 0) | (own >= size)
        outside = (outside[:, None, :, None] | beyond[None, :, None, :]).reshape(shape)
    return np.where(outside, -1, found)


def _sources(places: np.ndarray, size: int) -> np.ndarray:
    """int64 [size, most]: the positions in `places` that name each element, padded by the position after the last."""
    order = np.argsort(places, kind="stable")
    order = order[places[order] >= 0]
    counts = np.bincount(places[order], minlength=size)
    if int(counts.max(initial=1)) * size > MAX_GATHERED:
        raise Refusal(f"{counts.max()} columns lie on one of {size} elements, too many to gather")
    found = np.full((size, max(int(counts.max(initial=0)), 1)), len(places))
    starts = np.cumsum(counts) - counts
    found[places[order], np.arange(len(order)) - np.repeat(starts, counts)] = order
    return found


TRANSLATIONS: dict[str, Translate] = {"Col2Im": column_to_image}
