"""float16 and float64 become float32, the type TFLite's kernels compute in; bfloat16 is refused.

Constants keep their type until a translator reads them, so that shape arithmetic in float64 is folded in float64.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

import numpy as np

from edgec.diagnostics import Note, Severity
from edgec.frontends.onnx.node import Node, Refusal
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

if TYPE_CHECKING:
    from edgec.frontends.onnx.translation import Result, Translate, Translation

CONVERTED = (DType.FLOAT16, DType.FLOAT64)
NOT_COMPUTED = (DType.FLOAT8_E4M3FN, DType.FLOAT8_E5M2, DType.INT2, DType.INT4, DType.UINT4)  # constants may be
NO_BFLOAT16 = "is bfloat16, which is not supported; export the model in float32 or float16"


def computed_type(dtype: DType) -> DType:
    """The element type that stands for `dtype` in the graph."""
    return DType.FLOAT32 if dtype in CONVERTED else dtype


def in_float32(translate: Translate) -> Translate:
    """`translate` with its constants of float16 and float64 as float32; refuses those of bfloat16."""

    @wraps(translate)
    def translate_in_float32(node: Node, context: Translation) -> Result:
        for index, value in enumerate(node.inputs):
            if value is not None and value.is_constant:
                if value.dtype is DType.BFLOAT16:
                    raise Refusal(f"its input {index} ('{value.name}') {NO_BFLOAT16}")
                node.inputs[index] = as_float32(context, value)
        return translate(node, context)

    return translate_in_float32


def as_float32(context: Translation, value: Value) -> Value:
    """`value`, as float32 where it is a constant of another width; one for all readers."""
    if value.dtype not in CONVERTED or value.data is None:
        return value
    if value not in context.in_float32:
        context.converted.add(value.dtype)
        with np.errstate(over="ignore"):
            data = value.data.astype(np.float32)
        context.in_float32[value] = context.constant(data, DType.FLOAT32, value.name)
    return context.in_float32[value]


def conversion_notes(context: Translation, where: str) -> list[Note]:
    """One note for each type that was converted."""
    return [
        Note(
            Severity.INFO, where,
            f"{dtype.value} tensors were converted to float32, which TFLite's kernels compute in, inputs and outputs "
            "included; results differ from the source's by its rounding",
        )
        for dtype in CONVERTED
        if dtype in context.converted
    ]  # fmt: skip
