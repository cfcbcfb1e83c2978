"""NonMaxSuppression: TFLite's kernel for every class of every image, and the chosen boxes of all of them gathered."""

from __future__ import annotations

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.runtime_operands import small_ints
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

MAX_CALLS = 256  # images times classes, each of which is an op


def non_max_suppression(node: Node, context: Translation) -> Value:
    """NonMaxSuppression: rows of image, class and box, as many as the model states."""
    boxes, scores = node.input(0), node.input(1)
    images, classes, count = scores.shape
    if node.declared[:1] in ([], [None]):
        raise Refusal(
            "how many boxes it keeps is only known at run time, and the model states no number: state the shape of "
            f"'{node.outputs[0]}' in the file, or export the network without suppression and suppress behind it"
        )
    wanted = node.declared_shape()
    if images * classes > MAX_CALLS:
        raise Refusal(f"{images} images of {classes} classes are more than {MAX_CALLS} suppressions")
    if node.optional(2) is None:
        return context.constant(np.zeros((0, 3), np.int64))
    most = context.reshape(small_ints(context, node.input(2)), [])
    overlap = _scalar(context, node.optional(3), 0.0)
    least = _scalar(context, node.optional(4), float(np.finfo(np.float32).min))
    corners = _corners(context, boxes, bool(node.int("center_point_box", 0)))
    rows, valid = [], []
    for image in range(images):
        own = _entry(context, corners, [image, 0, 0], [1, count, 4], [count, 4])
        for label in range(classes):
            each = _entry(context, scores, [image, label, 0], [1, 1, count], [count])
            found, number = context.emit_many(
                "non_max_suppression_v4", [own, each, context.constant(np.int32(count)), overlap, least]
            )
            kept = context.emit("minimum", [number, most])
            valid.append(context.emit("less", [context.constant(np.arange(count, dtype=np.int32)), kept]))
            place = context.constant(np.broadcast_to(np.array([image, label], np.int32), (count, 2)).copy())
            rows.append(context.emit("concatenation", [place, context.reshape(found, [count, 1])], axis=1))
    every = rows[0] if len(rows) == 1 else context.emit("concatenation", rows, axis=0)
    mask = valid[0] if len(valid) == 1 else context.emit("concatenation", valid, axis=0)
    chosen = context.reshape(context.cast(context.emit("where", [mask]), DType.INT32), [wanted[0]])
    return context.cast(context.emit("gather", [every, chosen], axis=0), DType.INT64)


def _scalar(context: Translation, value: Value | None, default: float) -> Value:
    return context.constant(np.float32(default)) if value is None else context.reshape(value, [])


def _entry(context: Translation, x: Value, begin: list[int], size: list[int], shape: list[int]) -> Value:
    return context.reshape(context.emit("slice", [x, context.ints(begin), context.ints(size)]), shape)


def _corners(context: Translation, boxes: Value, centred: bool) -> Value:
    """Boxes as y1, x1, y2, x2 with the smaller coordinates first."""
    a, b = (_entry(context, boxes, [0, 0, i], [*boxes.shape[:2], 2], [*boxes.shape[:2], 2]) for i in (0, 2))
    if centred:  # x, y and width, height: the order of the axes does not matter to an overlap
        half = context.mul(b, context.like(b, 0.5))
        a, b = context.sub(a, half), context.add(a, half)
    low, high = context.emit("minimum", [a, b]), context.emit("maximum", [a, b])
    return context.emit("concatenation", [low, high], axis=2)


TRANSLATIONS: dict[str, Translate] = {"NonMaxSuppression": non_max_suppression}
