"""What a runtime says about the inputs and outputs of a model, and the checks of arrays against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgec.errors import RuntimeFailure

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output tensor: real = scale * (q - zero_point), per tensor (axis None) or per channel along axis.

    `shape` is the present one; `shape_signature` has -1 where a dimension may be chosen by the caller.
    `scale` and `zero_point` are empty for a tensor without quantization.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int | None = None

    def accepts_shape(self, shape: Sequence[int]) -> bool:
        """Say whether an array of this shape fits, its free dimensions included."""
        if len(shape) != len(self.shape_signature):
            return False
        return all(want in (-1, got) for want, got in zip(self.shape_signature, shape))


def tensor_info(details: dict[str, Any], *, name: str = "", index: int = 0) -> TensorInfo:
    """Build a `TensorInfo` from the details dictionary that the LiteRT and TFLM Python interpreters return."""
    quantization = details.get("quantization_parameters", {})
    scale = tuple(float(value) for value in quantization.get("scales", ()))
    zero_point = tuple(int(value) for value in quantization.get("zero_points", ()))
    shape = tuple(int(size) for size in details["shape"])
    signature = tuple(int(size) for size in details.get("shape_signature", shape))
    return TensorInfo(
        name=str(details.get("name", name)),
        index=int(details.get("index", index)),
        shape=shape,
        shape_signature=signature if len(signature) == len(shape) else shape,
        dtype=np.dtype(details["dtype"]),
        scale=scale,
        zero_point=zero_point,
        axis=int(quantization.get("quantized_dimension", 0)) if len(scale) > 1 else None,
    )


def checked_inputs(infos: Sequence[TensorInfo], inputs: Sequence[Array], runtime: str) -> list[Array]:
    """Return the inputs as C-contiguous arrays after checking number, dtype and shape.

    Raises:
        RuntimeFailure: an input is missing, too many, of another dtype (nothing is cast) or of a shape that the
            model's signature does not allow.
    """
    if len(inputs) != len(infos):
        raise RuntimeFailure(f"running a model in {runtime}: it takes {len(infos)} inputs, {len(inputs)} were given")
    arrays = []
    for position, (info, given) in enumerate(zip(infos, inputs)):
        array = np.asarray(given, order="C")
        where = f"running a model in {runtime}: input {position} ('{info.name}')"
        both_text = info.dtype.kind in "SUO" and array.dtype.kind in "SUO"
        if array.dtype != info.dtype and not both_text:
            raise RuntimeFailure(f"{where} takes {info.dtype}, {array.dtype} was given")
        if not info.accepts_shape(array.shape):
            raise RuntimeFailure(f"{where} takes shape {list(info.shape_signature)}, {list(array.shape)} was given")
        arrays.append(array)
    return arrays
