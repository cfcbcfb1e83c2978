"""All translators by ONNX op type, gathered from the family files."""

from __future__ import annotations

from edgec.frontends.onnx import (
    activation,
    convolution,
    einsum,
    elementwise,
    fourier,
    gather,
    grid_sample,
    integer_products,
    linear,
    movement,
    normalization,
    pooling,
    quantize,
    recurrent,
    reduce,
    resize,
    shape,
    suppression,
    transposed_convolution,
    windows,
)
from edgec.frontends.onnx.element_types import in_float32
from edgec.frontends.onnx.translation import Translate

FAMILIES = (
    activation,
    convolution,
    einsum,
    elementwise,
    fourier,
    gather,
    grid_sample,
    integer_products,
    linear,
    movement,
    normalization,
    pooling,
    quantize,
    recurrent,
    reduce,
    resize,
    shape,
    suppression,
    transposed_convolution,
    windows,
)


def _gather() -> dict[str, Translate]:
    table: dict[str, Translate] = {}
    for family in FAMILIES:
        for op_type, translate in family.TRANSLATIONS.items():
            if op_type in table:
                raise ValueError(f"ONNX op '{op_type}' is translated twice")
            table[op_type] = in_float32(translate)
    return table


TRANSLATIONS = _gather()
