"""Einsum of one or two operands: sums, transposes and one batched matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value


def einsum(node: Node, context: Translation) -> Value:
    """Einsum; letters of both operands are batch axes where the result has them, else summed over."""
    equation = node.attribute("equation", "").replace(" ", "")
    operands = [node.input(i) for i in range(len(node.inputs))]
    terms, result = _parsed(equation, operands)
    if any(x.dtype is not DType.FLOAT32 for x in operands):
        raise Refusal(f"Einsum of {operands[0].dtype.value} is not supported")
    if len(operands) == 1:
        x, letters = _summed(context, operands[0], terms[0], result)
        return _ordered(context, x, letters, result)
    (a, left), (b, right) = (
        _summed(context, x, term, result + other)
        for x, term, other in zip(operands, terms, (terms[1], terms[0]), strict=True)
    )
    return _product(context, a, left, b, right, result)


def _parsed(equation: str, operands: Sequence[Value]) -> tuple[list[str], str]:
    """The letters of each operand and of the result."""
    inputs, arrow, result = equation.partition("->")
    terms = inputs.split(",")
    if "." in equation:
        raise Refusal(f"the equation '{equation}' holds an ellipsis, which is not supported")
    if len(operands) > 2:
        raise Refusal(f"an Einsum of {len(operands)} operands is not supported; split it into products of two")
    if len(terms) != len(operands) or any(len(t) != x.type.rank for t, x in zip(terms, operands)):
        raise Refusal(f"the equation '{equation}' does not fit its operands")
    if any(len(set(letters)) != len(letters) for letters in (*terms, result)):
        raise Refusal(f"the equation '{equation}' names an axis of one operand twice, which is not supported")
    sizes: dict[str, int] = {}
    for term, x in zip(terms, operands):
        for letter, size in zip(term, x.shape):
            if sizes.setdefault(letter, size) != size:
                raise Refusal(f"the axis '{letter}' of '{equation}' has the sizes {sizes[letter]} and {size}")
    if not arrow:
        every = "".join(terms)
        result = "".join(sorted(letter for letter in sizes if every.count(letter) == 1))
    if not set(result) <= set(sizes):
        raise Refusal(f"the result of '{equation}' has axes that no operand has")
    return terms, result


def _summed(context: Translation, x: Value, letters: str, kept: str) -> tuple[Value, str]:
    """`x` summed over the letters that nothing else names."""
    axes = [i for i, letter in enumerate(letters) if letter not in kept]
    if not axes:
        return x, letters
    return context.emit("sum", [x, context.ints(axes)]), "".join(letter for letter in letters if letter in kept)


def _ordered(context: Translation, x: Value, letters: str, wanted: str) -> Value:
    return context.transpose(x, [letters.index(letter) for letter in wanted])


def _product(context: Translation, a: Value, left: str, b: Value, right: str, result: str) -> Value:
    batch = "".join(letter for letter in left if letter in right and letter in result)
    inner = "".join(letter for letter in left if letter in right and letter not in result)
    rows = "".join(letter for letter in left if letter not in right)
    columns = "".join(letter for letter in right if letter not in left)
    sizes = dict(zip(left + right, a.shape + b.shape))

    def size(letters: str) -> int:
        return math.prod(sizes[letter] for letter in letters)

    a = context.reshape(_ordered(context, a, left, batch + rows + inner), [size(batch), size(rows), size(inner)])
    b = context.reshape(_ordered(context, b, right, batch + inner + columns), [size(batch), size(inner), size(columns)])
    product = context.emit("batch_matmul", [a, b])
    letters = batch + rows + columns
    return _ordered(context, context.reshape(product, [sizes[letter] for letter in letters]), letters, result)


TRANSLATIONS: dict[str, Translate] = {"Einsum": einsum}
