"""`--requantize`: a quantized source as the float model it stands for, to be quantized anew."""

from __future__ import annotations

from dataclasses import replace

from edgec.diagnostics import Note, Severity
from edgec.driver.options import AUTO
from edgec.driver.source import SourceModel
from edgec.errors import QuantizationError
from edgec.ir.dtype import DType
from edgec.ir.graph import Module
from edgec.passes.base import PassContext
from edgec.passes.canonicalize.expand_sparse import ExpandSparse
from edgec.quant.dequantize_module import dequantize_module

_STORED = {DType.INT8: "w8a8", DType.UINT8: "w8a8", DType.INT16: "w8a16"}


def dequantized_source(source: SourceModel) -> SourceModel:
    """The source with its module turned back into floats; a note says what was done.

    Raises:
        QuantizationError: some ops have no float form.
    """
    ExpandSparse().run(source.module, PassContext())
    found = dequantize_module(source.module)
    if not found.changed:
        text = "nothing of the source is quantized, so --requantize changes nothing"
        source.module.notes.append(Note(Severity.WARNING, "requantize", text))
        return source
    for text in (found.describe(), "its rounding and saturation are part of the difference from the source"):
        found.module.notes.append(Note(Severity.INFO, "requantize", text))
    return replace(source, module=found.module, requantized=True)


def check_stored_scheme(requested: str, module: Module, name: str) -> None:
    """Refuse another scheme than the one a quantized source came in.

    Raises:
        QuantizationError: the message names `--requantize`.
    """
    stored = stored_scheme(module)
    if requested in (AUTO, stored):
        return
    raise QuantizationError(
        f"Choosing the scheme: '{name}' arrives quantized ({stored}) and its integers are kept, so it cannot become "
        f"{requested}; give --requantize to turn it back into floats and quantize it anew, or leave --scheme out."
    )


def stored_scheme(module: Module) -> str:
    """The scheme whose activations a quantized module has."""
    dtypes = {r.dtype for g in module.graphs for op in g.ops for r in op.results if r.quant is not None}
    return _STORED[DType.INT16] if dtypes.isdisjoint({DType.INT8, DType.UINT8}) else _STORED[DType.INT8]
