"""Run an int8 (or float) artifact in TFLM on real-valued samples, as a microcontroller would."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgec.runtime.tensor_info import TensorInfo
from edgec.runtime.tflm import TFLMSession

ARENA_BYTES = 8 << 20


class TFLMArtifact:
    """A .tflite with one input and one output in TFLM; `infer` takes and returns real values, NHWC."""

    def __init__(self, path: Path, arena_bytes: int = ARENA_BYTES) -> None:
        self.session = TFLMSession(path.read_bytes(), arena_bytes)
        [self.input] = self.session.input_details
        [self.output] = self.session.output_details

    def infer(self, sample: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for one sample without batch axis, flattened."""
        [result] = self.session.run([_quantized(sample.reshape(self.input.shape), self.input)])
        return _dequantized(result, self.output).ravel()

    def infer_all(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs [N, values] for samples [N, …]."""
        return np.stack([self.infer(sample) for sample in samples])


def _quantized(values: NDArray[np.float32], info: TensorInfo) -> NDArray[Any]:
    if info.dtype.kind not in "iu":
        return values.astype(info.dtype)
    limits = np.iinfo(info.dtype)
    steps = np.round(values / info.scale[0]) + info.zero_point[0]
    clipped: NDArray[Any] = np.clip(steps, limits.min, limits.max).astype(info.dtype)
    return clipped


def _dequantized(values: NDArray[Any], info: TensorInfo) -> NDArray[np.float32]:
    if info.dtype.kind not in "iu":
        return values.astype(np.float32)
    return (np.float32(info.scale[0]) * (values.astype(np.int64) - info.zero_point[0])).astype(np.float32)
