"""Static types of the graph's inputs: unknown dimensions are fixed by the user, an unknown batch becomes 1.

A size of 0 counts as unknown. By the standard it is an empty axis, but no network takes an input without elements, and
exporters write 0 (or -1) where they mean that the size is open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgec.errors import ImportFailure
from edgec.frontends.onnx.element_types import NO_BFLOAT16
from edgec.ir.dtype import DType
from edgec.ir.types import TensorType

if TYPE_CHECKING:
    from onnx import ValueInfoProto

    from edgec.frontends.onnx.model_file import OnnxModel

MAX_INPUT_BYTES = 2 << 30


def input_types(model: OnnxModel, shapes: Mapping[str, Sequence[int]]) -> dict[str, TensorType]:
    """Type by name of every input that is no initializer, in the model's order.

    Raises:
        ImportFailure: a dimension is unknown, or `shapes` names no input or does not fit one.
    """
    inputs = [i for i in model.graph.input if not model.is_initializer(i.name)]
    unknown = set(shapes) - {i.name for i in inputs}
    if unknown:
        names = ", ".join(f"'{i.name}'" for i in inputs) or "none"
        raise ImportFailure(
            f"Reading '{model.name}': there is no input '{sorted(unknown)[0]}'; the inputs are {names}."
        )
    return {i.name: _input_type(model, i, shapes.get(i.name)) for i in inputs}


def _input_type(model: OnnxModel, info: ValueInfoProto, wanted: Sequence[int] | None) -> TensorType:
    from onnx import helper

    where = f"Reading '{model.name}': input '{info.name}'"
    if not info.type.HasField("tensor_type"):
        raise ImportFailure(f"{where} is no tensor; edgec takes tensors only.")
    tensor = info.type.tensor_type
    try:
        dtype = DType.from_numpy(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)))
    except (KeyError, ValueError, TypeError):
        raise ImportFailure(
            f"{where} has an element type that TFLite has not (ONNX type {tensor.elem_type})."
        ) from None
    if dtype is DType.BFLOAT16:
        raise ImportFailure(f"{where} {NO_BFLOAT16}.")
    if not tensor.HasField("shape"):
        if wanted is None:
            raise ImportFailure(f"{where} has no shape; give it with --shape {info.name}=1,224,224,3.")
        return _checked_type(where, wanted, dtype)
    dims = list(tensor.shape.dim)
    if wanted is not None and len(wanted) != len(dims):
        raise ImportFailure(f"{where} has {len(dims)} dimensions, --shape gives {len(wanted)}.")
    sizes = []
    for axis, dim in enumerate(dims):
        known = dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        given = wanted[axis] if wanted is not None else None
        if given is not None and known is not None and given != known:
            raise ImportFailure(f"{where}: dimension {axis} is {known}, --shape gives {given}.")
        size = known if known is not None else given
        if size is None and axis == 0 and len(dims) > 1:
            size = 1  # the batch
        if size is None:
            label = f"'{dim.dim_param}'" if dim.dim_param else "unknown"
            raise ImportFailure(
                f"{where}: dimension {axis} is {label}; fix it with --shape {info.name}=" + _suggested(dims) + "."
            )
        sizes.append(int(size))
    return _checked_type(where, sizes, dtype)


def _checked_type(where: str, sizes: Sequence[int], dtype: DType) -> TensorType:
    try:
        found = TensorType(tuple(int(size) for size in sizes), dtype)
    except ValueError as error:
        raise ImportFailure(f"{where}: {error}.") from error
    if found.bytes > MAX_INPUT_BYTES:
        raise ImportFailure(f"{where} has shape {list(sizes)}, which takes more than 2 GiB.")
    return found


def _suggested(dims: Sequence[object]) -> str:
    sizes = [getattr(d, "dim_value", 0) or (1 if i == 0 else 224) for i, d in enumerate(dims)]
    return ",".join(str(s) for s in sizes)
