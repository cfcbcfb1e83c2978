"""Generated inputs are such as the model takes: indices within their tables, masks that leave something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgec.driver import CompileOptions, compile_model
from edgec.driver.feeds import CHECK_SAMPLES, generated_feeds
from edgec.driver.input_domain import IntegerDomain, integer_domain
from edgec.frontends.onnx import load_onnx
from edgec.ir.graph import Module

OPTIONS = CompileOptions(device="rpi4", scheme="fp32")
FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def saved(
    path: Path, nodes: list[Any], inputs: dict[str, tuple[int, list[int]]], outputs: dict[str, tuple[int, list[int]]],
    constants: dict[str, Any],
) -> Path:  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, *t) for n, t in inputs.items()],
        [helper.make_tensor_value_info(n, *t) for n, t in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def language_model(path: Path) -> Path:
    """Token, position (moved by two) and segment embeddings, a mask of -inf, and one row picked by number."""
    generator = np.random.default_rng(0)
    node = helper.make_node
    nodes = [
        node("Gather", ["words", "tokens"], ["w"]),
        node("Add", ["positions", "two"], ["moved"]),
        node("Gather", ["places", "moved"], ["p"]),
        node("Gather", ["kinds", "segments"], ["k"]),
        node("Add", ["w", "p"], ["wp"]),
        node("Add", ["wp", "k"], ["x"]),
        node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]),
        node("MatMul", ["x", "xt"], ["scores"]),
        node("Where", ["mask", "zero", "never"], ["bias"]),
        node("Add", ["scores", "bias"], ["masked"]),
        node("Softmax", ["masked"], ["weights"], axis=-1),
        node("MatMul", ["weights", "x"], ["mixed"]),
        node("Gather", ["mixed", "row"], ["y"], axis=1),
    ]
    constants = {
        "words": generator.standard_normal((50, 8)), "places": generator.standard_normal((9, 8)),
        "kinds": generator.standard_normal((2, 8)), "zero": 0.0, "never": -np.inf,
    }  # fmt: skip
    arrays = {name: np.asarray(array, np.float32) for name, array in constants.items()}
    inputs = {name: (INT, [1, 7]) for name in ("tokens", "positions", "segments")}
    return saved(
        path, nodes, {**inputs, "mask": (BOOL, [1, 1, 7]), "row": (INT, [1])}, {"y": (FLOAT, [1, 1, 8])},
        {**arrays, "two": np.int64(2)},
    )  # fmt: skip


def domains(module: Module) -> dict[str, IntegerDomain]:
    return {v.name: integer_domain(module, v) for v in module.main.inputs if not v.dtype.is_float}


def test_indices_are_bounded_by_what_they_index(tmp_path: Path) -> None:
    found = domains(load_onnx(language_model(tmp_path / "net.onnx")))
    assert found["tokens"].below == 50
    assert found["positions"].below == 7  # nine places, moved by two
    assert found["segments"].below == 2
    assert found["row"].below == 7


def test_a_language_model_is_compared_on_indices_of_the_whole_table(tmp_path: Path) -> None:
    path = language_model(tmp_path / "net.onnx")
    feeds = generated_feeds(load_onnx(path))
    tokens = np.stack([feed["tokens"] for feed in feeds])
    assert tokens.min() >= 0
    assert 40 < tokens.max() < 50
    assert feeds[0]["mask"].all()
    assert not all(feed["mask"].all() for feed in feeds)
    check = compile_model(path, OPTIONS).report.checks.float_vs_source
    assert check is not None
    assert check.passed
    assert check.finite
    assert check.samples == CHECK_SAMPLES


@pytest.mark.parametrize(
    ("node", "constants", "expected"),
    [
        (helper.make_node("GatherND", ["table", "i"], ["y"]), {"table": np.zeros((4, 6, 2), np.float32)}, 4),
        (helper.make_node("GatherElements", ["table", "i"], ["y"], axis=1), {"table": np.zeros((3, 5), np.float32)}, 5),
        (helper.make_node("OneHot", ["i", "depth", "pair"], ["y"]),
         {"depth": np.int64(6), "pair": np.array([0, 1], np.float32)}, 6),
        (helper.make_node("ScatterND", ["table", "i", "new"], ["y"]),
         {"table": np.zeros((8, 9), np.float32), "new": np.ones(3, np.float32)}, 8),
        (helper.make_node("Mod", ["seven", "i"], ["y"]), {"seven": np.array([[7, 7]])}, None),
    ],
)  # fmt: skip
def test_other_ops_bound_their_indices(
    tmp_path: Path, node: Any, constants: dict[str, np.ndarray], expected: int | None
) -> None:
    proto = onnx.shape_inference.infer_shapes(
        onnx.load(saved(tmp_path / "net.onnx", [node], {"i": (INT, [3, 2])}, {}, constants))
    )
    proto.graph.output.append(proto.graph.value_info[0] if proto.graph.value_info else onnx.ValueInfoProto(name="y"))
    onnx.save(proto, tmp_path / "net.onnx")
    found = domains(load_onnx(tmp_path / "net.onnx"))["i"]
    assert found.below == expected
    assert found.low == (1 if node.op_type == "Mod" else 0)  # nothing is divided by zero


def test_a_model_of_logarithms_is_compared_on_positive_numbers(tmp_path: Path) -> None:
    nodes = [helper.make_node("Log", ["x"], ["l"]), helper.make_node("Mul", ["l", "x"], ["y"])]
    path = saved(tmp_path / "net.onnx", nodes, {"x": (FLOAT, [1, 64])}, {"y": (FLOAT, [1, 64])}, {})
    check = compile_model(path, OPTIONS).report.checks.float_vs_source
    assert check is not None
    assert check.passed
    assert check.finite


def test_outputs_that_are_never_finite_are_compared_and_noted(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sub", ["x", "two"], ["s"]), helper.make_node("Log", ["s"], ["y"])]
    constants = {"two": np.float32(20)}
    path = saved(tmp_path / "net.onnx", nodes, {"x": (FLOAT, [1, 64])}, {"y": (FLOAT, [1, 64])}, constants)
    checks = compile_model(path, OPTIONS).report.checks
    assert checks.float_vs_source is not None
    assert checks.float_vs_source.passed
    assert not checks.float_vs_source.finite
    assert (
        "some outputs are NaN or infinity, in the source as well: give real inputs with --calibration" in checks.notes
    )


def test_a_source_runtime_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = language_model(tmp_path / "net.onnx")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('there is none')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    checks = compile_model(path, OPTIONS).report.checks
    assert checks.float_vs_source is None
    assert any("onnxruntime cannot be imported; install it with pip install onnxruntime" in n for n in checks.notes)


def test_places_of_a_scatter_differ(tmp_path: Path) -> None:
    """ONNX leaves open what two writes to one place give; TFLite adds them, onnxruntime keeps the last."""
    nodes = [helper.make_node("ScatterElements", ["x", "places", "updates"], ["y"], axis=1)]
    inputs = {"x": (FLOAT, [3, 6]), "places": (INT, [3, 4]), "updates": (FLOAT, [3, 4])}
    path = saved(tmp_path / "net.onnx", nodes, inputs, {"y": (FLOAT, [3, 6])}, {})
    for feed in generated_feeds(load_onnx(path)):
        places = feed["places"]
        assert all(len(set(row)) == len(row) for row in places.tolist())
        assert places.min() >= 0
        assert places.max() < 6
    check = compile_model(path, OPTIONS).report.checks.float_vs_source
    assert check is not None
    assert check.passed
