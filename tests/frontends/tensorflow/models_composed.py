"""Writes models with ops that TFLite's converter does not know: Keras layers, SavedModels and TF1 graphs."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

FOLDER = sys.argv[1]
layers, ops = keras.layers, keras.ops
IMAGE, VOLUME = (8, 6, 4), (5, 6, 4, 4)


def write(name: str, shape: Sequence[int], *heads: Callable[[Any], Any], dtype: str = "float32") -> None:
    """A model with an output for each head, as .keras."""
    inputs = keras.Input(tuple(shape), dtype=dtype)
    keras.Model(inputs, [head(inputs) for head in heads]).save(f"{FOLDER}/{name}.keras")


def frozen(name: str, function: Callable[[Any], Any], shape: Sequence[int | None]) -> None:
    """A TF1 graph; its outputs are what nothing reads."""
    graph = tf.Graph()
    with graph.as_default():
        function(tf.compat.v1.placeholder(tf.float32, shape, name="x"))
    with open(f"{FOLDER}/{name}.pb", "wb") as file:
        file.write(graph.as_graph_def().SerializeToString())


def bits(x: Any) -> None:
    """Masks over integers of every size."""
    mask = tf.constant([0x7FFF0F0F, -2, 5, -(2**31), 0, 77, -1], tf.int32)
    numbers = tf.cast(x * 1e8, tf.int32)
    tf.bitwise.bitwise_or(tf.bitwise.bitwise_and(numbers, mask), 3, name="or")
    tf.bitwise.bitwise_and(numbers, numbers * 3, name="and")


def halves(x: Any) -> None:
    """The same in a loop's body."""
    half = tf.cast(x, tf.float16)
    tf.cast(tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(y) * 2), (0, half))[1], tf.float32, name="y")


def write_beside() -> None:
    """A SavedModel with a signature, and beside it a table that it does not use."""
    module = tf.Module()
    words = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
    module.table = tf.lookup.StaticHashTable(words, -1)
    double = tf.function(lambda x: {"y": tf.tanh(x * 2)}, [tf.TensorSpec([1, 4], tf.float32)])
    tf.saved_model.save(module, f"{FOLDER}/beside", signatures=double.get_concrete_function())


def fake_quantized(x: Any) -> None:
    """A convolution between steps."""
    kernel = tf.constant(np.random.default_rng(0).normal(0, 1, (3, 3, 3, 4)), tf.float32)
    steps = tf.quantization.fake_quant_with_min_max_args
    tf.nn.conv2d(steps(x, -1, 1), steps(kernel, -2, 2), 1, "SAME", name="y")


keras.utils.set_random_seed(0)
write(
    "volumes", VOLUME, layers.MaxPooling3D(2, 2, "same"), layers.AveragePooling3D(3, 2, "same"),
    layers.Conv3D(6, 2, groups=2, padding="same"), layers.Conv3D(3, 2, dilation_rate=2, padding="same"),
)  # fmt: skip
kinds = [layers.Resizing(11, 5, interpolation=kind) for kind in ("bicubic", "area", "lanczos3")]
write("images", IMAGE, *kinds, layers.Resizing(3, 3, antialias=True))
write("transposed", IMAGE, layers.Conv2DTranspose(3, 3, dilation_rate=2))
multi_hot = layers.CategoryEncoding(6, output_mode="multi_hot")
write("numbers", (5,), multi_hot, lambda x: ops.one_hot(ops.cast(x, "int64"), 6), dtype="int32")
write("argmax", (7, 3), lambda x: ops.argmax(layers.Dense(9)(x), -1))
write("elements", (7, 3), ops.erf, lambda x: ops.cast(ops.signbit(x), "float32"))
for policy in ("mixed_float16", "mixed_bfloat16", "float64"):
    convolution, dense = layers.Conv2D(3, 3, dtype=policy), layers.Dense(2, dtype=policy)
    write(policy, IMAGE, keras.Sequential([convolution, layers.Flatten(), dense]))
frozen("bicubic", lambda x: tf.compat.v1.image.resize_bicubic(x, [9, 9], name="out"), [None, 5, 6, 2])
write_beside()
frozen("steps", fake_quantized, [None, 8, 8, 3])
frozen("bits", bits, [None, 7])
frozen("halves", halves, [None, 5])
quantized = keras.Sequential([keras.Input((8,)), layers.Dense(16, activation="relu"), layers.Dense(4)])
quantized.quantize("int8")
quantized.save(f"{FOLDER}/integers.keras")
