"""Ops of TensorFlow that TFLite lacks, composed of those it has. Each takes the op and gives the tensor instead."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from .refusal import tensorflow

SIGN_BIT = -(2**31)
MOST_OPS = 100  # before a tensor that is called constant
NO_CONSTANT = (
    "Placeholder",
    "VarHandleOp",
    "ReadVariableOp",
    "RandomUniform",
    "RandomStandardNormal",
    "StatefulPartitionedCall",
)
TINY = 2.0**-126  # the smallest float32 that is no subnormal
# erf(x) = 1 - (a1 t + … + a5 t^5) exp(-x^2), t = 1 / (1 + p x), within 1.5e-7 (Abramowitz and Stegun, 7.1.26).
ERF_P, ERF_A = 0.3275911, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


class Unfit(Exception):
    """This op cannot be composed with these operands."""


def pool_3d(op: Any) -> Any:
    """A pool over three axes: over height and width of every plane, then over the depth of every pixel.

    Padding does not count in TensorFlow's averages, so that those of averages are right, too.
    """
    tf = tensorflow()
    if op.get_attr("data_format") != b"NDHWC":
        raise Unfit
    pool = tf.nn.max_pool2d if op.type == "MaxPool3D" else tf.nn.avg_pool2d
    n, d, h, w, c = _sizes(op.inputs[0])
    (_, kd, kh, kw, _), (_, sd, sh, sw, _) = op.get_attr("ksize"), op.get_attr("strides")
    padding = op.get_attr("padding").decode()
    planes = pool(tf.reshape(op.inputs[0], [n * d, h, w, c]), (kh, kw), (sh, sw), padding)
    _, h, w, _ = _sizes(planes)
    pixels = pool(tf.reshape(planes, [n, d, h * w, c]), (kd, 1), (sd, 1), padding)
    return tf.reshape(pixels, [n, _sizes(pixels)[1], h, w, c])


def erf(op: Any) -> Any:
    """The error function by its rational approximation."""
    tf = tensorflow()
    [x] = op.inputs
    t = 1.0 / (1.0 + ERF_P * tf.abs(x))
    polynomial = tf.zeros_like(t)
    for coefficient in reversed(ERF_A):
        polynomial = (polynomial + coefficient) * t
    return tf.sign(x) * (1.0 - polynomial * tf.exp(-tf.square(x)))


def resample(op: Any) -> Any:
    """A resize whose kernel is the product of one for rows and one for columns: two products with constant matrices.

    The matrices are what the op itself makes of unit vectors.
    """
    tf = tensorflow()
    n, h, w, c = _sizes(op.inputs[0])
    rows, columns = (_resize_matrix(op, axis, length) for axis, length in enumerate((h, w)))
    x = tf.cast(op.inputs[0], tf.float32)
    x = tf.reshape(tf.matmul(rows[None], tf.reshape(x, [n, h, w * c])), [n * len(rows), w, c])
    return tf.reshape(tf.matmul(columns[None], x), [n, len(rows), len(columns), c])


def _resize_matrix(op: Any, axis: int, length: int) -> Any:
    """What `op` does along one axis, [wanted, length]."""
    tf = tensorflow()
    size, *placed = (_value(tensor)[axis] for tensor in op.inputs[1:])
    names = {
        "ResizeBicubic": ("align_corners", "half_pixel_centers"),
        "ResizeArea": ("align_corners",),
        "ScaleAndTranslate": ("kernel_type", "antialias"),
    }[op.type]
    options = {name: op.get_attr(name) for name in names}
    if placed:
        options |= {"scale": [placed[0], 1.0], "translation": [placed[1], 0.0]}
    graph = tf.Graph()
    with graph.as_default():
        units = tf.reshape(tf.eye(length), [length, length, 1, 1])
        found = getattr(tf.raw_ops, op.type)(images=units, size=[size, 1], **options)
    return _run(graph, found)[:, :, 0, 0].T.copy()


def dense_bincount(op: Any) -> Any:
    """Counts, or whether there was one, as a sum or a maximum over one-hot vectors."""
    tf = tensorflow()
    values, size, weights = op.inputs
    if values.shape.rank not in (1, 2):
        raise Unfit
    hot = tf.one_hot(values, _bound(size), dtype=tf.float32)
    if op.get_attr("binary_output"):
        found = tf.reduce_max(hot, axis=-2)
    else:
        if weights.shape.num_elements() != 0:
            hot = hot * tf.cast(weights, tf.float32)[..., None]
        found = tf.reduce_sum(hot, axis=-2)
    return tf.cast(found, op.outputs[0].dtype)


def _bound(size: Any) -> int:
    """A constant size, also one kept between two bounds that are the same: min(6, max(6, …))."""
    if size.op.type == "Minimum":
        for most, rest in (size.op.inputs, reversed(size.op.inputs)):
            if rest.op.type == "Maximum":
                for least in rest.op.inputs:
                    with contextlib.suppress(Unfit):
                        if _value(least) >= _value(most):
                            return int(_value(most))
    return int(_value(size))


def transposed_convolution(op: Any) -> Any:
    """A dilated transposed convolution: the kernel with zeros between its elements."""
    tf, numpy = tensorflow(), importlib.import_module("numpy")
    _, dh, dw, _ = op.get_attr("dilations")
    if op.get_attr("data_format") != b"NHWC" or op.get_attr("padding") == b"EXPLICIT":
        raise Unfit
    kernel = _value(op.inputs[1])
    kh, kw = kernel.shape[:2]
    wide = numpy.zeros(((kh - 1) * dh + 1, (kw - 1) * dw + 1, *kernel.shape[2:]), kernel.dtype)
    wide[::dh, ::dw] = kernel
    return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=op.inputs[0], filter=tf.constant(wide), out_backprop=op.inputs[2],
        strides=op.get_attr("strides"), padding=op.get_attr("padding").decode(),
    )  # fmt: skip


def dilated_conv_3d(op: Any) -> Any:
    """SpaceToBatchND, Conv3D, BatchToSpaceND: how TensorFlow writes a dilated convolution over three axes.

    What BatchToSpaceND crops at the ends is not padded in the first place.
    """
    tf = tensorflow()
    convolution = op.inputs[0].op
    spread = convolution.inputs[0].op if convolution.type == "Conv3D" else None
    if spread is None or spread.type != "SpaceToBatchND" or convolution.get_attr("padding") != b"VALID":
        raise Unfit
    blocks, crops, pads = _value(op.inputs[1]), _value(op.inputs[2]), _value(spread.inputs[2])
    pads = pads - crops
    if (blocks != _value(spread.inputs[1])).any() or (pads < 0).any() or len(blocks) != 3 or crops[:, 0].any():
        raise Unfit
    x = tf.pad(spread.inputs[0], [(0, 0), *pads.tolist(), (0, 0)]) if pads.any() else spread.inputs[0]
    dilations = [1, *blocks.tolist(), 1]
    return tf.raw_ops.Conv3D(
        input=x, filter=convolution.inputs[1], strides=[1] * 5, padding="VALID", dilations=dilations
    )


def grouped_conv_3d(op: Any) -> Any:
    """A convolution in groups: one for each, side by side."""
    tf = tensorflow()
    x, kernel = op.inputs
    groups = _sizes(x)[-1] // _sizes(kernel)[3]
    if groups < 2 or op.get_attr("data_format") != b"NDHWC":
        raise Unfit
    options = {name: op.get_attr(name) for name in ("strides", "dilations")} | {
        "padding": op.get_attr("padding").decode()
    }
    parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1))
    return tf.concat([tf.raw_ops.Conv3D(input=a, filter=b, **options) for a, b in parts], axis=-1)


def bitwise_and(op: Any) -> Any:
    """a & b = (a + b - (a ^ b)) / 2, by halves of 16 bits, where no sum overflows."""
    tf = tensorflow()
    dtype = op.outputs[0].dtype
    if dtype.size > 4 or dtype == tf.uint32:
        raise Unfit
    a, b = (tf.cast(x, tf.int32) for x in op.inputs)
    high_a, high_b = (tf.bitwise.right_shift(x, 16) for x in (a, b))
    low = _narrow_and(a - high_a * 65536, b - high_b * 65536)
    return tf.cast(_narrow_and(high_a, high_b) * 65536 + low, dtype)


def _narrow_and(a: Any, b: Any) -> Any:
    tf = tensorflow()
    return tf.bitwise.right_shift(a + b - tf.bitwise.bitwise_xor(a, b), 1)


def bitwise_or(op: Any) -> Any:
    """a | b = (a ^ b) + (a & b)."""
    return tensorflow().bitwise.bitwise_xor(*op.inputs) + bitwise_and(op)


def select(op: Any) -> Any:
    """Without the step by which Keras tells -0.0 from 0.0 before an argmax: where(x == 0 and signbit(x), -tiny, x)."""
    condition, x = op.inputs[0].op, op.inputs[2]
    if condition.type != "LogicalAnd" or (abs(_value(op.inputs[1])) > TINY).any():
        raise Unfit
    if not any(_is_sign_bit(part.op, x) for part in condition.inputs):
        raise Unfit
    return x


def _is_sign_bit(op: Any, x: Any) -> bool:
    """True for signbit(x) as Keras writes it: a mask over its bits."""
    masked = op.inputs[0].op if op.type in ("NotEqual", "Less") else None
    if masked is None or masked.type != "BitwiseAnd" or masked.inputs[0].op.type != "Bitcast":
        return False
    return masked.inputs[0].op.inputs[0] is x and bool((_value(masked.inputs[1]) == SIGN_BIT).all())


def integer_product(op: Any) -> Any:
    """A product of int8 matrices in float32, exact as long as its sums stay below 2^24."""
    tf = tensorflow()
    if op.inputs[0].dtype not in (tf.int8, tf.uint8):
        raise Unfit
    a, b = (tf.cast(x, tf.float32) for x in op.inputs)
    first, second = ("adj_x", "adj_y") if op.type != "MatMul" else ("transpose_a", "transpose_b")
    found = tf.matmul(a, b, transpose_a=op.get_attr(first), transpose_b=op.get_attr(second))
    return tf.cast(found, op.outputs[0].dtype)


def _sizes(tensor: Any) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise Unfit
    return [int(size) for size in tensor.shape]


def _value(tensor: Any) -> Any:
    """The elements of a tensor that depends on no input."""
    tf = tensorflow()
    found = tf.get_static_value(tensor)
    if found is not None:
        return found
    seen, pending = set(), [tensor.op]
    while pending:
        op = pending.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        if op.type in NO_CONSTANT or len(seen) > MOST_OPS:
            raise Unfit
        pending.extend(source.op for source in op.inputs)
    return _run(tensor.graph, tensor)


def _run(graph: Any, tensor: Any) -> Any:
    with tensorflow().compat.v1.Session(graph=graph) as session:
        return session.run(tensor)


COMPOSITIONS: dict[str, Callable[[Any], Any]] = {
    "AvgPool3D": pool_3d,
    "BatchMatMulV2": integer_product,
    "BatchMatMulV3": integer_product,
    "BatchToSpaceND": dilated_conv_3d,
    "BitwiseAnd": bitwise_and,
    "BitwiseOr": bitwise_or,
    "Conv2DBackpropInput": transposed_convolution,
    "Conv3D": grouped_conv_3d,
    "DenseBincount": dense_bincount,
    "Erf": erf,
    "MatMul": integer_product,
    "MaxPool3D": pool_3d,
    "ResizeArea": resample,
    "ResizeBicubic": resample,
    "ScaleAndTranslate": resample,
    "SelectV2": select,
}
