"""A wrong translation is traced to the node, the pass or the other program where it begins."""

from __future__ import annotations

import os
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.errors import TranslationFault
from edgec.frontends import tflite as tflite_frontend
from edgec.frontends.onnx import families
from edgec.frontends.tensorflow import TensorflowImport
from edgec.frontends.tensorflow.process import environment
from edgec.ir.builder import Builder
from edgec.passes.fuse.fuse_activation import Clamped, FuseActivation

OPTIONS = CompileOptions(device="rpi4", scheme="fp32")


def deep_net(path: Path, *, centred: bool = False) -> Path:
    """Thirty nodes: convolutions, two kinds of activations, sums over a branch, a pooling and a resize.

    `centred` takes the mean of a nearly constant map away in front, which enlarges all errors by far.
    """
    generator = np.random.default_rng(0)
    nodes, constants, x = [], {"factors": np.array([1, 1, 2, 2], np.float32), "hundred": np.float32(100)}, "x"
    if centred:
        nodes.append(helper.make_node("Add", ["x", "hundred"], ["far"], name="shift"))
        nodes.append(helper.make_node("ReduceMean", ["far"], ["mean"], name="mean", axes=[1, 2, 3], keepdims=1))
        nodes.append(helper.make_node("Sub", ["far", "mean"], ["centred"], name="centre"))
        x = "centred"
    for i in range(9):
        inputs = 3 if i == 0 else 8
        weights = generator.standard_normal((8, inputs, 3, 3)) / np.sqrt(9 * inputs)
        constants[f"w{i}"] = weights.astype(np.float32)
        nodes.append(helper.make_node("Conv", [x, f"w{i}"], [f"c{i}"], name=f"conv_{i}", pads=[1] * 4))
        kind = {"op_type": "LeakyRelu", "alpha": 0.1 + 0.02 * i} if i % 2 else {"op_type": "Relu"}
        nodes.append(helper.make_node(inputs=[f"c{i}"], outputs=[f"r{i}"], name=f"activation_{i}", **kind))
        x = f"r{i}"
        if i in (2, 5):
            nodes.append(helper.make_node("Add", [f"r{i}", f"r{i - 1}"], [f"a{i}"], name=f"sum_{i}"))
            x = f"a{i}"
        elif i != 3:
            nodes.append(helper.make_node("Identity", [x], [f"i{i}"], name=f"same_{i}"))
            x = f"i{i}"
        if i == 3:
            nodes.append(helper.make_node("MaxPool", [x], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]))
            nodes.append(helper.make_node("Resize", ["p", "", "factors"], ["u"], name="resize", mode="nearest"))
            x = "u"
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["y"], name="head"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 1, 1])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert len(nodes) >= 29
    return path


def fault_of(model: Any, options: CompileOptions = OPTIONS) -> str:
    with pytest.raises(TranslationFault) as caught:
        compile_model(model, options)
    return str(caught.value)


def break_translation(monkeypatch: pytest.MonkeyPatch, op_type: str, name: str, change: Callable[[Any], None]) -> None:
    """Let the translator of one node see another attribute than the file has."""
    sound = families.TRANSLATIONS[op_type]

    def translate(node: Any, context: Any) -> Any:
        if node.name == name:
            change(node._attributes)
        return sound(node, context)

    monkeypatch.setitem(families.TRANSLATIONS, op_type, translate)


def _set(key: str, field: str, number: Any) -> Callable[[Any], None]:
    def change(attributes: Any) -> None:
        attributes[key] = onnx.AttributeProto.FromString(attributes[key].SerializeToString())
        if field == "ints":
            del attributes[key].ints[:]
            attributes[key].ints.extend(number)
        else:
            setattr(attributes[key], field, number)

    return change


def test_an_output_of_another_shape_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = deep_net(tmp_path / "net.onnx")
    proto = onnx.load(path)
    proto.graph.node.pop()  # the pooling, which hides sizes
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("i8", TensorProto.FLOAT, [1, 8, 16, 16]))
    onnx.save(proto, path)
    break_translation(monkeypatch, "Conv", "conv_7", _set("pads", "ints", [1, 1, 2, 2]))
    message = fault_of(path)
    assert "output 'i8' departs from onnxruntime " in message
    assert " in shape or by values that are not finite, the tolerance is " in message
    assert "the first node that departs is Conv 'conv_7'" in message


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(
    ("op_type", "name", "change", "became"),
    [
        ("LeakyRelu", "activation_1", _set("alpha", "f", 0.4), "leaky_relu 'r1'"),
        ("LeakyRelu", "activation_7", _set("alpha", "f", 0.4), "leaky_relu 'r7'"),
        ("Conv", "conv_4", _set("pads", "ints", [0, 0, 2, 2]), "conv_2d"),
        ("Resize", "resize", _set("mode", "s", b"linear"), "resize_bilinear"),
    ],
)
def test_the_broken_node_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, centred: bool, op_type: str, name: str,
    change: Callable[[Any], None], became: str,
) -> None:  # fmt: skip
    path = deep_net(tmp_path / "net.onnx", centred=centred)
    break_translation(monkeypatch, op_type, name, change)
    message = fault_of(path)
    assert f"the first node that departs is {op_type} '{name}' (translated to " in message
    assert became in message.partition("(translated to ")[2]
    assert "it departs by 0." in message


def test_a_sound_net_departs_nowhere(tmp_path: Path) -> None:
    check = compile_model(deep_net(tmp_path / "net.onnx", centred=True), OPTIONS).report.checks.float_vs_source
    assert check is not None
    assert check.passed


def test_a_wrongly_folded_constant_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two, three = (numpy_helper.from_array(np.full(4, n, np.float32), name) for n, name in ((2, "two"), (3, "three")))
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["two", "three"], ["six"], name="fold_me"),
            helper.make_node("Add", ["x", "six"], ["y"], name="last"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [two, three],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    where = "edgec.frontends.onnx.importer.fold_node"
    sound = __import__("edgec.frontends.onnx.importer", fromlist=["fold_node"]).fold_node

    def fold(proto: Any, *rest: Any, **options: Any) -> Any:
        folded = sound(proto, *rest, **options)
        return [array + 1 for array in folded] if proto.name == "fold_me" and folded is not None else folded

    monkeypatch.setattr(where, fold)
    assert "the first node that departs is Mul 'fold_me' (translated to a constant)" in fault_of(path)


def test_a_fault_inside_a_function_or_loop_is_that_of_the_node_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaky = helper.make_node("LeakyRelu", ["a"], ["t"], alpha=0.3, name="inside")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    function = helper.make_function("my", "Leak", ["a"], ["t"], [leaky], opsets[:1])
    scalars = [helper.make_tensor_value_info(n, t, []) for n, t in (("i", TensorProto.INT64), ("c", TensorProto.BOOL))]
    state = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8]) for n in ("a", "t")]
    same = helper.make_node("Identity", ["c"], ["c2"])
    kept = helper.make_tensor_value_info("c2", TensorProto.BOOL, [])
    body = helper.make_graph([leaky, same], "body", [*scalars, state[0]], [kept, state[1]])
    for node in (
        helper.make_node("Leak", ["n"], ["l"], name="around", domain="my"),
        helper.make_node("Loop", ["twice", "", "n"], ["l"], name="around", body=body),
    ):
        nodes = [helper.make_node("Neg", ["x"], ["n"]), node, helper.make_node("Abs", ["l"], ["y"])]
        borders = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8])] for n in ("x", "y")]
        graph = helper.make_graph(nodes, "g", *borders, [numpy_helper.from_array(np.array(2), "twice")])
        proto = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=9)
        path = tmp_path / f"{node.op_type}.onnx"
        onnx.save(proto, path)
        with monkeypatch.context() as patch:
            sound = families.TRANSLATIONS["LeakyRelu"]

            def translate(node: Any, context: Any, sound: Any = sound) -> Any:
                node._attributes["alpha"] = helper.make_attribute("alpha", 0.9)
                return sound(node, context)

            patch.setitem(families.TRANSLATIONS, "LeakyRelu", translate)
            assert f"the first node that departs is {node.op_type} 'around' (translated to leaky_relu" in fault_of(path)


def test_the_broken_pass_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = FuseActivation.rewrite

    def rewrite(self: FuseActivation, match: Clamped, builder: Builder) -> None:
        sound(self, match, builder)
        if match.producer.result.name == "r6":
            match.producer.attributes["fused_activation_function"] = "RELU_N1_TO_1"

    monkeypatch.setattr(FuseActivation, "rewrite", rewrite)
    message = fault_of(deep_net(tmp_path / "net.onnx"))
    assert "the translation agrees until pass 'fuse_activation', after which it departs by " in message
    assert "; the first op that departs then is conv_2d 'c6' (net.onnx: conv_6)" in message


def test_the_broken_reading_of_a_tflite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(compile_model(deep_net(tmp_path / "net.onnx"), OPTIONS).artifact)
    sound = tflite_frontend._attributes

    def attributes(*given: Any) -> Any:
        opcode, found, extra = sound(*given)
        if opcode == "leaky_relu" and found["alpha"] == pytest.approx(0.2):
            found["alpha"] = 0.9
        return opcode, found, extra

    monkeypatch.setattr(tflite_frontend, "_attributes", attributes)
    message = fault_of(path)
    assert "departs from ai-edge-litert" in message
    assert "the first node that departs is leaky_relu 'r5' (translated to leaky_relu 'r5')" in message


def test_the_message_has_figures_and_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_translation(monkeypatch, "LeakyRelu", "activation_3", _set("alpha", "f", 0.4))
    message = fault_of(deep_net(tmp_path / "net.onnx"))
    assert message.startswith("Checking the translation of 'net.onnx': output 'y' departs from onnxruntime ")
    assert " of its range (largest error " in message
    assert "the tolerance is 0.001 of the output's range; " in message
    assert message.endswith("this is a fault of edgec, please report it (--no-check compiles all the same).")
    report = compile_model(tmp_path / "net.onnx", CompileOptions(device="rpi4", scheme="fp32", check=False)).report
    assert report.checks.float_vs_source is None


# -- PyTorch and TensorFlow --------------------------------------------------------------------------------------------


@pytest.mark.torch
def test_the_broken_node_of_a_torch_network_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'edgec[torch]')")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed (pip install 'edgec[torch]')")
    torch.manual_seed(0)
    layers = [part for i in range(5) for part in (torch.nn.Conv2d(3 if i == 0 else 6, 6, 3), torch.nn.ELU(0.5 + i / 8))]
    network = torch.nn.Sequential(*layers)
    sound = families.TRANSLATIONS["Elu"]
    seen: list[str] = []

    def translate(node: Any, context: Any) -> Any:
        if node.float("alpha", 1.0) == 0.75:
            seen.append(node.name)
            node._attributes["alpha"] = helper.make_attribute("alpha", 3.0)
        return sound(node, context)

    monkeypatch.setitem(families.TRANSLATIONS, "Elu", translate)
    options = CompileOptions(device="rpi4", scheme="fp32", example_inputs=torch.zeros(1, 3, 20, 20))
    message = fault_of(network, options)
    assert "departs from torch " in message
    assert f"the first node that departs is Elu '{seen[0]}' (translated to " in message


@pytest.mark.torch
def test_an_export_that_departs_from_torch_is_the_exporters_fault() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'edgec[torch]')")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed (pip install 'edgec[torch]')")

    class TwoFaced(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Computes something else while it is exported."""

        def forward(self, x: Any) -> Any:
            return x * 2 if torch.compiler.is_compiling() else x * 3

    options = CompileOptions(device="rpi4", scheme="fp32", example_inputs=torch.zeros(1, 4))
    message = fault_of(TwoFaced(), options)
    assert "what torch's ONNX exporter wrote departs by " in message
    assert "this is a fault of torch's ONNX exporter or of how it is used (--no-check" in message


@pytest.fixture
def keras_model(tmp_path: Path) -> tuple[Path, str]:
    """A small Keras file and the interpreter that wrote it."""
    python = os.environ.get("EDGEC_TF_PYTHON")
    if not python:
        pytest.skip("EDGEC_TF_PYTHON names no Python with TensorFlow")
    code = """
        import sys, keras
        keras.utils.set_random_seed(0)
        layers = [keras.Input((12, 12, 3)), keras.layers.Conv2D(6, 3), keras.layers.LeakyReLU(negative_slope=0.2)]
        layers += [keras.layers.Conv2D(6, 3), keras.layers.LeakyReLU(negative_slope=0.4), keras.layers.Flatten()]
        keras.Sequential([*layers, keras.layers.Dense(3)]).save(sys.argv[1])
    """
    path = tmp_path / "net.keras"
    run = subprocess.run(
        [python, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, env=environment(python)
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return path, python


@pytest.mark.tensorflow
def test_a_keras_model_read_wrongly_is_named(keras_model: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    sound = tflite_frontend._attributes

    def attributes(*given: Any) -> Any:
        opcode, found, extra = sound(*given)
        if opcode == "leaky_relu" and found["alpha"] == pytest.approx(0.4):
            found["alpha"] = -1.0
        return opcode, found, extra

    monkeypatch.setattr(tflite_frontend, "_attributes", attributes)
    message = fault_of(keras_model[0], CompileOptions(device="rpi4", scheme="fp32", python=keras_model[1]))
    assert "departs from tensorflow 2" in message
    assert "the first node that departs is leaky_relu '" in message


@pytest.mark.tensorflow
def test_a_conversion_that_departs_from_tensorflow_is_the_converters_fault(
    keras_model: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = TensorflowImport.run
    monkeypatch.setattr(TensorflowImport, "run", lambda self, feeds: [2 * array for array in sound(self, feeds)])
    message = fault_of(keras_model[0], CompileOptions(device="rpi4", scheme="fp32", python=keras_model[1]))
    assert "what TensorFlow's converter wrote departs by " in message
    assert "this is a fault of TensorFlow's converter or of how it is used" in message
