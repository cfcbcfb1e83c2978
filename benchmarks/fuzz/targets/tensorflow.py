"""TensorFlow's formats, read by edgec's worker script: SavedModels, `.keras`, `.h5`, frozen graphs.

Needs an interpreter with TensorFlow (`--python`). The script runs in a fork of this process, where TensorFlow is
imported already: as in edgec, where it runs in a process of its own, a crash of TensorFlow is a refusal. Files that are
opened, time and memory count.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import sys
import tempfile
import time
import warnings
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from fuzz.case import Case
from fuzz.json_tree import mutate_json
from fuzz.mutate import mutate_bytes
from fuzz.protobuf import mutate_message

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
TEXTS = (
    "Lambda", "__lambda__", "StringLookup", "os", "builtins", "eval", "keras.layers", "Dense", "LSTM",
    "../bait/secret.bin", "vocabulary", "", "float16", "linear", "x" * 3000, "keras>Custom", "function",
    "tensorflow.python.ops.io_ops",
)  # fmt: skip
WORDS = (
    "ReadFile", "WriteFile", "PyFunc", "Const", "Placeholder", "MatMul", "Conv2D", "RestoreV2", "SaveV2", "While",
    "StatefulPartitionedCall", "InitializeTableFromTextFileV2", "TextLineDataset", "../bait/secret.bin", "Reshape",
)  # fmt: skip
OUTSIDE_LINKS = {
    "variables/variables.index": "../../bait/secret.bin",
    "assets": "../bait",
    "fingerprint.pb": "/etc/passwd",
}
FORKS = 3
STANDSTILL_S = 40.0  # of wall time: a fork may use 15 s of processor time on a busy machine


def _network() -> Any:
    import keras

    layers = [
        keras.layers.Input((6, 6, 2), name="image"), keras.layers.Conv2D(3, 3, activation="relu"),
        keras.layers.DepthwiseConv2D(2), keras.layers.BatchNormalization(), keras.layers.Reshape((9, 3)),
        keras.layers.LSTM(4, unroll=True), keras.layers.Dense(2),
    ]  # fmt: skip
    return keras.Sequential(layers)


@cache
def corpus() -> dict[str, dict[str, bytes]]:
    """Files by format, as TensorFlow writes them."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    network = _network()
    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        root = Path(folder)
        network.save(root / "net.keras")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.save(root / "net.h5")
        network.export(str(root / "saved"), verbose=False)
        function = tf.function(network).get_concrete_function(tf.TensorSpec((1, 6, 6, 2)))
        frozen = convert_variables_to_constants_v2(function).graph.as_graph_def().SerializeToString()
        saved = {str(p.relative_to(root / "saved")): p.read_bytes() for p in (root / "saved").rglob("*") if p.is_file()}
        return {
            "keras": {"net.keras": (root / "net.keras").read_bytes()}, "h5": {"net.h5": (root / "net.h5").read_bytes()},
            "pb": {"net.pb": frozen}, "saved_model": saved,
        }  # fmt: skip


def _changed_keras(random: Random, data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(stream, "w") as archive:
        for info in given.infolist():
            member = given.read(info)
            if info.filename == "config.json" and random.random() < 0.6:
                member = mutate_json(random, member, TEXTS)
            elif info.filename.endswith(".h5") and random.random() < 0.3:
                member = _changed_h5(random, member)
            elif random.random() < 0.1:
                member = mutate_bytes(random, member)
            archive.writestr(info.filename, member)
    return stream.getvalue()


def _changed_h5(random: Random, data: bytes) -> bytes:
    """Its configuration or its links changed, or its bytes."""
    import h5py

    kind = random.random()
    if kind < 0.3:
        return mutate_bytes(random, data)
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        groups = [file]
        file.visititems(lambda _, part: groups.append(part) if isinstance(part, h5py.Group) else None)
        group = random.choice(groups)
        if kind < 0.6 and "model_config" in file.attrs:
            text = mutate_json(random, file.attrs["model_config"].encode(), TEXTS)
            if len(text) < 60_000:
                file.attrs["model_config"] = text.decode()
        elif kind < 0.8:
            name = random.choice([*group, "new"])
            if name in group:
                del group[name]
            link = random.choice(
                (h5py.ExternalLink("../bait/secret.h5", "/x"), h5py.SoftLink("/"), h5py.SoftLink("/no"))
            )
            group[name] = link
        else:
            places = [("../bait/secret.bin", 0, 64)]
            group.create_dataset(f"outside{random.randrange(99)}", (16,), "f4", external=places)
    return stream.getvalue()


def _changed_proto(random: Random, data: bytes, kind: str) -> bytes:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    if random.random() < 0.15:
        return mutate_bytes(random, data)
    message = GraphDef() if kind == "pb" else SavedModel()
    message.ParseFromString(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        mutate_message(random, message, [], WORDS)
    return bytes(message.SerializeToString())


@cache
def _script() -> Any:
    """The module of edgec's worker that answers requests."""
    from edgec.frontends.tensorflow.worker import requests

    return requests


class TensorflowTarget:
    """The worker's answer to one request to convert."""

    name = "tensorflow"

    def __init__(self) -> None:
        corpus()
        _script()

    def make(self, random: Random) -> Case:
        """A new case."""
        kind = random.choice(list(corpus()))
        files = dict(corpus()[kind])
        links: dict[str, str] = {}
        if kind == "keras":
            whole = files["net.keras"]
            files["net.keras"] = mutate_bytes(random, whole) if random.random() < 0.1 else _changed_keras(random, whole)
        elif kind == "h5":
            files["net.h5"] = _changed_h5(random, files["net.h5"])
        else:
            main = "net.pb" if kind == "pb" else random.choice(("saved_model.pb", "saved_model.pb", *files))
            is_proto = main in ("net.pb", "saved_model.pb")
            files[main] = _changed_proto(random, files[main], kind) if is_proto else mutate_bytes(random, files[main])
            if kind == "saved_model" and random.random() < 0.1:
                name = random.choice(list(OUTSIDE_LINKS))
                files.pop(name, None)
                links[name] = OUTSIDE_LINKS[name]
        main = "." if kind == "saved_model" else next(iter(files))
        return Case(main, files, links, mode=kind)

    def run(self, path: Path, case: Case) -> None:
        """Convert in a fork; what it says is read from a pipe."""
        from edgec.errors import ImportFailure
        from fuzz.watch import active_watch

        for _ in range(FORKS):
            said, status = _forked(path, case)
            if said is not None:
                break
        else:
            _in_a_process_of_its_own(path)
            return
        reply = json.loads(said) if said else {"error": f"ended with status {status}", "seen": []}
        active_watch().seen += reply["seen"]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            raise TimeoutError("more processor time than allowed")
        if reply["error"]:
            raise ImportFailure(reply["error"])


def _forked(path: Path, case: Case) -> tuple[bytes | None, int]:
    """What a fork says, and its status; None where it stands still: a thread of TensorFlow's held a lock it needs."""
    from fuzz.watch import active_watch

    with tempfile.TemporaryDirectory(prefix="edgec-") as folder:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _convert(path, case, Path(folder), writing, active_watch())
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            ready, _, _ = select.select([stream], [], [], STANDSTILL_S)
            if not ready:
                os.kill(child, signal.SIGKILL)
            said = stream.read()
        _, status = os.waitpid(child, 0)
        return (said if ready else None), status


def _in_a_process_of_its_own(path: Path) -> None:
    """As edgec does it, where every fork stands still; only the bait tells what else it opens."""
    from edgec.frontends.tensorflow import convert_tensorflow

    began = time.monotonic()
    try:
        convert_tensorflow(path, python=sys.executable, timeout_s=STANDSTILL_S)
    finally:
        if time.monotonic() - began >= STANDSTILL_S:
            raise TimeoutError("no answer from a process of its own")


def _convert(path: Path, case: Case, folder: Path, pipe: int, watch: Any) -> None:
    """The child's whole life."""
    import resource

    from fuzz.worker import HANG_S

    tempfile.tempdir = str(folder)  # as TMPDIR of edgec's worker
    signal.setitimer(signal.ITIMER_PROF, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (int(HANG_S), int(HANG_S) + 5))
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    request = {
        "path": str(path), "kind": case.mode, "inputs": [], "outputs": [], "shapes": {},
        "to": str(folder / "model.tflite"),
    }  # fmt: skip
    error = ""
    try:
        _script().answer(request, None, folder)
    except BaseException as raised:  # whatever it is, the worker says so in one line
        error = f"{type(raised).__name__}: {raised}"[:2000] or "error"
    watch.active = False
    os.write(pipe, json.dumps({"error": error, "seen": watch.seen[:20]}).encode())
    os._exit(0)
