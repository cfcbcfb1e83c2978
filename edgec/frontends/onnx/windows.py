"""Window functions of a size that is constant or that the model states, and the crop or pad about the centre."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.element_types import computed_type
from edgec.frontends.onnx.movement import sliced
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.shape import onnx_dtype, required_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value
from edgec.ops.infer import normalize_axis

FLOAT_TYPE = 1
MAX_SIZE = 1 << 20


def _cosines(*weights: float) -> Translate:
    """A window that sums cosines of rising frequency with these weights."""

    def translate(node: Node, context: Translation) -> Value:
        size = required_ints(node, 0)[0] if node.is_constant(0) else node.declared_shape()[0]
        if not 0 <= size <= MAX_SIZE:
            raise Refusal(f"its size is {size}, not in 0 to {MAX_SIZE}")
        period = size if node.int("periodic", 1) else size - 1
        phase = 2 * np.pi * np.arange(size) / max(period, 1)
        window = sum(weight * np.cos(i * phase) for i, weight in enumerate(weights))
        return context.constant(np.asarray(window), computed_type(onnx_dtype(node.int("output_datatype", FLOAT_TYPE))))

    return translate


def center_crop_pad(node: Node, context: Translation) -> Value:
    """CenterCropPad: each axis is cut, or padded with zeros, evenly at both ends; the odd element goes to the end."""
    x = node.input(0)
    rank = x.type.rank
    named = [normalize_axis(int(axis), rank) for axis in node.attribute("axes", list(range(rank)))]
    wanted = list(x.shape)
    if node.is_constant(1):
        for axis, size in zip(named, required_ints(node, 1), strict=True):
            wanted[axis] = size
    else:
        wanted = list(node.declared_shape())
    begin = [max(have - want, 0) // 2 for have, want in zip(x.shape, wanted)]
    x = sliced(context, x, begin, [min(have, want) for have, want in zip(x.shape, wanted)])
    missing = [want - have for have, want in zip(x.shape, wanted)]
    if not any(missing):
        return x
    pads = np.array([(count // 2, count - count // 2) for count in missing])
    return context.emit("pad", [x, context.constant(pads.astype(np.int32))])


TRANSLATIONS: dict[str, Translate] = {
    "HannWindow": _cosines(0.5, -0.5),
    "HammingWindow": _cosines(25 / 46, -21 / 46),
    "BlackmanWindow": _cosines(0.42, -0.5, 0.08),
    "CenterCropPad": center_crop_pad,
}
