"""Writes recurrent models: Keras layers in the formats there are, and a TF1 graph with a loop over tensor arrays."""

import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

FOLDER = sys.argv[1]
layers = keras.layers


def write(name: str, shape: Sequence[int | None], *parts: Any, batch: int | None = None) -> None:
    """A sequence of layers as .keras and, unless its batch is fixed, as a SavedModel."""
    model = keras.Sequential([keras.Input(tuple(shape), batch_size=batch), *parts])
    model.save(f"{FOLDER}/{name}.keras")
    if batch is None:
        model.export(f"{FOLDER}/{name}", verbose=False)


def write_loop() -> None:
    """TF1's control flow: reads an input array, writes an output array, carries a state."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    graph = tf.Graph()
    with graph.as_default():
        x = v1.placeholder(tf.float32, [None, 5, 3], name="x")
        weights = tf.constant(np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32))
        steps = tf.TensorArray(tf.float32, 5).unstack(tf.transpose(x, [1, 0, 2]))

        def body(i: Any, state: Any, outputs: Any) -> tuple[Any, Any, Any]:
            state = tf.tanh(tf.concat([steps.read(i), state], 1) @ weights)
            return i + 1, state, outputs.write(i, 2 * state)

        begin = (tf.constant(0), tf.zeros([1, 4]), tf.TensorArray(tf.float32, 5))
        _, state, outputs = v1.while_loop(lambda i, *_: i < 5, body, begin)
        tf.identity(outputs.stack(), name="all")
        tf.identity(state, name="last")
    with open(f"{FOLDER}/loop.pb", "wb") as file:
        file.write(graph.as_graph_def().SerializeToString())


keras.utils.set_random_seed(0)
write("lstm", (7, 3), layers.LSTM(4, return_sequences=True), layers.LSTM(5), layers.Dense(2))
write("gru", (7, 3), layers.GRU(4, return_sequences=True), layers.GRU(3, reset_after=False))
write("both_ways", (7, 3), layers.Bidirectional(layers.LSTM(4, return_sequences=True)), layers.Dense(2))
write("stateful", (7, 3), layers.LSTM(4, stateful=True), batch=1)
write("open", (None, 3), layers.GRU(4, return_sequences=True))
write_loop()
