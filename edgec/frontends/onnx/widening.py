"""Element types that a TFLite kernel lacks: the op is computed in a wider type, exactly, and cast back.

Which types a kernel computes in was measured on LiteRT 2.3. Its int8, uint8 and int16 arithmetic is that of quantized
numbers (plain ones crash it or come out wrong), so plain small integers are computed in int32.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from edgec.frontends.onnx.node import Refusal
from edgec.frontends.onnx.translation import Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

FLOAT = (DType.FLOAT32,)
WIDE = (DType.FLOAT32, DType.INT32, DType.INT64)
_SMALL = (DType.INT32, DType.INT64)
_WIDER = {
    DType.INT8: _SMALL, DType.UINT8: _SMALL, DType.INT16: _SMALL, DType.UINT16: _SMALL,
    DType.INT32: (DType.INT64,), DType.UINT32: (DType.INT64,), DType.BOOL: (DType.INT32,),
}  # fmt: skip


def computed_in(dtype: DType, kernels: Collection[DType]) -> DType:
    """The type among `kernels` that holds every value of `dtype`; refuses where there is none."""
    for candidate in (dtype, *_WIDER.get(dtype, ())):
        if candidate in kernels:
            return candidate
    raise Refusal(f"TFLite has no kernel for it in {dtype.value}")


def widened(
    context: Translation,
    values: Sequence[Value],
    kernels: Collection[DType],
    compute: Callable[..., Value],
) -> Value:
    """`compute` on the values, of one dtype, in a dtype of `kernels`; the result is cast back to that of the values."""
    dtype = values[0].dtype
    wide = computed_in(dtype, kernels)
    return context.cast(compute(*(context.cast(v, wide) for v in values)), dtype)
