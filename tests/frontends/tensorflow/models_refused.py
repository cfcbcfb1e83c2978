"""Writes models that hold code, need code that is elsewhere, or leave open what to compile; and old Keras files."""

import json
import sys
from collections.abc import Callable
from typing import Any

import h5py
import keras
import tensorflow as tf

FOLDER = sys.argv[1]
layers = keras.layers


class Mine(keras.layers.Layer):  # type: ignore[misc]
    """A layer of the user's own."""

    def call(self, x: Any) -> Any:
        """Three times as much."""
        return 3 * x


class Twice(tf.Module):  # type: ignore[misc]
    """A module that can be saved with any signature."""

    @tf.function(input_signature=[tf.TensorSpec([1, 4], name="x")])  # type: ignore[untyped-decorator]
    def twice(self, x: Any) -> Any:
        """Twice as much."""
        return {"y": 2 * x}


class Calling(tf.Module):  # type: ignore[misc]
    """A module that calls Python."""

    @tf.function(input_signature=[tf.TensorSpec([1, 4], name="x")])  # type: ignore[untyped-decorator]
    def called(self, x: Any) -> Any:
        """Calls Python."""
        return {"y": tf.py_function(lambda t: 2 * t, [x], tf.float32)}


def save(name: str, *parts: Any) -> None:
    """A small model as .keras and .h5."""
    model = keras.Sequential([keras.Input((4,)), *parts])
    model.save(f"{FOLDER}/{name}.keras")
    model.save(f"{FOLDER}/{name}.h5")


def changed(name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change each layer's entry in the configuration of a .h5 file."""
    with h5py.File(f"{FOLDER}/{name}.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            change(layer)
        file.attrs["model_config"] = json.dumps(config)


def in_old_form(layer: dict[str, Any]) -> None:
    """As Keras 2 wrote it: other names, arguments that are gone, no modules."""
    name, config = layer["class_name"], layer["config"]
    for key in ("module", "registered_name", "build_config"):
        layer.pop(key, None)
    if name == "InputLayer":
        config |= {"batch_input_shape": config.pop("batch_shape"), "ragged": False}
    if name in ("DepthwiseConv2D", "Conv2DTranspose"):
        config["groups"] = 1
    if name == "BatchNormalization":
        config |= {"renorm": False, "virtual_batch_size": None, "fused": True, "axis": [3]}
    if name in ("LSTM", "GRU"):
        config |= {"time_major": False, "implementation": 2}


keras.utils.set_random_seed(0)
trace = f"{FOLDER}/executed"
save("lambda", layers.Lambda(lambda x, path=trace: (open(path, "w"), x)[1]))  # noqa: SIM115
save("activation", layers.Dense(3, activation=lambda x, path=trace: (open(path, "w"), x)[1]))  # noqa: SIM115
save("custom", Mine(name="mine"))
keras.Sequential([keras.Input((4,)), Mine()]).export(f"{FOLDER}/custom", verbose=False)
old = [layers.DepthwiseConv2D(3), layers.BatchNormalization(), layers.Conv2DTranspose(4, 2, 2)]
keras.Sequential([keras.Input((8, 8, 3)), *old]).save(f"{FOLDER}/old_cnn.h5")
keras.Sequential([keras.Input((7, 3)), layers.LSTM(4, return_sequences=True), layers.GRU(3)]).save(
    f"{FOLDER}/old_rnn.h5"
)
changed("old_cnn", in_old_form)
changed("old_rnn", in_old_form)
twice, calling = Twice(), Calling()
tf.saved_model.save(tf.Module(), f"{FOLDER}/none")
tf.saved_model.save(calling, f"{FOLDER}/python", signatures=calling.called)
tf.saved_model.save(twice, f"{FOLDER}/only", signatures={"any": twice.twice})
tf.saved_model.save(twice, f"{FOLDER}/several", signatures={"a": twice.twice, "b": twice.twice})
