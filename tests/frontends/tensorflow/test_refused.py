"""What a TensorFlow model must not do, what it must bring along, and older files that are read all the same."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgec.driver import CompileOptions, compile_model
from edgec.errors import ImportFailure
from edgec.frontends.tensorflow import convert_tensorflow

Written = Callable[[str], Path]
LAMBDA = r"is or holds a lambda, Python code stored in the file, which edgec does not run"
CUSTOM = r"it uses 'Mine', which is not Keras's own and whose code is not in the file; export the model as a SavedModel"


def worker_module(name: str) -> Any:
    """A module of the package that runs in the other interpreter; its top imports the standard library only."""
    return importlib.import_module(f"edgec.frontends.tensorflow.worker.{name}")


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5", "activation.keras", "activation.h5"])
def test_stored_code_is_not_run(written: Written, tf_python: str, name: str) -> None:
    folder = written("refused")
    (folder / "executed").unlink(missing_ok=True)  # writing the model ran it
    with pytest.raises(ImportFailure, match=LAMBDA):
        convert_tensorflow(folder / name, python=tf_python)
    assert not (folder / "executed").exists()


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("custom.keras", CUSTOM),
        ("custom.h5", CUSTOM),
        ("python", r"it reads or writes files or runs Python code \(EagerPyFunc\), which edgec does not allow\.$"),
        ("none", r"it has no signature; save it with the function to compile as its signature"),
        ("several", r"it has the signatures a, b; save it with the function to compile as its signature"),
    ],
)
def test_what_cannot_be_compiled_is_one_sentence(written: Written, tf_python: str, name: str, said: str) -> None:
    with pytest.raises(ImportFailure, match=said):
        convert_tensorflow(written("refused") / name, python=tf_python)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["old_cnn.h5", "old_rnn.h5", "custom", "only"])
def test_what_looks_like_it_and_is_read(written: Written, tf_python: str, name: str) -> None:
    path = written("refused") / name
    check = compile_model(path, CompileOptions("rpi4", scheme="fp32", python=tf_python)).report.checks.float_vs_source
    assert check is not None
    assert check.passed


@pytest.mark.parametrize(
    "config",
    [
        {"module": "os", "class_name": "system", "config": {}, "registered_name": None},
        {"module": "builtins", "class_name": "eval", "config": "1 + 1", "registered_name": "eval"},
        {"module": None, "class_name": "Mine", "config": {"name": "mine"}, "registered_name": "Mine"},
        {"module": "keras_of_mine.layers", "class_name": "Dense", "config": {}},
        {"layers": [[{"module": "keras.layers", "class_name": "Dense", "config": {"kernel": {"module": "os"}}}]]},
    ],
)
def test_classes_of_other_modules_are_not_imported(config: dict[str, Any]) -> None:
    worker = worker_module("keras_config")
    with pytest.raises(worker.Refusal, match="which is not Keras's own"):
        worker.refuse_code(config)


def test_keras_own_classes_pass_and_training_is_not_read() -> None:
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"name": "dense", "units": 2}}
    relu = {"module": "builtins", "class_name": "function", "config": "relu6", "registered_name": "function"}
    loss = {"module": "mine", "class_name": "Loss", "config": {}}
    worker_module("keras_config").refuse_code({"layers": [layer, relu], "compile_config": {"loss": loss}})


@pytest.mark.parametrize(("version", "fits"), [("1.15.0", False), ("2.15.1", False), ("2.16.0-rc1", True)])
def test_versions_of_tensorflow(version: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = worker_module("refusal")
    monkeypatch.setattr(worker, "tensorflow", lambda: type("TensorFlow", (), {"__version__": version}))
    if fits:
        worker.check_version()
        return
    with pytest.raises(worker.Refusal, match=rf"^TensorFlow {version} is too old; name a Python with 2\.16 or newer"):
        worker.check_version()


def test_a_tensorflow_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = worker_module("refusal")

    def broken() -> Any:
        raise ImportError("libtensorflow.so.2: cannot open shared object file")

    monkeypatch.setattr(worker, "tensorflow", broken)
    with pytest.raises(worker.Refusal, match=r"^importing tensorflow failed: ImportError: libtensorflow\.so"):
        worker.check_version()
