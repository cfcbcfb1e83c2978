"""TensorFlow, Keras and onnx2tf: other programs in other interpreters, and what is said where they are at fault."""

import importlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.backends.tflite import serialize
from edgec.driver import CompileOptions, compile_model
from edgec.driver.foreign import give_names
from edgec.driver.source import ReadOptions, load_source
from edgec.errors import ImportFailure, MissingExtra
from edgec.frontends.onnx import load_onnx
from edgec.frontends.tensorflow import convert_onnx2tf, convert_tensorflow, kind_of
from edgec.frontends.tensorflow.process import Worker, environment, run_once

HDF5_START = b"\x89HDF\r\n\x1a\n"


def worker_module(name: str) -> Any:
    """A module of the package that runs in the other interpreter; its top imports the standard library only."""
    return importlib.import_module(f"edgec.frontends.tensorflow.worker.{name}")


# -- refusals that need no TensorFlow ----------------------------------------------------------------------------------


def test_formats_are_told_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    assert kind_of(tmp_path / "saved") is None
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")
    found = [kind_of(tmp_path / name) for name in ("saved", "a.keras", "a.H5", "a.pb", "a.onnx")]
    assert found == ["saved_model", "keras", "h5", "pb", None]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.h5", b"PK", "it is no HDF5 file."),
        ("a.keras", HDF5_START, "it is no .keras file, those are zip archives."),
        ("saved_model.pb", b"x", "it is the graph of a SavedModel; give the folder"),
        ("a.pb", b"", "the file is empty."),
    ],
)
def test_damaged_files_are_refused_before_tensorflow_starts(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImportFailure) as caught:
        load_source(tmp_path / name)
    assert str(caught.value).startswith(f"Reading '{tmp_path / name}' with TensorFlow: {said}")


def test_a_folder_that_is_no_saved_model(tmp_path: Path) -> None:
    with pytest.raises(ImportFailure, match=r"it is a folder without a saved_model\.pb; give an \.onnx, .*SavedModel"):
        load_source(tmp_path)


def test_names_of_tensors_are_for_frozen_graphs(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(HDF5_START)
    with pytest.raises(ImportFailure, match=r"--inputs and --outputs are for frozen TensorFlow graphs \(\.pb\)"):
        load_source(tmp_path / "a.h5", options=ReadOptions(inputs=("x",)))


def test_without_tensorflow_the_extra_and_the_flag_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.frontends.tensorflow.process.find_spec", lambda name: None)
    (tmp_path / "a.h5").write_bytes(HDF5_START)
    with pytest.raises(MissingExtra, match=r"pip install 'edgec\[tensorflow\]', or name a Python .* with --python\.$"):
        convert_tensorflow(tmp_path / "a.h5")


def test_an_interpreter_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(HDF5_START)
    with pytest.raises(ImportFailure, match=r"--python names 'no/python', which is no program that can be run\.$"):
        convert_tensorflow(tmp_path / "a.h5", python="no/python")


def another_python(path: Path, line: str) -> Path:
    """A program that says it is some Python."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("exit 1", ImportFailure, "which does not answer as a Python does; is that environment whole?"),
        ("echo edgec-probe 2.7 0", ImportFailure, "which is Python 2.7; name one of 3.9 or newer."),
        ("echo edgec-probe 3.12 0", MissingExtra, "which is a Python without tensorflow; install it with pip install"),
    ],
)
def test_an_interpreter_that_will_not_do(tmp_path: Path, line: str, error: type[Exception], said: str) -> None:
    (tmp_path / "a.h5").write_bytes(HDF5_START)
    python = another_python(tmp_path / "python", line)
    with pytest.raises(error) as caught:
        convert_tensorflow(tmp_path / "a.h5", python=python)
    assert f"--python names '{python}', {said}" in str(caught.value)


def test_a_python_without_the_package_is_told_by_asking_it(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(HDF5_START)
    bare = ["-I", "-S"]  # this Python without its site-packages
    python = another_python(tmp_path / "python", f'exec {sys.executable} {" ".join(bare)} "$@"')
    with pytest.raises(MissingExtra, match="which is a Python without tensorflow"):
        convert_tensorflow(tmp_path / "a.h5", python=python)
    with pytest.raises(MissingExtra, match="which is a Python without onnx2tf; it pins versions that clash"):
        convert_onnx2tf(convolution(tmp_path / "net.onnx"), python=python)


def test_the_current_folder_is_no_place_for_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(HDF5_START)
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "contextlib.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    python = another_python(tmp_path / "python", f'exec {sys.executable} -S "$@"')
    with pytest.raises(MissingExtra, match="which is a Python without tensorflow"):
        convert_tensorflow(tmp_path / "a.h5", python=python)


# -- processes ---------------------------------------------------------------------------------------------------------


def python_worker(code: str) -> Worker:
    return Worker([sys.executable, "-c", textwrap.dedent(code)], doing="Trying")


def test_a_worker_answers_until_it_is_closed() -> None:
    worker = python_worker("""
        import json, sys
        for line in sys.stdin:
            print(json.dumps({"twice": 2 * json.loads(line)["number"]}), flush=True)
    """)
    folder = worker.folder
    assert [worker.ask({"number": n}, 30)["twice"] for n in (1, 21)] == [2, 42]
    worker.close()
    assert not folder.exists()


def test_nothing_is_left_when_the_worker_is_forgotten() -> None:
    worker = python_worker("import sys, os; print('{\"pid\": %d}' % os.getpid(), flush=True); sys.stdin.read()")
    folder, pid = worker.folder, worker.ask({}, 30)["pid"]
    del worker
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.stderr.write('first\\nlast words.\\n---\\n'); sys.exit(7)", "status 7: last words."),
        ("import os; os.abort()", "its process was ended by signal 6 (SIGABRT)."),
        ('import sys; sys.stdin.readline(); print(\'{"error": "it is odd."}\', flush=True)', "Trying: it is odd."),
        ("print('hello', flush=True)", "its process answered what is no reply: b'hello\\n'."),
    ],
)
def test_the_end_of_a_worker_is_one_sentence(code: str, said: str) -> None:
    worker = python_worker(code)
    with pytest.raises(ImportFailure) as caught:
        worker.ask({}, 30)
    assert str(caught.value).startswith("Trying: ")
    assert str(caught.value).endswith(said)
    worker.close()
    assert not worker.folder.exists()


def test_a_worker_that_hangs_is_ended() -> None:
    worker = python_worker("import time; time.sleep(600)")
    with pytest.raises(ImportFailure, match=r"^Trying: not finished after 0\.2 s; it was ended\.$"):
        worker.ask({}, 0.2)
    assert not worker.folder.exists()


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"
    begun = time.monotonic()
    with pytest.raises(ImportFailure, match="not finished after 1 s"):
        run_once([sys.executable, "-c", code], tmp_path, doing="Trying", timeout_s=1)
    assert time.monotonic() - begun < 20


def test_the_other_python_gets_its_own_programs_and_not_our_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    found = environment("/other/bin/python")
    assert found["PATH"].split(os.pathsep)[0] == "/other/bin"
    assert "PYTHONPATH" not in found


# -- the script, as far as it needs no TensorFlow ----------------------------------------------------------------------


def test_the_script_imports_neither_edgec_nor_numpy() -> None:
    code = (
        "import sys; sys.path.pop(0); import runpy; script = runpy.run_path(sys.argv[1], run_name='x'); "
        "script['module_of_the_package']('requests'); print(*sys.modules)"
    )
    run = [sys.executable, "-I", "-c", code, str(worker_module("__main__").__file__)]
    loaded = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
    assert {"edgec", "numpy", "tensorflow"} & {name.split(".")[0] for name in loaded} == set()


def test_arguments_without_effect_are_dropped_and_others_kept() -> None:
    worker = worker_module("keras_config")
    layers = [
        {"class_name": "DepthwiseConv2D", "config": {"name": "a", "groups": 1}},
        {"class_name": "DepthwiseConv2D", "config": {"name": "b", "groups": 2}},
        {"class_name": "Conv2D", "config": {"name": "c", "groups": 1}},
    ]
    nested = {"class_name": "Functional", "config": {"layers": layers}}
    assert sum(worker.repair(layer) for layer in worker.layers(nested)) == 1
    assert [layer["config"].get("groups") for layer in layers] == [None, 2, 1]  # type: ignore[attr-defined]


def test_stored_python_code_is_refused() -> None:
    worker = worker_module("keras_config")
    layer = {"class_name": "Lambda", "config": {"name": "twice", "function": ["4wEA", None, None]}}
    with pytest.raises(worker.Refusal, match="its layer 'twice' is or holds a lambda, Python code stored in the file"):
        worker.refuse_code({"class_name": "Functional", "config": {"layers": [layer]}})


def test_the_reason_is_taken_from_the_line_that_gives_one() -> None:
    text = "Graph execution error:\n\nDetected at node conv defined at\n  File x, line 1\nonly NHWC is supported."
    assert worker_module("refusal").said(RuntimeError(text)) == "RuntimeError: only NHWC is supported"


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("pb", "cut the graph around them with --inputs and --outputs, or replace them"),
        ("keras", "save a keras.Model of the layers before or behind them, or replace them"),
        ("h5", "save a keras.Model of the layers before or behind them, or replace them"),
        ("saved_model", "save it with a function that leaves them out as its signature, or replace them"),
    ],
)
def test_what_to_do_about_an_op_that_tflite_lacks_fits_the_format(kind: str, hint: str) -> None:
    error = RuntimeError("error: 'tf.Betainc' op is neither a custom op nor a flex op")
    found = worker_module("refusal").said(error, kind)
    assert found == f"TFLite has no builtin for its op Betainc; {hint}"


def test_shapes_are_fixed_or_the_flag_is_named() -> None:
    worker = worker_module("input_shapes")
    assert worker.fixed("x", (None, 8, 3), {}) == [1, 8, 3]
    assert worker.fixed("x", (None, None, 3), {"x": [2, 5, 3]}) == [2, 5, 3]
    with pytest.raises(worker.Refusal, match=r"dimension 1 of input 'x' is not fixed; fix it with --shape x=1,N,3$"):
        worker.fixed("x", (None, None, 3), {})
    with pytest.raises(worker.Refusal, match=r"dimension 1 of input 'x' is 8, --shape gives 4$"):
        worker.fixed("x", (None, 8), {"x": [1, 4]})
    with pytest.raises(worker.Refusal, match=r"input 'x' has 2 dimensions \(\?,8\), --shape gives 3$"):
        worker.fixed("x", (None, 8), {"x": [1, 8, 1]})


def test_inputs_without_a_shape_take_the_batch_of_those_with_one() -> None:
    worker = worker_module("input_shapes")
    inputs = [("x", (None, 8), None), ("y", (None, 3), None), ("z", (5, 3), None)]
    assert worker.given_batch(inputs, {}) == 1
    assert worker.given_batch(inputs, {"z": [5, 3]}) == 1
    assert worker.given_batch(inputs, {"y": [4, 3]}) == 4
    assert worker.fixed("x", (None, 8), {}, 4) == [4, 8]


# -- onnx2tf, played by a program that behaves like it -----------------------------------------------------------------


def convolution(path: Path, factor: float = 1.0) -> Path:
    weight = factor * np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 8])],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def program(path: Path, code: str) -> Path:
    """A program that is started as an interpreter is: `program -c …`, then `program -m onnx2tf -i model.onnx …`."""
    probed = "if sys.argv[1] == '-c':\n    sys.exit(print('edgec-probe 3.12 1'))"
    path.write_text(f"#!{sys.executable}\nimport os, shutil, sys\n{probed}\n{code}\n")
    path.chmod(0o755)
    return path


def writing(folder: Path, factor: float = 1.0) -> Path:
    """A program that overwrites its input and writes the convolution, its weights scaled, as a float `.tflite`."""
    made = folder / "made.tflite"
    made.write_bytes(serialize(load_onnx(convolution(folder / "made.onnx", factor), None)))
    code = f"open('model.onnx', 'w').close(); os.mkdir('out'); shutil.copy({str(made)!r}, 'out/model_float32.tflite')"
    return program(folder / "onnx2tf", code)


def test_onnx2tf_gets_a_copy_and_its_file_is_read_back(tmp_path: Path) -> None:
    path = convolution(tmp_path / "net.onnx")
    before = path.read_bytes()
    options = CompileOptions(device="rpi4", scheme="fp32", frontend="onnx2tf", python=str(writing(tmp_path)))
    report = compile_model(path, options).report
    assert path.read_bytes() == before
    assert report.model.format == "onnx"
    check = report.checks.float_vs_source
    assert check is not None
    assert check.passed
    assert check.reference is not None
    assert check.reference.startswith("onnxruntime")


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.5, False)])
def test_a_cross_check_says_whether_both_agree(tmp_path: Path, factor: float, agrees: bool) -> None:
    path = convolution(tmp_path / "net.onnx")
    python = str(writing(tmp_path, factor))
    options = CompileOptions(device="rpi4", scheme="fp32", cross_check="onnx2tf", python=python)
    checks = compile_model(path, options).report.checks
    assert checks.float_vs_source is not None
    assert checks.float_vs_source.passed
    assert checks.cross_check is not None
    assert checks.cross_check.passed is agrees
    notes = [note for note in checks.notes if note.startswith("onnx2tf's .tflite departs from edgec's translation: ")]
    assert bool(notes) is not agrees
    assert agrees or " agrees with edgec (largest error relative to the range: onnx2tf's " in notes[0]


def test_a_cross_check_that_fails_is_a_note(tmp_path: Path) -> None:
    python = program(tmp_path / "onnx2tf", "sys.exit('ERROR: op Foo is not supported')")
    options = CompileOptions(device="rpi4", scheme="fp32", cross_check="onnx2tf", python=str(python))
    checks = compile_model(convolution(tmp_path / "net.onnx"), options).report.checks
    assert checks.cross_check is None
    assert [note for note in checks.notes if "op Foo is not supported" in note]


def test_a_front_end_that_writes_nothing(tmp_path: Path) -> None:
    path = convolution(tmp_path / "net.onnx")
    with pytest.raises(ImportFailure, match=r"it ended well but wrote no float \.tflite; use edgec's own front end\.$"):
        convert_onnx2tf(path, python=str(program(tmp_path / "onnx2tf", "")))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cross_check": "other"}, "there is no second opinion 'other'; it is onnx2tf."),
        ({"cross_check": "onnx2tf", "python": "no/python"}, "which is no program that can be run."),
        ({"frontend": "other"}, "there is no front end 'other' to choose; it is onnx2tf."),
    ],
)
def test_requests_that_make_no_sense(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ImportFailure) as caught:
        compile_model(convolution(tmp_path / "net.onnx"), CompileOptions(device="rpi4", **options))
    assert str(caught.value).endswith(said)


def test_only_onnx_goes_to_onnx2tf(tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(serialize(load_onnx(convolution(tmp_path / "net.onnx"), None)))
    with pytest.raises(ImportFailure, match=r"with onnx2tf: it is no \.onnx file"):
        load_source(tmp_path / "net.tflite", options=ReadOptions(frontend="onnx2tf"))
    with pytest.raises(ImportFailure, match=r"onnx2tf reads \.onnx files only"):
        compile_model(tmp_path / "net.tflite", CompileOptions(device="rpi4", cross_check="onnx2tf"))


def test_borders_take_the_names_of_the_source(tmp_path: Path) -> None:
    module = load_onnx(convolution(tmp_path / "net.onnx"), None)
    inside = next(v for v in module.main.values() if v not in (*module.main.inputs, *module.main.outputs))
    inside.name = "image"
    give_names(module, ["image"], ["class"], "Trying")
    assert [v.name for v in (*module.main.inputs, *module.main.outputs)] == ["image", "class"]
    assert inside.name == "image_inner"
    assert module.signatures[0].inputs == (("image", 0),)
    with pytest.raises(ImportFailure, match=r"^Trying: the model has 2 inputs \(a, b\), the \.tflite .* has 1;"):
        give_names(module, ["a", "b"], ["class"], "Trying")


# -- TensorFlow itself -------------------------------------------------------------------------------------------------


MODELS = """
    import sys, numpy as np, tensorflow as tf, keras
    folder = sys.argv[1]
    keras.utils.set_random_seed(0)
    a, b = keras.Input((6, 8, 3), name="zebra"), keras.Input((4,), name="apple")
    x = keras.layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(a)
    x = keras.layers.GlobalAveragePooling2D()(x)
    one = keras.layers.Dense(5, name="one")(keras.layers.Concatenate()([x, b]))
    two = keras.layers.Dense(2, activation="softmax", name="another")(one)
    model = keras.Model([a, b], [one, two])
    model.save(folder + "/two.keras")
    model.save(folder + "/two.h5")
    model.export(folder + "/two", verbose=False)
    keras.Sequential([keras.Input((7, 3)), keras.layers.LSTM(4)]).save(folder + "/lstm.keras")
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)]).save(folder + "/open.keras")
    first = {"data_format": "channels_first"}
    parts = [keras.layers.Conv2D(5, 3, **first), keras.layers.MaxPooling2D(**first)]
    keras.Sequential([keras.Input((3, 9, 9)), *parts]).save(folder + "/channels_first.keras")
    import h5py, json
    with h5py.File(folder + "/two.h5", "r+") as f:
        config = json.loads(f.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"]["groups"] = 1
        f.attrs["model_config"] = json.dumps(config)
    class Reads(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1, 2], name="x")])
        def __call__(self, x):
            return x * tf.strings.to_number(tf.io.read_file("/etc/hostname"))
    m = Reads()
    tf.saved_model.save(m, folder + "/reads", signatures=m.__call__)
"""


@pytest.fixture(scope="session")
def keras_models(tf_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models written by the TensorFlow at hand."""
    folder = tmp_path_factory.mktemp("keras")
    code = [tf_python, "-c", textwrap.dedent(MODELS), str(folder)]
    run = subprocess.run(code, capture_output=True, text=True, env=environment(tf_python))
    assert run.returncode == 0, run.stderr[-2000:]
    return folder


def compiled(path: Path, python: str, **options: Any) -> Any:
    return compile_model(path, CompileOptions(device="rpi4", scheme="fp32", python=python, **options)).report


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("two.keras", ["zebra", "apple"], ["one", "another"]),
        ("two.h5", ["zebra", "apple"], ["one", "another"]),
        ("two", ["apple", "zebra"], ["output_0", "output_1"]),
        ("lstm.keras", None, None),
        ("channels_first.keras", None, None),  # TensorFlow's CPU kernels refuse it: XLA computes what is compared
    ],
)
def test_keras_models_keep_names_and_order(
    keras_models: Path, tf_python: str, name: str, inputs: list[str] | None, outputs: list[str] | None
) -> None:
    report = compiled(keras_models / name, tf_python)
    check = report.checks.float_vs_source
    assert check is not None, report.checks.notes
    assert check.passed
    assert check.reference.startswith("tensorflow ")
    if inputs is not None:
        assert [tensor.name for tensor in report.artifact.outputs] == outputs
        assert [tensor.name for tensor in report.artifact.inputs] == inputs


@pytest.mark.tensorflow
def test_open_dimensions_are_named_and_fixed(keras_models: Path, tf_python: str) -> None:
    path = keras_models / "open.keras"
    with pytest.raises(
        ImportFailure, match=r"dimension 1 of input '(\w+)' is not fixed; fix it with --shape \1=1,N,N,3"
    ) as caught:
        load_source(path, options=ReadOptions(python=tf_python))
    name = str(caught.value).partition("input '")[2].partition("'")[0]
    opened = compiled(path, tf_python, shapes={name: ("?", "32?", "48?", 3)})
    assert opened.artifact.inputs[0].shape == [-1, -1, -1, 3]
    note = next(d.message for d in opened.diagnostics if d.op == "open dimensions")
    assert "agrees with tensorflow " in note
    with pytest.raises(ImportFailure, match=r"--shape names 'other'; its inputs are \w+\.$"):
        load_source(path, {"other": (1, 8, 8, 3)}, options=ReadOptions(python=tf_python))


@pytest.mark.tensorflow
def test_a_graph_that_reads_files_is_refused(keras_models: Path, tf_python: str) -> None:
    with pytest.raises(ImportFailure, match=r"it reads or writes files or runs Python code \(ReadFile\)"):
        load_source(keras_models / "reads", options=ReadOptions(python=tf_python))


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "mlperf_tiny/vww_96.h5", "mlperf_tiny/ad01.h5", "mlperf_tiny/pretrainedResnet.h5",
        "mlperf_tiny/kws_ref_model_saved_model", "keras_applications/mobilenet_v1_0.25_224.h5",
        "arm_kws_pb/DS_CNN_S.pb", "arm_kws_pb/CRNN_S.pb",
    ],
)  # fmt: skip
def test_shared_models(shared_data: Path, tf_python: str, name: str) -> None:
    cut = {"inputs": ("Mfcc",), "outputs": ("labels_softmax",)} if name.endswith(".pb") else {}
    report = compiled(shared_data / "models" / name, tf_python, **cut)
    assert report.checks.float_vs_source is not None, report.checks.notes
    assert report.checks.float_vs_source.max_rel_to_range < 1e-4
    assert report.transposes.count == 0


@pytest.mark.tensorflow
def test_frozen_graphs_name_what_they_lack(shared_data: Path, tf_python: str) -> None:
    path = shared_data / "models" / "arm_kws_pb" / "DS_CNN_S.pb"
    with pytest.raises(ImportFailure, match=r"--inputs names 'mfc', which the graph does not have; it has Mfcc\.$"):
        convert_tensorflow(path, python=tf_python, inputs=["mfc"], outputs=["labels_softmax"])


@pytest.mark.onnx2tf
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlperf_tiny/pretrainedResnet.onnx", "detection/FastestDet.onnx"])
def test_the_real_onnx2tf_agrees(shared_data: Path, onnx2tf_python: str, name: str) -> None:
    report = compiled(shared_data / "models" / name, onnx2tf_python, cross_check="onnx2tf")
    assert report.checks.cross_check is not None, report.checks.notes
    assert report.checks.cross_check.passed
