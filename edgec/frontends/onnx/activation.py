"""Activation functions."""

from __future__ import annotations

from edgec.frontends.onnx.node import Node
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.graph import Value


def _same_name(opcode: str) -> Translate:
    def translate(node: Node, context: Translation) -> Value:
        return context.emit(opcode, [node.input(0)])

    return translate


TRANSLATIONS: dict[str, Translate] = {
    "Relu": _same_name("relu"),
    "Sigmoid": _same_name("logistic"),
    "Tanh": _same_name("tanh"),
}
