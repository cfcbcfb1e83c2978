"""Answers requests, one line of JSON each."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from .frozen_graph import load_frozen
from .keras_file import load_keras
from .model import Model
from .refusal import Refusal, check_version, said, tensorflow
from .saved_model import load_saved_model


def load(request: dict[str, Any], folder: Path) -> Model:
    """The model that a request names, traced."""
    check_version()
    path, kind = Path(request["path"]), request["kind"]
    if kind != "pb" and (request["inputs"] or request["outputs"]):
        raise Refusal("--inputs and --outputs are for frozen .pb graphs; this file names its own")
    if kind == "saved_model":
        model, outputs = load_saved_model(path, folder, request["shapes"])
    elif kind == "pb":
        model, outputs = load_frozen(path, request["inputs"], request["outputs"])
    else:
        model, outputs = load_keras(path, folder)
    stray = sorted(set(request["shapes"]) - set(model.input_names))
    if stray:
        raise Refusal(f"--shape names '{stray[0]}'; its inputs are {', '.join(model.input_names)}")
    model.trace(request["shapes"], outputs)
    return model


def answer(request: dict[str, Any], model: Model | None, folder: Path) -> tuple[Model, dict[str, Any]]:
    """Load and convert the model where there is none yet, else run it; the model and the reply."""
    if model is None:
        model = load(request, folder)
        data = model.convert(folder)
        Path(request["to"]).write_bytes(data)
        return model, {
            "inputs": model.input_names, "outputs": model.output_names, "tensorflow": str(tensorflow().__version__),
            "dims": [None if shape is None else list(shape) for _, shape, _ in model.inputs],
            "other_floats": model.other_floats, "sha256": hashlib.sha256(data).hexdigest(),
        }  # fmt: skip
    numpy = importlib.import_module("numpy")
    with numpy.load(request["feeds"], allow_pickle=False) as stored:
        feeds = {name: stored[f"array_{i}"] for i, name in enumerate(request["names"])}
    outputs = [array.astype("float32") if array.dtype.name == "bfloat16" else array for array in model.run(feeds)]
    numpy.savez(request["to"], **{f"array_{i}": array for i, array in enumerate(outputs)})
    return model, {"outputs": len(outputs)}


def serve(folder: Path) -> None:
    """Answer requests until standard input ends; `folder` is the asker's, for files that may be left."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what TensorFlow prints shall not mix with the replies
    model: Model | None = None
    for line in sys.stdin:
        kind = ""
        try:
            request = json.loads(line)
            kind = request.get("kind", "")  # of what is to be loaded; a run names none
            model, reply = answer(request, model, folder)
        except Refusal as refusal:
            reply = {"error": str(refusal)}
        except MemoryError:
            reply = {"error": "the memory did not suffice"}
        except Exception as error:  # TensorFlow's errors have no common base; the reason goes to the asker
            reply = {"error": said(error, kind)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
