"""ONNX paddings of sliding windows in TFLite's terms: SAME, VALID, or a separate pad."""

from __future__ import annotations

from collections.abc import Sequence

from edgec.frontends.onnx.node import Node, Refusal
from edgec.ops.infer import same_padding

Pads = list[tuple[int, int]]  # (before, after) for each spatial axis


def window_pads(
    node: Node, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    """The padding a node asks for by `pads` or `auto_pad`, for spatial sizes `sizes`."""
    mode = node.attribute("auto_pad", "NOTSET")
    rank = len(sizes)
    if mode == "VALID":
        return [(0, 0)] * rank
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        pads = [same_padding(*axis) for axis in zip(sizes, kernel, strides, dilations)]
        return pads if mode == "SAME_UPPER" else [(after, before) for before, after in pads]
    if mode != "NOTSET":
        raise Refusal(f"auto_pad '{mode}' is unknown")
    flat = [int(p) for p in node.attribute("pads", [0] * (2 * rank))]
    if len(flat) != 2 * rank:
        raise Refusal(f"pads {flat} do not fit {rank} spatial axes")
    if min(flat, default=0) < 0:
        raise Refusal(f"negative pads {flat} are not supported")
    return list(zip(flat[:rank], flat[rank:]))


def tflite_padding(
    pads: Pads, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> str | None:
    """SAME or VALID where one of them pads exactly so, else None."""
    if not any(before or after for before, after in pads):
        return "VALID"
    if pads == [same_padding(*axis) for axis in zip(sizes, kernel, strides, dilations)]:
        return "SAME"
    return None
