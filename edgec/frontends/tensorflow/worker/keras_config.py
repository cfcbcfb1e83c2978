"""Configurations of Keras models: what older ones need, and what is refused in any."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .refusal import Refusal

# Arguments that older Keras versions wrote with the only value they had, and that current layers reject.
WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "DepthwiseConv2D": {"groups": 1},
    "DepthwiseConv1D": {"groups": 1},
    "SeparableConv2D": {"groups": 1},
    "SeparableConv1D": {"groups": 1},
    "Conv2DTranspose": {"groups": 1},
    "Conv1DTranspose": {"groups": 1},
    "LSTM": {"time_major": False, "implementation": None},
    "GRU": {"time_major": False, "implementation": None},
    "SimpleRNN": {"time_major": False},
    "BatchNormalization": {"renorm": False, "virtual_batch_size": None, "fused": None},
    "InputLayer": {"ragged": False},
}
# What Keras writes as of the module `builtins`; it would import any other module that a file names.
PLAIN_TYPES = {"function", "dict", "list", "tuple", "str", "int", "float", "bool", "NoneType"}


def layers(config: Any) -> Iterator[dict[str, Any]]:
    """Every {"class_name", "config"} pair in a model's configuration, nested models included."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str) and isinstance(config.get("config"), dict):
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for part in config:
            yield from layers(part)


def repair(layer: dict[str, Any]) -> int:
    """Drop the arguments that have no effect and that current Keras rejects; how many there were."""
    known, arguments, dropped = WITHOUT_EFFECT.get(layer["class_name"], {}), layer["config"], 0
    for key, only in known.items():
        if key in arguments and (only is None or arguments[key] == only):
            del arguments[key]
            dropped += 1
    return dropped


def refuse_code(config: Any, layer: str = "") -> None:
    """Refuse Python code stored in the file, and classes whose code is not in it, anywhere in a configuration."""
    if isinstance(config, list):
        for part in config:
            refuse_code(part, layer)
    if not isinstance(config, dict):
        return
    inner = config.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        layer = inner["name"]
    if config.get("class_name") in ("Lambda", "__lambda__") or _is_byte_code(config):
        raise Refusal(
            f"its layer '{layer}' is or holds a lambda, Python code stored in the file, which edgec does not run; "
            "replace it by a layer, or export the model as a SavedModel"
        )
    if isinstance(config.get("vocabulary"), str):
        raise Refusal(
            f"its layer '{layer}' reads its words from a file, which edgec does not do; save them in the layer"
        )
    module, name = str(config.get("module", "keras")), str(config.get("class_name"))
    if module.split(".")[0] != "keras" and not (module == "builtins" and name in PLAIN_TYPES):
        raise custom(name)
    for key, value in config.items():
        if key != "compile_config":  # how it was trained is not read
            refuse_code(value, layer)


def _is_byte_code(config: dict[str, Any]) -> bool:
    """True for the form in which Keras stores a function as marshalled byte code, its defaults and its closure."""
    value = config.get("value")
    return set(config) == {"value"} and isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def custom(name: str) -> Refusal:
    """What is said of a class or a function whose code is not Keras's own."""
    return Refusal(
        f"it uses '{name}', which is not Keras's own and whose code is not in the file; export the model as a "
        "SavedModel, with model.export(), where that code is at hand"
    )
