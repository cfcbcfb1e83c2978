"""All translators by ONNX op type, gathered from the family files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgec.frontends.onnx import (
    activation,
    attention,
    column_to_image,
    contrib,
    convolution,
    deform_conv,
    determinant,
    einsum,
    elementwise,
    fourier,
    gather,
    grid_sample,
    integer_products,
    linear,
    movement,
    normalization,
    pool_indices,
    pooling,
    quantize,
    recurrent,
    reduce,
    resize,
    roi,
    sequences,
    shape,
    suppression,
    transposed_convolution,
    unique,
    windows,
)
from edgec.frontends.onnx.element_types import in_float32
from edgec.frontends.onnx.quantized_moves import MOVES, on_real_numbers
from edgec.frontends.onnx.translation import Translate

if TYPE_CHECKING:
    from onnx import NodeProto

FAMILIES = (
    activation,
    attention,
    column_to_image,
    convolution,
    deform_conv,
    determinant,
    einsum,
    elementwise,
    fourier,
    gather,
    grid_sample,
    integer_products,
    linear,
    movement,
    normalization,
    pool_indices,
    pooling,
    quantize,
    recurrent,
    reduce,
    resize,
    roi,
    sequences,
    shape,
    suppression,
    transposed_convolution,
    unique,
    windows,
)


def _gather() -> dict[str, Translate]:
    table: dict[str, Translate] = {}
    for family in FAMILIES:
        for op_type, translate in family.TRANSLATIONS.items():
            if op_type in table:
                raise ValueError(f"ONNX op '{op_type}' is translated twice")
            moved = on_real_numbers(translate) if op_type in MOVES else translate
            table[op_type] = in_float32(moved)
    return table


TRANSLATIONS = _gather()
CONTRIB = {op_type: in_float32(translate) for op_type, translate in contrib.CONTRIB_OPS.items()}


def translation(proto: NodeProto) -> Translate | None:
    """The translator of a node: of ai.onnx, or of onnxruntime's own ops; None where there is none."""
    if contrib.is_contrib(proto):
        return CONTRIB.get(proto.op_type)
    return TRANSLATIONS.get(proto.op_type) if proto.domain in ("", "ai.onnx") else None
