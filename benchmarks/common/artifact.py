"""Run and look into a .tflite, ours or a peer's, with LiteRT alone: outputs, latency, the ops it holds."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.locations import existing

Array = NDArray[Any]


class Artifact:
    """A .tflite in LiteRT with XNNPACK (the default delegate), one input and one output used.

    `infer` takes real-valued samples: where the artifact's tensors are integers it quantizes and dequantizes by their
    scale and zero point. Samples stand in NHWC; they are transposed where the artifact takes NCHW.
    """

    def __init__(self, path: Path, threads: int = 1, *, reference_kernels: bool = False) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = OpResolverType.BUILTIN_REF if reference_kernels else OpResolverType.AUTO
        existing(path, "the step that writes it did not succeed")
        self.interpreter: Any = Interpreter(
            model_path=str(path), num_threads=threads, experimental_op_resolver_type=resolver
        )
        self.interpreter.allocate_tensors()
        self.input: dict[str, Any] = self.interpreter.get_input_details()[0]
        self.output: dict[str, Any] = self.interpreter.get_output_details()[0]

    def infer(self, sample: Array) -> Array:
        """Outputs for one sample without batch axis, flattened, as real values."""
        self.interpreter.set_tensor(self.input["index"], quantized(self._laid_out(sample), self.input))
        self.interpreter.invoke()
        return dequantized(self.interpreter.get_tensor(self.output["index"]), self.output).ravel()

    def infer_all(self, samples: Array) -> Array:
        """Outputs [N, values] for samples [N, …]."""
        return np.stack([self.infer(sample) for sample in samples])

    def seconds_of_one_run(self) -> float:
        """Wall time of one invocation with whatever the input holds."""
        started = time.perf_counter()
        self.interpreter.invoke()
        return time.perf_counter() - started

    def _laid_out(self, sample: Array) -> Array:
        shape = tuple(self.input["shape"])
        if sample.ndim == 3 and shape[1:] != sample.shape and shape[1:] == sample.transpose(2, 0, 1).shape:
            sample = sample.transpose(2, 0, 1)
        return sample.reshape(shape)


def quantized(values: Array, details: dict[str, Any]) -> Array:
    """Real values in the tensor's dtype: round(x / scale) + zero_point, clamped, for integer tensors."""
    dtype = details["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = details["quantization"]
    limits = np.iinfo(dtype)
    steps: Array = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return steps


def dequantized(values: Array, details: dict[str, Any]) -> Array:
    """Real values of an integer tensor, scale * (q - zero_point); floats unchanged."""
    if not np.issubdtype(details["dtype"], np.integer):
        return values.astype(np.float32)
    scale, zero_point = details["quantization"]
    real: Array = (np.float32(scale) * (values.astype(np.int64) - zero_point)).astype(np.float32)
    return real


def interleaved_latency_ms(paths: Sequence[Path], threads: int, rounds: int, warm_up: int = 10) -> list[float]:
    """Median latency of each artifact, one invocation of each in turn, so that drift meets all of them alike."""
    artifacts = [Artifact(path, threads) for path in paths]
    generator = np.random.default_rng(0)
    for artifact in artifacts:
        artifact.infer(generator.standard_normal(artifact.input["shape"][1:]).astype(np.float32))
    for _ in range(warm_up):
        for artifact in artifacts:
            artifact.seconds_of_one_run()
    times: list[list[float]] = [[] for _ in artifacts]
    for turn in range(rounds):
        order = range(len(artifacts)) if turn % 2 == 0 else reversed(range(len(artifacts)))
        for index in order:
            times[index].append(artifacts[index].seconds_of_one_run())
    return [1000 * median(one) for one in times]


def count_ops(path: Path) -> Counter[str]:
    """How often each builtin occurs in all subgraphs of a .tflite, by its schema name (`CONV_2D`)."""
    from ai_edge_litert import schema_py_generated as schema

    existing(path, "the step that writes it did not succeed")
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return Counter(names[codes[op.opcodeIndex]] for graph in model.subgraphs for op in graph.operators or [])
