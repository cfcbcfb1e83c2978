"""Einsum: diagonals, sums and transposes of each operand, and one batched matrix product for each operand more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgec.frontends.onnx.node import Node, Refusal
from edgec.frontends.onnx.translation import Translate, Translation
from edgec.ir.dtype import DType
from edgec.ir.graph import Value

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
Term = tuple[Value, str]  # an operand with one letter an axis


def einsum(node: Node, context: Translation) -> Value:
    """Einsum; letters of two operands are batch axes where something later has them, else summed over."""
    equation = node.attribute("equation", "").replace(" ", "")
    operands = [node.input(i) for i in range(len(node.inputs))]
    if any(x.dtype is not DType.FLOAT32 for x in operands):
        raise Refusal(f"Einsum of {operands[0].dtype.value} is not supported")
    letters, result = _parsed(equation, operands)
    terms = [_diagonal(context, x, term) for x, term in zip(operands, letters, strict=True)]
    _check_sizes(equation, terms)
    found = terms[0]
    for index, term in enumerate(terms[1:], start=1):
        later = result + "".join(letters for _, letters in terms[index + 1 :])
        left = _summed(context, found, term[1] + later)
        found = _product(context, left, _summed(context, term, found[1] + later), later)
    return _ordered(context, _summed(context, found, result), result)


def _parsed(equation: str, operands: Sequence[Value]) -> tuple[list[str], str]:
    """The letters of each operand and of the result; those of an ellipsis are taken from unused ones."""
    inputs, arrow, result = equation.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands) or any(part.count("...") > 1 for part in (*terms, result)):
        raise Refusal(f"the equation '{equation}' does not fit its operands")
    hidden = [x.type.rank - len(term.replace("...", "")) for term, x in zip(terms, operands) if "..." in term]
    most, unused = max(hidden, default=0), [letter for letter in LETTERS if letter not in equation]
    if min(hidden, default=0) < 0 or most > len(unused):
        raise Refusal(f"the equation '{equation}' does not fit its operands")
    spare = "".join(unused[:most])
    for index, (term, x) in enumerate(zip(terms, operands)):
        own = x.type.rank - len(term.replace("...", ""))
        terms[index] = term.replace("...", spare[most - own :] if own else "")
    if any(len(term) != x.type.rank or not set(term) <= set(LETTERS) for term, x in zip(terms, operands)):
        raise Refusal(f"the equation '{equation}' does not fit its operands")
    every = "".join(terms)
    if arrow:
        result = result.replace("...", spare)
    else:
        result = spare + "".join(c for c in sorted(set(every)) if every.count(c) == 1 and c not in spare)
    if not set(result) <= set(every) or len(set(result)) != len(result):
        raise Refusal(f"the result of '{equation}' has axes that no operand has, or one of them twice")
    return terms, result


def _check_sizes(equation: str, terms: Sequence[Term]) -> None:
    sizes: dict[str, int] = {}
    for x, letters in terms:
        for letter, size in zip(letters, x.shape):
            known = sizes.setdefault(letter, size)
            if known != size and 1 not in (known, size):
                raise Refusal(f"the axis '{letter}' of '{equation}' has the sizes {known} and {size}")
            sizes[letter] = max(known, size)


def _diagonal(context: Translation, x: Value, letters: str) -> Term:
    """The elements of `x` at which axes of one letter have one position; one axis of each letter is left."""
    for letter in letters:
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            size = x.shape[first]
            if x.shape[second] != size:
                raise Refusal(f"the axis '{letter}' has the sizes {size} and {x.shape[second]} in one operand")
            rest = [i for i in range(x.type.rank) if i not in (first, second)]
            front = context.transpose(x, [first, second, *rest])
            flat = context.reshape(front, [size * size, *front.shape[2:]])
            x = context.emit("gather", [flat, context.ints((np.arange(size) * (size + 1)).tolist())], axis=0)
            letters = letter + "".join(letters[i] for i in rest)
    return x, letters


def _summed(context: Translation, term: Term, kept: str) -> Term:
    """The term summed over the letters that nothing else names."""
    x, letters = term
    axes = [i for i, letter in enumerate(letters) if letter not in kept]
    if not axes:
        return term
    return context.emit("sum", [x, context.ints(axes)]), "".join(letter for letter in letters if letter in kept)


def _ordered(context: Translation, term: Term, wanted: str) -> Value:
    return context.transpose(term[0], [term[1].index(letter) for letter in wanted])


def _product(context: Translation, left: Term, right: Term, later: str) -> Term:
    """The product summed over the letters of both that nothing later names; the letters of one operand stay."""
    left, right = _without_ones(context, left, right), _without_ones(context, right, left)
    (a, own), (b, other) = left, right
    shared = [letter for letter in own if letter in other]
    batch = "".join(letter for letter in shared if letter in later)
    inner = "".join(letter for letter in shared if letter not in later)
    rows = "".join(letter for letter in own if letter not in other)
    columns = "".join(letter for letter in other if letter not in own)
    sizes = dict(zip(own + other, a.shape + b.shape))

    def size(letters: str) -> int:
        return math.prod(sizes[letter] for letter in letters)

    a = context.reshape(_ordered(context, left, batch + rows + inner), [size(batch), size(rows), size(inner)])
    b = context.reshape(_ordered(context, right, batch + inner + columns), [size(batch), size(inner), size(columns)])
    letters = batch + rows + columns
    product = context.emit("batch_matmul", [a, b])
    return context.reshape(product, [sizes[letter] for letter in letters]), letters


def _without_ones(context: Translation, term: Term, other: Term) -> Term:
    """The term without the axes of size 1 that broadcast to those of the other one."""
    sizes = dict(zip(other[1], other[0].shape))
    kept = [i for i, (c, size) in enumerate(zip(term[1], term[0].shape)) if not (size == 1 and sizes.get(c, 1) > 1)]
    if len(kept) == len(term[1]):
        return term
    return context.reshape(term[0], [term[0].shape[i] for i in kept]), "".join(term[1][i] for i in kept)


TRANSLATIONS: dict[str, Translate] = {"Einsum": einsum}
