"""Ops that move or choose among quantized numbers, between a dequantize and a quantize of the same scale.

Files in QOperator form apply them to the codes themselves; in real numbers they look like those of a QDQ file, whose
ranges the quantizer absorbs.
"""

from __future__ import annotations

from functools import wraps

from edgec.frontends.onnx.node import Node
from edgec.frontends.onnx.quantized_values import dequantized_by
from edgec.frontends.onnx.translation import Result, Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value
from edgec.ir.types import TensorType

MOVES = frozenset(
    """
    DepthToSpace Flatten Gather Identity MaxPool Reshape Resize Slice SpaceToDepth Split Squeeze Transpose Unsqueeze
    """.split()  # noqa: SIM905 -- a list of words reads better than of quoted words
)


def on_real_numbers(translate: Translate) -> Translate:
    """`translate`, given the real numbers of what a quantize gives, one scale for all of it."""

    @wraps(translate)
    def translate_between(node: Node, context: Translation) -> Result:
        x = node.optional(0)
        quant = None if x is None or x.producer is None or x.producer.opcode != "quantize" else x.quant
        with_places = node.op_type == "MaxPool" and any(node.outputs[1:])
        if x is None or quant is None or quant.is_per_channel or with_places:
            return translate(node, context)
        if x.dtype not in (DType.INT8, DType.UINT8):
            return translate(node, context)
        node.inputs[0] = dequantized_by(context, x, quant)
        found = translate(node, context)
        results = [found] if isinstance(found, Value) else found
        return [
            context.emit("quantize", [result], result_types=[TensorType(result.shape, x.dtype, quant)])
            for result in results
        ]

    return translate_between
