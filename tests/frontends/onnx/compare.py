"""Compares a translated ONNX model, run in LiteRT, with onnxruntime (or ONNX's reference evaluator).

compare.check_node("Conv", [x, w, b], constants=(1, 2), opset=13, strides=[2, 2])
compare.check_onnx(compare.nodes_model([helper.make_node(...), ...], feeds, ["y"], constants={...}), feeds)
compare.refusal("Conv", [x, w], auto_pad="OTHER")   # the full message of the UnsupportedOp
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgec.backends.tflite import serialize
from edgec.errors import UnsupportedOp
from edgec.frontends.onnx import read_onnx
from edgec.ir.graph import Module
from edgec.ops import verify
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.onnx_source import OnnxSession

IR_VERSION = 10  # what onnxruntime 1.19 and later read
RTOL = 1e-5  # float32 keeps 6e-8; sums in another order and other polynomials for exp, tanh … lose two decimals
ATOL = 1e-5  # of the largest finite magnitude in the output: cancellation in sums leaves an absolute error

Array = np.ndarray


def check_node(
    op_type: str,
    inputs: Sequence[Array | None],
    *,
    constants: Sequence[int] = (),
    outputs: int | Sequence[str] = 1,
    opset: int = 17,
    domain: str = "",
    rtol: float = RTOL,
    atol: float = ATOL,
    oracle: str = "onnxruntime",
    **attributes: Any,
) -> Module:
    """Check one node on the given inputs; those at the positions `constants` become initializers."""
    names: dict[str, Any] = {"domain": domain, "outputs": outputs, "opset": opset}
    model, feeds = node_model(op_type, inputs, constants=constants, **names, **attributes)
    return check_onnx(model, feeds, rtol=rtol, atol=atol, oracle=oracle)


def check_onnx(
    model: onnx.ModelProto,
    feeds: Mapping[str, Array] | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    rtol: float = RTOL,
    atol: float = ATOL,
    oracle: str = "onnxruntime",
    unroll: bool = False,
) -> Module:
    """Translate, run in LiteRT and compare every output's shape, dtype and values; returns the module.

    Without `feeds` random ones are made (seed 0). `oracle` is "onnxruntime", or "reference" for what onnxruntime lacks.
    A value passes where |difference| <= rtol * |expected| + atol * (largest finite |expected|); integers must be equal.
    """
    data = model.SerializeToString()
    module = read_onnx(data, "model.onnx", shapes, unroll=unroll)
    verify(module)
    if feeds is None:
        rng = np.random.default_rng(0)
        feeds = {v.name: _random(rng, v.shape, v.dtype.numpy) for v in module.main.inputs}
    found = _run_twice(module, [feeds[v.name].astype(_computed(feeds[v.name].dtype)) for v in module.main.inputs])
    for name, got, expected in zip([o.name for o in model.graph.output], found, expected_outputs(model, feeds, oracle)):
        assert_close(name, got, expected, rtol, atol)
    assert len(found) == len(model.graph.output)
    return module


def _run_twice(module: Module, inputs: Sequence[Array]) -> list[Array]:
    """Outputs in LiteRT's own kernels; a second run on the same inputs must give the same, or state survives runs."""
    session = LiteRTSession(serialize(module), xnnpack=False)
    found, again = session.run(list(inputs)), session.run(list(inputs))
    for value, first, second in zip(module.main.outputs, found, again, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=f"{value.name} in a second run")
    return found


def check_stated(
    op_type: str, inputs: Sequence[Array | None], *, outputs: int = 1, opset: int = 17, **attributes: Any
) -> Module:
    """Check one node without constants, in a model that states the shapes of its outputs as onnxruntime gives them."""
    model, feeds = node_model(op_type, inputs, outputs=outputs, opset=opset, **attributes)
    expected = expected_outputs(model, feeds)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(f"y{i}", helper.np_dtype_to_tensor_dtype(y.dtype), y.shape)
        for i, y in enumerate(expected)
    )
    return check_onnx(model, feeds)


def expected_outputs(model: onnx.ModelProto, feeds: Mapping[str, Array], oracle: str = "onnxruntime") -> list[Array]:
    """What the source's own runtime computes."""
    if oracle == "reference":
        from onnx.reference import ReferenceEvaluator

        return [np.asarray(y) for y in ReferenceEvaluator(model).run(None, dict(feeds))]
    assert oracle == "onnxruntime"
    return OnnxSession(model.SerializeToString()).run(feeds)


def assert_close(name: str, got: Array, expected: Array, rtol: float = RTOL, atol: float = ATOL) -> None:
    """Compare one output with the expected one; see `check_onnx` for the tolerance. float16 has three digits."""
    if expected.dtype == np.float16:
        rtol = max(rtol, 1e-3)
    expected = expected.astype(_computed(expected.dtype))
    assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    assert got.dtype == expected.dtype, f"{name}: dtype {got.dtype}, expected {expected.dtype}"
    if expected.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, expected, err_msg=name)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max()) if finite.size else 0.0
    np.testing.assert_allclose(got, expected, rtol, atol * scale, equal_nan=True, err_msg=name)


def _computed(dtype: np.dtype) -> np.dtype:
    """The type edgec has for a source's: float16 and float64 become float32."""
    return np.dtype(np.float32) if dtype in (np.float16, np.float64) else dtype


def refusal(
    op_type: str,
    inputs: Sequence[Array | None],
    *,
    constants: Sequence[int] = (),
    outputs: int | Sequence[str] = 1,
    opset: int = 17,
    domain: str = "",
    **attributes: Any,
) -> str:
    """The reason for which a node named 'node' is refused, without the sentence around it."""
    names: dict[str, Any] = {"domain": domain, "outputs": outputs, "opset": opset}
    model, _ = node_model(op_type, inputs, constants=constants, **names, **attributes)
    with pytest.raises(UnsupportedOp) as caught:
        read_onnx(model.SerializeToString(), "model.onnx")
    op = f"{domain}.{op_type}" if domain else op_type
    found, before = str(caught.value), f"Reading 'model.onnx': 'node' ({op}) cannot be translated: "
    assert found.startswith(before), found
    return found[len(before) : -1]


def node_model(
    op_type: str,
    inputs: Sequence[Array | None],
    *,
    constants: Sequence[int] = (),
    outputs: int | Sequence[str] = 1,
    opset: int = 17,
    domain: str = "",
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model of one node named 'node', with inputs x0, x1 …, and the feeds for it.

    `outputs` is a number (y0, y1 …) or the names, "" for an output that is not asked for.
    """
    arrays = [None if a is None else np.asarray(a) for a in inputs]
    names = ["" if a is None else f"x{i}" for i, a in enumerate(arrays)]
    wanted = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else list(outputs)
    node = helper.make_node(op_type, names, wanted, name="node", domain=domain, **attributes)
    stored = {names[i]: arrays[i] for i in constants}
    feeds = {n: a for n, a in zip(names, arrays) if a is not None and n not in stored}
    return nodes_model([node], feeds, [w for w in wanted if w], constants=stored, opset=opset), feeds


def nodes_model(
    nodes: Sequence[onnx.NodeProto],
    feeds: Mapping[str, Array],
    outputs: Sequence[str],
    *,
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of some nodes, its inputs typed like `feeds`; onnxruntime infers the types of the outputs."""
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in feeds.items()
    ]
    graph = helper.make_graph(
        list(nodes), "graph", infos, [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )  # fmt: skip
    domains = [helper.make_opsetid("", opset)]
    domains += [helper.make_opsetid(domain, 1) for domain in sorted({node.domain for node in nodes} - {""})]
    return helper.make_model(graph, opset_imports=domains, ir_version=IR_VERSION)


def _random(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype) -> Array:
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    return rng.integers(0, 10, shape).astype(dtype)
