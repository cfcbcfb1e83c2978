"""Where a float module first departs from its source: in another program's export, at a node, or in a pass.

All this runs only once a departure was seen. The source is read anew, since the passes have changed the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgec.driver.agreement import departure, share_text
from edgec.driver.cutout import evaluate
from edgec.driver.node_sweep import Node, Reference, Sweep
from edgec.driver.original import Original
from edgec.driver.pass_sweep import sweep_passes
from edgec.driver.runner import ArtifactRunner, feeds_in_own_layout, litert_target, outputs_in_source_layout, quantized
from edgec.driver.source import SourceModel
from edgec.driver.source_runtimes import SourceRuntime
from edgec.driver.stored_steps import SHARE_OF_RANGE, share_beyond
from edgec.errors import EdgecError, RuntimeFailure
from edgec.ir.clone import clone_module
from edgec.ir.graph import Module, Value
from edgec.passes.base import Pass
from edgec.runtime.litert import LiteRTSession
from edgec.target.target import Target

if TYPE_CHECKING:
    from edgec.frontends.tensorflow import TensorflowImport

Arrays = Mapping[str, np.ndarray]
OURS = "this is a fault of edgec, please report it"


@dataclass(frozen=True)
class Diagnosis:
    """Where the departure begins, and whose fault it is, as the end of a sentence."""

    where: str
    blame: str = OURS


@dataclass(frozen=True)
class _Reading:
    """The source read once more, and what the file that was read computes in its own runtime.

    `converter` is the program that wrote that file, empty where the user did. `run` gives its outputs; `inner` gives
    the reference for inner values for inputs in the source's layout.
    """

    module: Module
    trace: Mapping[str, Value]
    nodes: Sequence[Node]
    run: Callable[[Arrays], list[np.ndarray]]
    inner: Callable[[Arrays], Reference]
    converter: str = ""


def diagnose(
    source: SourceModel, runtime: SourceRuntime, passes: Sequence[Pass], target: Target, feeds: Sequence[Arrays]
) -> Diagnosis:
    """Find where the float module first departs on `feeds`, given in the source's own layout.

    Models that keep state are looked at on each feed from their initial state.
    """
    try:
        return _diagnose(source, runtime, passes, target, feeds)
    except (EdgecError, ValueError, LookupError, MemoryError) as error:  # a diagnosis must not hide what it is made for
        return Diagnosis(f"the op it begins at could not be found ({str(error).rstrip('.') or type(error).__name__})")


def diagnose_stored(
    source: SourceModel, original: Original, passes: Sequence[Pass], target: Target, feeds: Sequence[Arrays]
) -> Diagnosis | None:
    """Find where a quantized module first departs from `original`, both in LiteRT's own kernels; None where nowhere.

    `passes` are all that made the artifact, `feeds` in the source's own layout.
    """
    try:
        return _diagnose_stored(source, original, passes, target, feeds)
    except (EdgecError, ValueError, LookupError, MemoryError) as error:
        return Diagnosis(f"the op it begins at could not be found ({str(error).rstrip('.') or type(error).__name__})")


def _diagnose_stored(
    source: SourceModel, original: Original, passes: Sequence[Pass], target: Target, feeds: Sequence[Arrays]
) -> Diagnosis | None:
    as_read = original.module
    for feed in feeds:
        session = ArtifactRunner(original.data, as_read, litert_target(target), xnnpack=False)
        want = outputs_in_source_layout(session.run(feeds_in_own_layout(feed, as_read)), as_read)
        if share_beyond(want, _outputs(as_read, feed), as_read):
            return _in_the_translation(_read_again(source), feed, SHARE_OF_RANGE)

        def departs(module: Module, feed: Arrays = feed, want: Sequence[np.ndarray] = want) -> float:
            return share_beyond(want, _outputs(module, feed), as_read)

        found = sweep_passes(clone_module(as_read), passes, target, feed, departs, SHARE_OF_RANGE)
        if found is not None:
            return Diagnosis(str(found))
    return None


def _diagnose(
    source: SourceModel, runtime: SourceRuntime, passes: Sequence[Pass], target: Target, feeds: Sequence[Arrays]
) -> Diagnosis:
    tolerance = runtime.tolerance
    if tolerance is None:
        raise RuntimeFailure("there is no bar that it could pass")
    reading = _read_again(source)
    for feed in feeds:
        want = runtime.run(feed)
        if reading.converter:
            share = _share(want, reading.run(feed), tolerance)
            if share:
                return Diagnosis(
                    f"what {reading.converter} wrote departs {share_text(share)} before edgec reads it",
                    f"this is a fault of {reading.converter} or of how it is used",
                )
        share = _share(want, _outputs(reading.module, feed), tolerance)
        if share:
            return _in_the_translation(reading, feed, tolerance)

        departs = partial(_module_share, feed, want, tolerance)
        found = sweep_passes(_read_again(source).module, passes, target, feed, departs)
        if found is not None:
            return Diagnosis(str(found))
    return Diagnosis("read and compiled once more, nothing departs on any single input")


def _in_the_translation(reading: _Reading, feed: Arrays, tolerance: float) -> Diagnosis:
    if not reading.nodes:
        return Diagnosis("the translation departs before any pass")
    own = {value: feed[value.name] for value in reading.module.main.inputs}
    found = Sweep(reading.module, reading.trace, reading.nodes, own, reading.inner(feed), tolerance).run()
    if found is None:
        return Diagnosis(
            "no inner value departs: either the outputs are wrongly connected, or the source's runtime computes "
            "something else when it does not show its inner values"
        )
    return Diagnosis(str(found))


def _outputs(module: Module, feed: Arrays) -> list[np.ndarray]:
    """The module's outputs for inputs in the source's layout, in the source's layout."""
    own = feeds_in_own_layout(feed, module)
    inputs = {value: own[value.name] for value in module.main.inputs}
    return outputs_in_source_layout(evaluate(module, inputs, module.main.outputs), module)


def _module_share(feed: Arrays, want: Sequence[np.ndarray], tolerance: float, module: Module) -> float:
    return _share(want, _outputs(module, feed), tolerance)


def _share(want: Sequence[np.ndarray], have: Sequence[np.ndarray], tolerance: float) -> float:
    return max((departure(a, b, tolerance) for a, b in zip(want, have)), default=0.0)


def _read_again(source: SourceModel) -> _Reading:
    if source.network is not None:
        return _onnx_reading(source.network.exported(), source, "torch's ONNX exporter")
    if source.tensorflow is not None:
        return _converted_reading(source.path, source.tensorflow)
    if source.frontend is not None:
        return _front_end_reading(source)
    return _onnx_reading(source.path, source) if source.format == "onnx" else _tflite_reading(source)


# -- ONNX --------------------------------------------------------------------------------------------------------------


def _onnx_reading(model: Path | bytes, source: SourceModel, converter: str = "") -> _Reading:
    from edgec.frontends.onnx import load_onnx, read_onnx
    from edgec.runtime.onnx_source import OnnxSession

    trace: dict[str, Value] = {}
    if isinstance(model, Path):
        module = load_onnx(model, source.shapes, trace, unroll=source.unroll)
    else:
        module = read_onnx(model, source.module.name, source.shapes, trace, unroll=source.unroll)
    session = OnnxSession(model)

    dtypes = {info.name: info.dtype for info in session.inputs}

    def cast(feed: Arrays) -> dict[str, np.ndarray]:
        return {name: array.astype(dtypes[name], copy=False) for name, array in feed.items()}

    def inner(feed: Arrays) -> Reference:
        return lambda names: session.run_with_intermediates(cast(feed), names)[1]

    nodes = _onnx_nodes(model)
    shown = {name for node in nodes for name in node.outputs} | set(dtypes)  # values inside a loop or branch are not
    trace = {name: value for name, value in trace.items() if name in shown}
    return _Reading(module, trace, nodes, lambda feed: session.run(cast(feed)), inner, converter)


def _onnx_nodes(model: Path | bytes) -> list[Node]:
    import onnx

    proto = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model, load_external_data=False)
    return [
        Node(
            node.name or next(iter(node.output), ""), node.op_type, tuple(dict.fromkeys(_taken(node))),
            tuple(name for name in node.output if name),
        )
        for node in proto.graph.node
    ]  # fmt: skip


def _taken(node: Any) -> Iterator[str]:
    """The values a node takes, those that its subgraphs use included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _taken(inner)


# -- TFLite ------------------------------------------------------------------------------------------------------------


def _tflite_reading(source: SourceModel) -> _Reading:
    """The file itself, its inputs resized where other sizes were asked for."""
    from edgec.frontends.tflite import load_tflite

    module = load_tflite(source.path)
    if source.shapes:
        from edgec.passes.canonicalize.resize_inputs import resize_inputs

        resize_inputs(module, source.shapes, f"Reading '{source.path}' with --shape")
    return _reading_of(module, source.tflite_bytes())


def _converted_reading(path: Path, found: TensorflowImport) -> _Reading:
    from edgec.driver.foreign import converted_module

    return _reading_of(converted_module(path, found), found.data, "TensorFlow's converter")


def _reading_of(module: Module, data: bytes, converter: str = "") -> _Reading:
    """A `.tflite` in LiteRT's own kernels; its values go by their number in the file, names may be borne by many."""
    numbers = {value: str(index) for index, value in enumerate(module.main.declared)}
    inputs = [int(numbers[value]) for value in module.main.inputs]
    outputs = [int(numbers[value]) for value in module.main.outputs]
    names = {int(numbers[value]): value.name for value in module.main.inputs}
    session = LiteRTSession(data, xnnpack=False, keep_intermediates=True)

    def run(feed: Arrays, wanted: Sequence[int]) -> list[np.ndarray]:
        given = {number: feed[names[number]] for number in inputs}
        stored = [quantized(given[info.index], info) for info in session.input_details]
        arrays = session.intermediates(stored, wanted)
        return [_real(array, module.main.declared[index]) for array, index in zip(arrays, wanted)]

    def inner(feed: Arrays) -> Reference:
        return lambda names: dict(zip(names, run(feed, [int(name) for name in names])))

    nodes = [
        Node(
            op.name, op.opcode, tuple(numbers[v] for v in op.operands if v is not None and not v.is_constant),
            tuple(numbers[v] for v in op.results),
        )
        for op in module.main.ops
    ]  # fmt: skip
    trace = {number: value for value, number in numbers.items()}
    return _Reading(module, trace, nodes, lambda feed: run(feed, outputs), inner, converter)


def _real(array: np.ndarray, value: Value) -> np.ndarray:
    """Real values of a tensor that has one scale, anything else as it is stored."""
    quant = value.quant
    if quant is None or len(quant.scale) != 1 or array.dtype.kind not in "iu":
        return array
    return ((array.astype(np.float64) - quant.zero_point[0]) * quant.scale[0]).astype(np.float32)


def _front_end_reading(source: SourceModel) -> _Reading:
    """Another program's translation of an ONNX file was not kept, so nothing can be said of its nodes."""
    raise RuntimeFailure(f"{source.frontend} translated the file; leave --frontend away to have edgec do it")
