"""Runs an artifact the way its target runs it, on real-valued inputs: quantize, invoke, dequantize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgec.ir.graph import Graph, Module
from edgec.runtime.litert import LiteRTSession
from edgec.runtime.tensor_info import TensorInfo
from edgec.runtime.tflm import AMPLE_ARENA_BYTES, TFLMSession
from edgec.target.target import Target

Session = LiteRTSession | TFLMSession


class ArtifactRunner:
    """An artifact in its target's runtime: TFLM for microcontrollers, LiteRT with XNNPACK elsewhere.

    Feeds are arrays by input name in the artifact's layout; what an integer input takes as float is quantized, and
    integer outputs with a scale come back as real values.
    """

    def __init__(
        self, artifact: bytes, module: Module, target: Target, *, xnnpack: bool = True, threads: int = 1,
        own_buffers: bool = False,
    ) -> None:  # fmt: skip
        self.names = [value.name for value in module.main.inputs]
        self.session = open_session(artifact, target, xnnpack=xnnpack, threads=threads, own_buffers=own_buffers)
        self.has_state = any(_holds_state(graph) for graph in module.graphs)

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Real-valued outputs in order."""
        return [dequantized(a, info) for a, info in zip(self.run_raw(feeds), self.session.output_details)]

    def run_fresh(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Real-valued outputs of a run that starts from the initial state: samples of a set follow none another."""
        if self.has_state:
            self.session.reset_variables()
        return self.run(feeds)

    def run_raw(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs as the artifact stores them."""
        return list(self.session.run(self.inputs(feeds)))

    def run_steps(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs as the artifact stores them, uint8 steps shifted to int8's."""
        infos = self.session.output_details
        arrays = self.run_raw(feeds)
        return [in_int8(a) if i.scale and a.dtype == np.uint8 else a for a, i in zip(arrays, infos)]

    def inputs(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The feeds as the artifact stores them, in order."""
        return [quantized(feeds[name], info) for name, info in zip(self.names, self.session.input_details)]


def _holds_state(graph: Graph) -> bool:
    return any(
        op.opcode == "var_handle" or any(v is not None and v.is_variable for v in op.operands) for op in graph.ops
    )


def open_session(
    artifact: bytes, target: Target, *, xnnpack: bool = True, threads: int = 1, own_buffers: bool = False
) -> Session:
    """A session of the target's runtime; `own_buffers` lets no two tensors of LiteRT's share memory."""
    if target.runtime == "tflm":
        return TFLMSession(artifact, AMPLE_ARENA_BYTES)
    return LiteRTSession(artifact, xnnpack=xnnpack, threads=threads, keep_intermediates=own_buffers)


def litert_target(target: Target) -> Target:
    """The target itself where LiteRT runs it, else one whose artifacts LiteRT runs: float references run there."""
    from edgec.target.load import load_target

    return target if target.runtime == "litert" else load_target("mobile-cpu")


def quantized(array: np.ndarray, info: TensorInfo) -> np.ndarray:
    """`array` in the dtype of an input; floats are quantized with the input's scale, anything else is cast."""
    if array.dtype == info.dtype:
        return array
    if info.scale and array.dtype.kind == "f" and info.dtype.kind in "iu":
        limits = np.iinfo(info.dtype)
        steps = np.round(array.astype(np.float64) / info.scale[0]) + info.zero_point[0]
        return np.clip(steps, limits.min, limits.max).astype(info.dtype)
    if info.scale and {array.dtype, info.dtype} == {np.dtype(np.uint8), np.dtype(np.int8)}:
        return in_int8(array) if info.dtype == np.int8 else in_int8(array.view(np.uint8)).view(np.uint8)
    return array.astype(info.dtype)


def in_int8(array: np.ndarray) -> np.ndarray:
    """uint8 steps around a zero point as int8 steps around one that is 128 less; int8 as it is."""
    return array if array.dtype == np.int8 else (array ^ np.uint8(128)).view(np.int8)


def dequantized(array: np.ndarray, info: TensorInfo) -> np.ndarray:
    """`array` as real values where the output has a scale."""
    if not info.scale or array.dtype.kind not in "iu":
        return array
    return ((array.astype(np.float64) - info.zero_point[0]) * info.scale[0]).astype(np.float32)


def outputs_in_source_layout(arrays: Sequence[np.ndarray], module: Module) -> list[np.ndarray]:
    """Outputs of our module with their axes as in the source model."""
    result = []
    for array, value in zip(arrays, module.main.outputs):
        permutation = module.output_layout.get(value.name)
        result.append(array if permutation is None else np.transpose(array, np.argsort(permutation)))
    return result


def feeds_in_source_layout(feeds: Mapping[str, np.ndarray], module: Module) -> dict[str, np.ndarray]:
    """Inputs of our module with their axes as in the source model."""
    result = {}
    for name, array in feeds.items():
        permutation = module.input_layout.get(name)
        result[name] = (
            array if permutation is None else np.ascontiguousarray(np.transpose(array, np.argsort(permutation)))
        )
    return result


def feeds_in_own_layout(feeds: Mapping[str, np.ndarray], module: Module) -> dict[str, np.ndarray]:
    """Inputs with their axes as in the source model, as our module takes them."""
    result = {}
    for name, array in feeds.items():
        permutation = module.input_layout.get(name)
        result[name] = array if permutation is None else np.ascontiguousarray(np.transpose(array, permutation))
    return result
