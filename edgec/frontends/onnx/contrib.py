"""Ops of onnxruntime's own domain, com.microsoft, as exporters and graph optimizers write them."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from edgec.frontends.onnx import contrib_attention, contrib_fused, contrib_normalization, contrib_quantized
from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Result, Translate, Translation

if TYPE_CHECKING:
    from onnx import NodeProto

DOMAIN = "com.microsoft"
UNMARKED = frozenset({"SimplifiedLayerNormalization"})  # written without the domain


def is_contrib(proto: NodeProto) -> bool:
    """True for an op of onnxruntime's own."""
    return proto.domain == DOMAIN or (proto.domain in ("", "ai.onnx") and proto.op_type in UNMARKED)


def _checked(translate: Translate) -> Translate:
    """`translate`, refusing attributes of another type than the op has: there is no schema to check them before."""

    @wraps(translate)
    def translate_checked(node: Node, context: Translation) -> Result:
        try:
            return translate(node, context)
        except TypeError as error:
            raise Refusal(f"its attributes or operands have not the types of the op ({error})") from error

    return translate_checked


CONTRIB_OPS: dict[str, Translate] = {
    op_type: _checked(translate)
    for family in (contrib_attention, contrib_fused, contrib_normalization, contrib_quantized)
    for op_type, translate in family.CONTRIB_OPS.items()
}
