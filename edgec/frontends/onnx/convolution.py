"""Convolutions: 1-D ones run as 2-D ones of height 1."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.padding import Pads, tflite_padding, window_pads
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value


def conv(node: Node, context: Translation) -> Value:
    """Conv of rank 3 and 4, with groups, depthwise, dilation and any padding."""
    x, weight = node.input(0), node.input(1)
    if x.type.rank == 3:
        return _conv_1d(node, context)
    if x.type.rank != 4:
        raise Refusal(f"convolution over {x.type.rank - 2} spatial axes is not supported")
    strides = [int(s) for s in node.attribute("strides", [1, 1])]
    dilations = [int(d) for d in node.attribute("dilations", [1, 1])]
    pads = window_pads(node, x.shape[2:], weight.shape[2:], strides, dilations)
    result = conv_2d(context, context.to_channels_last(x), node, strides, dilations, pads)
    return context.to_channels_first(result)


def conv_2d(
    context: Translation, x: Value, node: Node, strides: list[int], dilations: list[int], pads: Pads
) -> Value:
    """A convolution of an NHWC value with the node's OIHW weights."""
    raise Refusal("not written yet")


def _conv_1d(node: Node, context: Translation) -> Value:
    raise Refusal("not written yet")


TRANSLATIONS: dict[str, Translate] = {"Conv": conv}
_ = np
